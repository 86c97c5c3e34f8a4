import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.validation.stages import MACHINE, FakeStage, FakeTime
from validation.cutting import Knife, OvertimeError, StoppedError
from validation.results import StageResult
from validation.schedule import Course, run
from validation.stage import Room, Stage


class Watched:
    """A run of some stages, and everything that was kept and said on the way."""

    def __init__(self, folder: Path) -> None:
        self.time = FakeTime()
        self.kept: list[tuple[StageResult, ...]] = []
        self.said: list[str] = []
        self.knife = Knife()
        self._folder = folder

    def run(self, *stages: Stage, seconds: float = 100.0) -> dict[str, StageResult]:
        course = Course(
            out=self._folder,
            scratch=self._folder / "scratch",
            deadline=seconds,
            now=self.time.now,
            wait=self.time.wait,
            machine=MACHINE,
            say=self.said.append,
            keep=self.kept.append,
        )
        with self.knife.ready():
            return {result.stage: result for result in run(stages, course, self.knife)}


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def spend(seconds: float) -> FakeStage:
    return FakeStage("spender", does=lambda room: room.wait(seconds))


def endings(results: Sequence[StageResult]) -> list[str]:
    return [result.ending for result in results]


def test_time_is_shared_by_shares_and_what_is_left_over_goes_to_the_others(watched: Watched) -> None:
    first, second, third = FakeStage("first", 1.0), FakeStage("second", 3.0), FakeStage("third", 1.0)
    first.does = lambda room: room.wait(10.0)
    second.does = lambda room: room.wait(70.0)
    results = watched.run(first, second, third)
    assert (first.given, second.given, third.given) == ([20.0], [67.5], [20.0])
    assert [result.seconds for result in results.values()] == [10.0, 70.0, 0.0]


def test_a_stage_that_cannot_run_costs_no_time_and_says_why(watched: Watched) -> None:
    absent, there = FakeStage("absent", 9.0, cannot="no GPU"), FakeStage("there", 1.0)
    results = watched.run(absent, there)
    assert (results["absent"].ending, results["absent"].why) == ("skipped", "no GPU")
    assert (absent.given, there.given) == ([], [100.0])


def test_an_exception_ends_its_stage_only_and_its_last_lines_are_kept(watched: Watched) -> None:
    def burst(_: Room) -> None:
        raise ValueError("the driver said\nno")

    results = watched.run(FakeStage("bad", does=burst), good := FakeStage("good"))
    assert results["bad"].ending == "failed"
    assert results["bad"].why.endswith("ValueError: the driver said\nno")
    assert "in burst" in results["bad"].why
    assert (results["good"].ending, good.given) == ("done", [100.0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cuts_the_stage_and_skips_those_after_it(watched: Watched, number: signal.Signals) -> None:
    def be_killed(_: Room) -> None:
        os.kill(os.getpid(), number)

    results = watched.run(FakeStage("before"), FakeStage("cut", does=be_killed), FakeStage("after"))
    assert endings(tuple(results.values())) == ["done", "cut", "skipped"]
    assert results["after"].why == f"stopped by {number.name}"


def test_a_signal_cannot_be_swallowed_by_what_a_stage_catches(watched: Watched) -> None:
    def cling(_: Room) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception as error:
            raise AssertionError from error

    assert watched.run(FakeStage("clinging", does=cling))["clinging"].ending == "cut"


def test_a_stage_that_returns_what_it_has_when_it_is_stopped_keeps_it(watched: Watched) -> None:
    def yield_to_it(_: Room) -> None:
        with pytest.raises(StoppedError):
            os.kill(os.getpid(), signal.SIGTERM)

    results = watched.run(FakeStage("wise", does=yield_to_it), FakeStage("after"))
    assert endings(tuple(results.values())) == ["done", "skipped"]


def test_signals_mean_what_they_meant_before_once_it_is_over(watched: Watched) -> None:
    before = signal.getsignal(signal.SIGTERM)
    watched.run(FakeStage("any"))
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_runs_far_past_its_time_is_cut() -> None:
    with Knife().ready() as knife, pytest.raises(OvertimeError), knife.after(0.001):
        signal.pause()


def test_a_stage_for_which_no_time_is_left_is_skipped(watched: Watched) -> None:
    results = watched.run(spend(101.0), FakeStage("late"))
    assert (results["late"].ending, results["late"].why) == ("skipped", "no time is left")


def test_what_is_on_disk_at_any_moment_tells_which_stage_was_running(watched: Watched) -> None:
    watched.run(FakeStage("first"), FakeStage("second"))
    assert [endings(kept) for kept in watched.kept] == [
        ["cut", "skipped"],
        ["done"],
        ["done", "cut"],
        ["done", "done"],
    ]
    assert "while this stage ran" in watched.kept[0][0].why


def test_a_stage_gets_a_scratch_folder_of_its_own(watched: Watched, tmp_path: Path) -> None:
    def write(room: Room) -> None:
        (room.scratch / "weights").write_text("1")

    watched.run(FakeStage("heavy", does=write))
    assert (tmp_path / "scratch" / "heavy" / "weights").exists()


def test_what_a_stage_says_bears_its_name(watched: Watched) -> None:
    watched.run(FakeStage("talker", does=lambda room: room.say("halfway")))
    assert "talker: halfway" in watched.said
