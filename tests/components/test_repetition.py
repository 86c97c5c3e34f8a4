"""Chunks last about as long as they are asked to, and everything in them is done when they return."""

from dataclasses import dataclass, field

import pytest

from exporter.components.repetition import Repetition
from exporter.domain.units import Instant


@dataclass
class Slow:
    """A device on which a run takes so long, and waiting too; the first run loads libraries."""

    run_seconds: float
    wait_seconds: float = 0.0
    first_seconds: float = 0.0
    t: float = 0.0
    queued: int = 0
    chunks: list[int] = field(default_factory=list)

    def now(self) -> Instant:
        return Instant(self.t)

    def sleep(self, seconds: float) -> None:
        self.t += seconds

    def run(self, count: int) -> None:
        self.chunks.append(count)
        self.queued += count

    def synchronise(self) -> None:
        self.t += self.queued * self.run_seconds + self.wait_seconds + (self.first_seconds if self.queued else 0.0)
        self.first_seconds = 0.0 if self.queued else self.first_seconds
        self.queued = 0

    def repetition(self) -> Repetition:
        work = Repetition(self.run, self.synchronise, self)
        work.warm_up(0.05)
        return work


@pytest.mark.parametrize("run_seconds", [2e-6, 1e-3, 0.017, 3.0])
def test_a_chunk_lasts_as_asked_or_one_run(run_seconds: float) -> None:
    device = Slow(run_seconds)
    work = device.repetition()
    before = device.t
    work.go(0.025)
    assert device.t - before == pytest.approx(max(0.025, run_seconds), rel=0.35)
    assert work.runs == sum(device.chunks)
    assert device.queued == 0


def test_what_the_first_run_takes_says_nothing_of_the_others() -> None:
    device = Slow(1e-3, first_seconds=30.0)
    work = device.repetition()
    work.go(0.025)
    assert device.chunks[-1] == 25


def test_waiting_for_the_device_takes_a_twentieth_of_a_chunk_at_most() -> None:
    device = Slow(20e-6, wait_seconds=1e-3)
    work = device.repetition()
    before = device.t
    work.go(0.002)
    assert device.t - before == pytest.approx(0.020, rel=0.1)


def test_a_device_that_slows_down_gets_shorter_chunks() -> None:
    device = Slow(1e-3)
    work = device.repetition()
    device.run_seconds = 4e-3
    work.go(0.1)
    work.go(0.1)
    assert device.chunks[-2:] == [100, 25]


def test_a_run_that_seems_to_take_no_time_is_not_believed_at_once() -> None:
    device = Slow(1e-3)
    work = device.repetition()
    device.run_seconds = 0.0
    work.go(0.1)
    work.go(0.1)
    assert device.chunks[-2:] == [100, 400]
