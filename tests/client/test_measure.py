"""The decorator: functions of all four kinds, with their names, types, results, errors and what is sent into them."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, assert_type

import pytest

from exporter.client import EnergyClient, current_window
from tests.client.listener import Hand, Listener


def told(listener: Listener, client: EnergyClient) -> list[tuple[str, float, str]]:
    """Name, length and outcome of each window."""
    assert client.flush()
    return [
        (line["id"].rpartition("/")[0], round(line["end"] - line["start"], 6), line["outcome"])
        for line in listener.wholes
    ]


def test_a_function_is_a_window_and_stays_itself(listener: Listener, client: EnergyClient, hand: Hand) -> None:
    @client.measure
    def add(one: int, *, other: int = 2) -> int:
        """Adds."""
        hand.move(1.0)
        assert current_window() is not None
        return one + other

    assert_type(add(1), int)
    assert add(1, other=3) == 4
    assert (add.__name__, add.__doc__, list(inspect.signature(add).parameters)) == ("add", "Adds.", ["one", "other"])
    name = add.__qualname__
    assert told(listener, client) == [(name, 1.0, "ok")] * 2


def test_what_is_said_of_its_windows_is_told(listener: Listener, client: EnergyClient) -> None:
    @client.measure("evaluate", model="resnet-50")
    def evaluate() -> None:
        """Nothing."""

    evaluate()
    assert told(listener, client) == [("evaluate", 0.0, "ok")]
    assert listener.wholes[0]["model"] == "resnet-50"


def test_its_error_passes(listener: Listener, client: EnergyClient) -> None:
    @client.measure()
    def fail() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert [outcome for _, _, outcome in told(listener, client)] == ["error"]


async def test_an_async_function_is_a_window_while_it_is_awaited(
    listener: Listener, client: EnergyClient, hand: Hand
) -> None:
    @client.measure("answer")
    async def answer(question: str) -> str:
        await asyncio.sleep(0)
        hand.move(2.0)
        return question.upper()

    assert inspect.iscoroutinefunction(answer)
    waiting = answer("a")
    hand.move(5.0)
    assert_type(await waiting, str)
    assert await asyncio.to_thread(told, listener, client) == [("answer", 2.0, "ok")]


def test_a_generator_is_a_window_from_its_first_item_to_its_end(
    listener: Listener, client: EnergyClient, hand: Hand
) -> None:
    @client.measure("count")
    def count(stop: int) -> Iterator[int]:
        for number in range(stop):
            hand.move(1.0)
            yield number

    assert inspect.isgeneratorfunction(count)
    numbers = count(3)
    hand.move(9.0)
    assert list(numbers) == [0, 1, 2]
    assert told(listener, client) == [("count", 3.0, "ok")]


def test_a_generator_hears_what_is_sent_and_thrown_and_its_result_is_had(
    listener: Listener, client: EnergyClient
) -> None:
    @client.measure("echo")
    def echo() -> Generator[Any, Any, str]:
        try:
            heard = yield "first"
            yield heard
        except KeyError as error:
            yield f"caught {error}"
        return "result"

    talk = echo()
    assert next(talk) == "first"
    assert talk.send("hello") == "hello"
    assert talk.throw(KeyError("k")) == "caught 'k'"
    with pytest.raises(StopIteration) as stopped:
        next(talk)
    assert stopped.value.value == "result"
    assert told(listener, client) == [("echo", 0.0, "ok")]


def test_a_generator_that_is_left_early_is_aborted(listener: Listener, client: EnergyClient) -> None:
    closed = []

    @client.measure("stream")
    def stream() -> Generator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    tokens = stream()
    next(tokens)
    tokens.close()
    assert closed
    assert told(listener, client) == [("stream", 0.0, "aborted")]


async def test_an_async_generator_is_a_window_while_it_is_iterated(
    listener: Listener, client: EnergyClient, hand: Hand
) -> None:
    @client.measure("tokens")
    async def tokens() -> AsyncIterator[str]:
        for token in ("a", "b"):
            await asyncio.sleep(0)
            hand.move(1.0)
            yield token

    assert inspect.isasyncgenfunction(tokens)
    assert [token async for token in tokens()] == ["a", "b"]
    assert await asyncio.to_thread(told, listener, client) == [("tokens", 2.0, "ok")]


async def test_an_async_generator_hears_what_is_sent_and_thrown(listener: Listener, client: EnergyClient) -> None:
    @client.measure("echo")
    async def echo() -> AsyncGenerator[Any, Any]:
        try:
            heard = yield "first"
            yield heard
        except KeyError as error:
            yield f"caught {error}"

    talk = echo()
    assert await anext(talk) == "first"
    assert await talk.asend("hello") == "hello"
    assert await talk.athrow(KeyError("k")) == "caught 'k'"
    with pytest.raises(StopAsyncIteration):
        await anext(talk)
    assert await asyncio.to_thread(told, listener, client) == [("echo", 0.0, "ok")]


async def test_an_async_generator_that_is_left_early_is_closed_and_aborted(
    listener: Listener, client: EnergyClient
) -> None:
    closed = []

    @client.measure("stream")
    async def stream() -> AsyncGenerator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    tokens = stream()
    await anext(tokens)
    await tokens.aclose()
    assert closed
    assert await asyncio.to_thread(told, listener, client) == [("stream", 0.0, "aborted")]


async def test_an_error_of_an_async_generator_passes(listener: Listener, client: EnergyClient) -> None:
    @client.measure("stream")
    async def stream() -> AsyncGenerator[int]:
        yield 1
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        _ = [item async for item in stream()]
    assert [outcome for _, _, outcome in await asyncio.to_thread(told, listener, client)] == ["error"]


def test_what_a_consumer_opens_between_two_items_is_beside_the_generator(
    listener: Listener, client: EnergyClient, hand: Hand
) -> None:
    @client.measure("loader")
    def loader() -> Iterator[int]:
        yield 1

    for _ in loader():
        with client.window("step"):
            hand.move(1.0)
    assert sorted(told(listener, client)) == [("loader", 1.0, "ok"), ("step", 1.0, "ok")]


async def test_functions_that_run_at_once_have_windows_of_their_own(
    listener: Listener, client: EnergyClient, hand: Hand
) -> None:
    @client.measure("work")
    async def work() -> None:
        await asyncio.sleep(0)
        hand.move(0.1)

    await asyncio.gather(*(work() for _ in range(32)))
    assert len(await asyncio.to_thread(told, listener, client)) == 32
