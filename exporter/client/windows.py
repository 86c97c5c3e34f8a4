"""Windows: stretches of a program's time whose energy is wanted.

Theory of operation. What overlaps shares: the exporter is told when each window is open, and gives each its part of
the energy that was metered meanwhile, so that all parts together are what was metered. A window inside another one is
no rival of it, though: it is a part of it. So a window is told in *pieces*, which are the times when it is open and
none of its inner windows is. Pieces and inner windows do not overlap, each joule is in one of them, and a window's
energy is the sum of both.

Which window is inside which follows the program's context: what is opened by `with`, `async with` or the decorator
while another one of the same task or thread is open. Windows of different threads overlap side by side, as do those of
tasks that were not started inside one, and those that are begun and ended by hand.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from exporter.client.energy import Energy, asking, summed
from exporter.client.pieces import Outcome, Piece
from exporter.client.sender import Note

if TYPE_CHECKING:
    from exporter.client.client import EnergyClient

MOST_INNER = 65_536
"""So many inner windows are remembered by one; with more of them its own energy cannot be added up."""
_CLOCK_WAS_SET_SECONDS = 0.05
_LONGEST_NAME = 200

_current: ContextVar["Window | None"] = ContextVar("energy_window", default=None)


class About(TypedDict, total=False):
    """What may be said of a window.

    Attributes:
        model: what runs; a label in the exporter's metrics, so one of few.
        tenant: whom to bill. trace_id: the W3C trace that it belongs to, 32 hexadecimal digits.
        prompt_tokens: tokens that go in, where that means something.
        synchronise: called at both ends, so that work given to a device is over when the window is, such as
            `torch.cuda.synchronize`.
    """

    model: str | None
    tenant: str | None
    trace_id: str | None
    prompt_tokens: int | None
    synchronise: Callable[[], object] | None


class Clocks(NamedTuple):
    """Seconds since the epoch, as people set them; and seconds that only ever pass."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.perf_counter


