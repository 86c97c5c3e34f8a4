"""What is told of windows: when they began and ended, how, and which pieces of one are its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from exporter.client import EnergyClient, current_window
from exporter.requests.posted.pushed import read_event
from tests.client.listener import Hand, Listener


def spans(listener: Listener, client: EnergyClient) -> dict[str, list[tuple[float, float]]]:
    """When each window was told to be open, by its name, with a new clock's time at 0."""
    assert client.flush()
    found: dict[str, list[tuple[float, float]]] = {}
    for line in listener.wholes:
        name = line["id"].partition("/")[0]
        found.setdefault(name, []).append((round(line["start"] - 1000, 6), round(line["end"] - 1000, 6)))
    return found


def test_a_window_is_told_as_a_whole_when_it_ends(listener: Listener, client: EnergyClient, hand: Hand) -> None:
    with client.window("step", model="resnet-50", tenant="us", trace_id="0" * 32, prompt_tokens=7) as one:
        hand.move(2.5)
        one.output_tokens, one.cached_tokens = 64, 3
    assert client.flush()
    (whole,) = listener.wholes
    assert whole == {
        "id": one.id,
        "kind": "window",
        "start": 1000.0,
        "end": 1002.5,
        "outcome": "ok",
        "model": "resnet-50",
        "tenant": "us",
        "trace_id": "0" * 32,
        "prompt_tokens": 7,
        "cached_tokens": 3,
        "output_tokens": 64,
    }
    assert read_event(whole).id == one.id


def test_its_start_is_told_while_it_is_open(listener: Listener, client: EnergyClient) -> None:
    with client.window("step", model="m") as one:
        assert client.flush()
        (start,) = listener.lines
        assert start == {"event": "start", "id": one.id, "at": 1000.0, "model": "m", "kind": "window"}
        assert read_event(start).event == "start"


def test_a_start_is_not_told_of_a_window_that_is_over(listener: Listener, client: EnergyClient, hand: Hand) -> None:
    listener.hanging.clear()
    with client.window("long"):
        while not listener.paths:  # the sender is busy with the start of the long one
            pass
        with client.window("short"):
            hand.move(1.0)
        listener.hanging.set()
        assert client.flush()
    assert {id_.partition("/")[0] for id_ in listener.starts()} == {"long"}


def test_no_two_windows_have_the_same_id(client: EnergyClient) -> None:
    assert len({client.window("step").id for _ in range(1000)}) == 1000


def test_the_server_is_named_where_it_is_given(listener: Listener, hand: Hand) -> None:
    with EnergyClient(listener.url, "train", clocks=hand.clocks) as client, client.window("step"):
        hand.move(1.0)
    assert [line["server"] for line in listener.wholes] == ["train"]


def test_a_window_is_opened_once(client: EnergyClient) -> None:
    one = client.window("step")
    with one:
        pass
    with pytest.raises(RuntimeError, match="'step' was opened before"), one:
        pass


# --- how it ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("mine"), "error"),
        (asyncio.CancelledError(), "aborted"),
        (KeyboardInterrupt(), "aborted"),
        (SystemExit(3), "aborted"),
    ],
)
def test_an_exception_passes_untouched_and_says_how_it_ended(
    listener: Listener, client: EnergyClient, error: BaseException, outcome: str
) -> None:
    with pytest.raises(type(error)) as raised, client.window("step"):
        raise error
    assert raised.value is error
    assert client.flush()
    assert [line["outcome"] for line in listener.wholes] == [outcome]


async def test_a_cancelled_task_aborts_its_window(listener: Listener, client: EnergyClient) -> None:
    opened = asyncio.Event()

    async def work() -> None:
        async with client.window("step"):
            opened.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await opened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(client.flush)
    assert [line["outcome"] for line in listener.wholes] == ["aborted"]


def test_a_clock_that_is_set_meanwhile_does_not_stretch_it(
    listener: Listener, client: EnergyClient, hand: Hand
) -> None:
    with client.window("step"):
        hand.move(2.0)
        hand.set_ahead = 3600.0
    assert spans(listener, client) == {"step": [(0, 2)]}


def test_tokens_that_are_no_numbers_lose_the_window_and_not_the_program(
    listener: Listener, client: EnergyClient, caplog: pytest.LogCaptureFixture
) -> None:
    with client.window("step") as bad:
        bad.output_tokens = 1.5  # type: ignore[assignment]
    with client.window("next"):
        pass
    assert client.flush()
    assert client.dropped == 1
    assert [line["id"].partition("/")[0] for line in listener.wholes] == ["next"]
    assert "'float' object cannot be interpreted as an integer" in caplog.text
    assert bad.energy(0) is None
    assert "was not told" in bad.unknown


# --- the device -----------------------------------------------------------------------------------------------


def test_the_device_is_waited_for_at_both_ends(listener: Listener, client: EnergyClient, hand: Hand) -> None:
    with client.window("step", synchronise=lambda: hand.move(1.0)):
        hand.move(5.0)
    assert spans(listener, client) == {"step": [(1, 7)]}


