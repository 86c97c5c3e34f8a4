"""`measure`: every call of a function is a window, whatever kind of function it is."""

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, cast, overload

from exporter.client.windows import About, Window, outcome_of

if TYPE_CHECKING:
    from exporter.client.client import EnergyClient

P = ParamSpec("P")
R = TypeVar("R")
_Open = Callable[[], Window]


class Measure:
    """A decorator, with or without arguments.

        @measure
        def step(): ...

        @measure("evaluate", model="resnet-50")
        async def evaluate(): ...

    The window is open while the function runs, or while its generator is iterated, from the first item to the end. The
    function keeps its name, its signature and its types.
    """

    def __init__(self, client: "Callable[[], EnergyClient]") -> None:
        self._client = client

    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def __call__(
        self, name: str | None = None, /, **about: Unpack[About]
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def __call__(self, given: Any = None, /, **about: Any) -> Any:
        """Decorate a function, or make a decorator of what is said of its windows.

        Args:
            given: the function; or the windows' name, by default the function's.
            about: what is said of each window, see `About`.
        """
        if callable(given):
            return self._wrap(given, None, about)
        return lambda function: self._wrap(function, given, about)

    def _wrap(self, function: Callable[P, R], name: Any, about: dict[str, Any]) -> Callable[P, R]:
        called: str = name or getattr(function, "__qualname__", type(function).__qualname__)
        return measured(function, lambda: self._client().window(called, **about))


def measured(function: Callable[P, R], window: _Open) -> Callable[P, R]:
    """The same function, with a window around every call."""
    import inspect  # noqa: PLC0415 - programs that decorate nothing need not load it

    made: Any
    if inspect.isasyncgenfunction(function):
        made = _async_generator(function, window)
    elif inspect.iscoroutinefunction(function):
        made = _coroutine(function, window)
    elif inspect.isgeneratorfunction(function):
        made = _generator(function, window)
    else:
        made = _plain(function, window)
    return cast("Callable[P, R]", functools.wraps(function)(made))


def _plain(function: Callable[..., R], window: _Open) -> Callable[..., R]:
    def call(*args: Any, **kwargs: Any) -> R:
        with window():
            return function(*args, **kwargs)

    return call


def _coroutine(function: Callable[..., Coroutine[Any, Any, R]], window: _Open) -> Callable[..., Coroutine[Any, Any, R]]:
    async def call(*args: Any, **kwargs: Any) -> R:
        async with window():
            return await function(*args, **kwargs)

    return call


def _generator(function: Callable[..., Generator[Any, Any, R]], window: _Open) -> Callable[..., Generator[Any, Any, R]]:
    """What its consumer opens between two items runs beside it, not inside it."""

    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, R]:
        one = window().begin_inside()
        try:
            result = yield from function(*args, **kwargs)
        except BaseException as error:
            one.end(outcome_of(type(error)))
            raise
        one.end()
        return result

    return call


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], window: _Open
) -> Callable[..., AsyncGenerator[Any, Any]]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        one = window().begin_inside()
        inner = function(*args, **kwargs)
        try:
            item = await anext(inner)
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as thrown:  # noqa: BLE001 - by `athrow`: it is for the function to deal with
                    item = await inner.athrow(thrown)
                else:
                    item = await inner.asend(sent)
        except StopAsyncIteration:
            one.end()
        except BaseException as error:
            one.end(outcome_of(type(error)))
            raise
        finally:
            await inner.aclose()

    return call