class Window:
    """One window, to be opened once: `with`, `async with`, or `begin` and `end`.

    Attributes:
        id: names it at the exporter.
        prompt_tokens, cached_tokens, output_tokens: may be set while it is open; None: not told.
        outcome: how it ended; None while it is open.
        unknown: why `energy` said None; empty where it did not.
    """

    __slots__ = (
        "_began",
        "_first_token",
        "_inner_open",
        "_opened",
        "_piece",
        "_piece_number",
        "_sender",
        "_steady",
        "_synchronise",
        "_token",
        "cached_tokens",
        "client",
        "id",
        "inner",
        "model",
        "name",
        "outcome",
        "outer",
        "output_tokens",
        "pieces",
        "prompt_tokens",
        "tenant",
        "trace_id",
        "unknown",
    )

    def __init__(  # noqa: PLR0913 - what may be said of a window, see About
        self,
        client: "EnergyClient",
        name: str,
        *,
        model: str | None = None,
        tenant: str | None = None,
        trace_id: str | None = None,
        prompt_tokens: int | None = None,
        synchronise: Callable[[], object] | None = None,
    ) -> None:
        self.client = client
        self.name = name
        self.id = client.new_id(str(name)[:_LONGEST_NAME])
        self.model, self.tenant, self.trace_id = model, tenant, trace_id
        self.prompt_tokens = prompt_tokens
        self.cached_tokens: int | None = None
        self.output_tokens: int | None = None
        self.outcome: Outcome | None = None
        self.unknown = ""
        self.pieces: list[Piece] = []
        self.inner: list[Window] = []
        self._synchronise = synchronise
        self._sender = client.sender
        self._opened = False
        self._began = self._steady = 0.0
        self._first_token: float | None = None
        self._inner_open = self._piece_number = 0
        self.outer: Window | None = None
        self._piece: Piece | None = None
        self._token: Token[Window | None] | None = None

    # --- opening and closing it ------------------------------------------------------------------------------------

    def __enter__(self) -> "Window":
        self._open(_innermost(self.client))
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._forget()
        self.end(outcome_of(kind))

    async def __aenter__(self) -> "Window":
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def begin(self) -> "Window":
        """Open it by hand, beside whatever else is open."""
        self._open(None)
        return self

    def begin_inside(self) -> "Window":
        """Open it by hand, inside the window that is open here; what is opened later is not inside this one."""
        self._open(_innermost(self.client))
        return self

    def end(self, outcome: Outcome = "ok") -> None:
        """Close it; once is enough."""
        if self.outcome is not None or not self._opened:
            return
        if not self.inherited:
            outcome = self._wait_for_device(outcome)
        with self.client.lock:
            self.outcome = self.outcome or outcome
            if self.inherited:
                return
            at = self._now()
            if self._piece is None:
                self._piece = self._new_piece(at)
            self._close_piece(at, last=True)
            if self.outer is not None:
                self.outer.resume(at)

    def note_first_token(self) -> None:
        """The first output token is there now."""
        if self._first_token is None:
            self._first_token = self._now()

    def _open(self, outer: "Window | None") -> None:
        if self._opened:
            raise RuntimeError(f"window {self.name!r} was opened before: each opening needs a window of its own")
        if self._synchronise is not None:
            self._synchronise()
        clocks, self._opened = self.client.clocks, True
        self._began, self._steady = clocks.wall(), clocks.steady()
        with self.client.lock:
            if outer is not None:
                self.outer = outer
                outer.suspend(self, self._began)
            self._piece = self._new_piece(self._began)
            self._tell(self._piece, whole=False)

    def _forget(self) -> None:
        if self._token is not None:
            with suppress(ValueError):  # closed in another context than it was opened in, as generators may be
                _current.reset(self._token)
            self._token = None

    def _wait_for_device(self, outcome: Outcome) -> Outcome:
        """Synchronise. What fails here fails the window; but an error that is on its way is not replaced."""
        if self._synchronise is None:
            return outcome
        try:
            self._synchronise()
        except BaseException as error:
            if outcome != "ok":
                return outcome
            synchronise, self._synchronise = self._synchronise, None
            self.end(outcome_of(type(error)))
            self._synchronise = synchronise
            raise
        return outcome

    # --- its pieces ------------------------------------------------------------------------------------------------

    def suspend(self, inner: "Window", at: float) -> None:
        """An inner window takes over. The client's lock is held, as by all of these."""
        self._inner_open += 1
        if len(self.inner) <= MOST_INNER:
            self.inner.append(inner)
        if self._piece is not None:
            self._close_piece(at, last=False)

    def resume(self, at: float) -> None:
        """An inner window has ended."""
        self._inner_open -= 1
        if not self._inner_open and self.outcome is None and not self.inherited:
            self._piece = self._new_piece(at)
            self._tell(self._piece, whole=False)

    def _new_piece(self, at: float) -> Piece:
        number = self._piece_number
        return Piece(self, f"{self.id}+{number}" if number else self.id, at)

    def _close_piece(self, at: float, *, last: bool) -> None:
        piece, self._piece = self._piece, None
        assert piece is not None
        if piece.close(max(at, piece.begin), self.outcome or "ok", last=last):
            self._piece_number += 1
            if len(self.pieces) <= MOST_INNER:
                self.pieces.append(piece)
            self._tell(piece, whole=True)

    def _tell(self, piece: Piece, *, whole: bool) -> None:
        self._sender.put(Note(piece, whole))

    @property
    def is_all_remembered(self) -> bool:
        """Whether its pieces and inner windows are all known here, so that they can be added up."""
        return max(len(self.inner), len(self.pieces)) <= MOST_INNER

    @property
    def inherited(self) -> bool:
        """Whether this is a forked process's copy of a window that its parent has open, and tells of."""
        return self._sender is not self.client.sender

    def _now(self) -> float:
        """The wall clock's time; should it have been set meanwhile, where it would be otherwise."""
        clocks = self.client.clocks
        now, expected = clocks.wall(), self._began + clocks.steady() - self._steady
        return now if abs(now - expected) < _CLOCK_WAS_SET_SECONDS else expected

    def counts(self, piece: Piece) -> dict[str, object]:
        """Tokens, as they are told with its end.

        Raises:
            TypeError: one of them is no whole number.
        """
        from operator import index  # noqa: PLC0415 - few say how many tokens there were

        says: dict[str, object] = {
            name: index(value)
            for name, value in (
                ("prompt_tokens", self.prompt_tokens),
                ("cached_tokens", self.cached_tokens),
                ("output_tokens", self.output_tokens),
            )
            if value is not None
        }
        if self._first_token is not None and piece.begin <= self._first_token <= (piece.end or 0.0):
            says["first_token"] = self._first_token
        return says

    # --- its energy ------------------------------------------------------------------------------------------------

    def energy(self, timeout: float = 20.0) -> Energy | None:
        """Its joules, inner windows included, waiting for the exporter to settle it: mostly three to eight seconds.

        None where they are not known, which `unknown` explains: it is still open, or was lost, the exporter is away or
        tells of no single request, or more than a few hundred others have settled since.
        """
        for pause in asking(self, timeout):
            time.sleep(pause)
        return None if self.unknown else summed(self)

    async def energy_async(self, timeout: float = 20.0) -> Energy | None:  # noqa: ASYNC109 - the same as `energy`
        """The same, while other tasks go on."""
        import asyncio  # noqa: PLC0415 - programs without it need not load it

        questions = asking(self, timeout)
        while (pause := await asyncio.to_thread(next, questions, None)) is not None:  # noqa: ASYNC110 - nobody can tell
            await asyncio.sleep(pause)
        return None if self.unknown else summed(self)


def current_window() -> Window | None:
    """The innermost window that is open here, in this task or thread; None where there is none."""
    window = _current.get()
    while window is not None and window.outcome is not None:
        window = window.outer
    return window


def outcome_of(kind: type[BaseException] | None) -> Outcome:
    """What an exception makes of a window: cancelled and interrupted work is aborted, all else went wrong."""
    if kind is None:
        return "ok"
    return "error" if issubclass(kind, Exception) else "aborted"


def _innermost(client: "EnergyClient") -> Window | None:
    """The window that is open here and told by the same client in the same process."""
    window = current_window()
    return window if window is not None and window.client is client and not window.inherited else None