def test_an_error_of_the_device_passes_and_is_the_windows_own(listener: Listener, client: EnergyClient) -> None:
    calls: Iterator[None] = iter([None])
    with pytest.raises(StopIteration), client.window("step", synchronise=lambda: next(calls)):
        pass
    assert client.flush()
    assert [line["outcome"] for line in listener.wholes] == ["error"]


def test_an_error_of_the_device_does_not_hide_the_programs_own(listener: Listener, client: EnergyClient) -> None:
    calls: Iterator[None] = iter([None])
    with pytest.raises(ValueError, match="mine"), client.window("step", synchronise=lambda: next(calls)):
        raise ValueError("mine")
    assert client.flush()
    assert [line["outcome"] for line in listener.wholes] == ["error"]


# --- one inside another -----------------------------------------------------------------------------------------------


def test_a_window_inside_another_is_not_told_twice(listener: Listener, client: EnergyClient, hand: Hand) -> None:
    with client.window("epoch"):
        hand.move(1.0)
        for _ in range(2):
            with client.window("step"):
                hand.move(2.0)
            hand.move(0.5)
    assert spans(listener, client) == {"epoch": [(0, 1), (3, 3.5), (5.5, 6)], "step": [(1, 3), (3.5, 5.5)]}
    assert len({line["id"] for line in listener.wholes}) == 5


def test_moments_between_inner_windows_are_not_told(listener: Listener, client: EnergyClient, hand: Hand) -> None:
    with client.window("epoch"):
        hand.move(0.0002)
        for _ in range(3):
            with client.window("step"):
                hand.move(2.0)
            hand.move(0.0002)
    told = spans(listener, client)
    assert told["epoch"] == [(6.0006, 6.0008)], "its end is, with its outcome"
    assert len(told["step"]) == 3


def test_of_a_start_that_was_told_the_end_is_too_however_short(
    listener: Listener, client: EnergyClient, hand: Hand
) -> None:
    with client.window("epoch"):
        assert client.flush()
        hand.move(0.0002)
        with client.window("step"):
            hand.move(1.0)
    assert spans(listener, client)["epoch"] == [(0, 0.0002), (1.0002, 1.0002)]


async def test_tasks_inside_a_window_overlap_and_it_goes_on_after_the_last(
    listener: Listener, client: EnergyClient, hand: Hand
) -> None:
    begun = asyncio.Barrier(2)

    async def work(name: str, seconds: float) -> None:
        async with client.window(name):
            await begun.wait()
            hand.move(seconds)

    async with client.window("outer"):
        hand.move(1.0)
        await asyncio.gather(work("a", 1.0), work("b", 1.0))
        hand.move(1.0)
    told = await asyncio.to_thread(spans, listener, client)
    assert told["outer"] == [(0, 1), (3, 4)]
    assert sorted(told["a"] + told["b"]) == [(1, 2), (1, 3)]


def test_threads_have_windows_side_by_side(listener: Listener, client: EnergyClient, hand: Hand) -> None:
    inside = threading.Barrier(3)

    def work() -> None:
        with client.window("thread"):
            inside.wait(10)
            inside.wait(10)

    threads = [threading.Thread(target=work) for _ in range(2)]
    with client.window("main"):
        for thread in threads:
            thread.start()
        inside.wait(10)
        hand.move(1.0)
        inside.wait(10)
        for thread in threads:
            thread.join()
    assert spans(listener, client) == {"main": [(0, 1)], "thread": [(0, 1), (0, 1)]}


def test_windows_begun_by_hand_overlap_at_will(listener: Listener, client: EnergyClient, hand: Hand) -> None:
    first = client.window("first").begin()
    hand.move(1.0)
    second = client.window("second").begin()
    hand.move(1.0)
    first.end()
    first.end()
    hand.move(1.0)
    second.end("aborted")
    assert spans(listener, client) == {"first": [(0, 2)], "second": [(1, 3)]}
    assert [line["outcome"] for line in listener.wholes] == ["ok", "aborted"]


def test_an_outer_window_may_end_first(listener: Listener, client: EnergyClient, hand: Hand) -> None:
    inner = ExitStack()
    with client.window("outer"):
        hand.move(1.0)
        inner.enter_context(client.window("inner"))
        hand.move(1.0)
    hand.move(1.0)
    inner.close()
    assert current_window() is None
    with client.window("next"):
        hand.move(1.0)
    told = spans(listener, client)
    assert told == {"outer": [(0, 1), (2, 2)], "inner": [(1, 3)], "next": [(3, 4)]}


def test_the_window_that_is_open_here_can_be_had(client: EnergyClient) -> None:
    assert current_window() is None
    with client.window("outer") as outer:
        assert current_window() is outer
        with client.window("inner") as inner:
            assert current_window() is inner
        assert current_window() is outer
    assert current_window() is None
