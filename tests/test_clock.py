"""Instants never step, whatever is done to the wall clock; stamps are put right by the offset."""

import math

import pytest

from exporter.clock import SystemClock


class FakeClocks:
    """A wall clock and a steady clock that go together until one is set."""

    def __init__(self) -> None:
        self.wall_seconds = 1_700_000_000.0
        self.steady_seconds = 5_000.0
        self.pauses = [0.0]
        self.clock = SystemClock(self.wall, self.steady)

    def wall(self) -> float:
        self.steady_seconds += (pause := self.pauses.pop() if len(self.pauses) > 1 else self.pauses[0])
        self.wall_seconds += pause
        return self.wall_seconds

    def steady(self) -> float:
        return self.steady_seconds

    def pass_time(self, seconds: float, drift: float = 0.0) -> None:
        self.steady_seconds += seconds
        self.wall_seconds += seconds + drift


@pytest.fixture
def fake() -> FakeClocks:
    return FakeClocks()


def test_an_instant_is_the_wall_clock_at_start_and_what_has_passed_since(fake: FakeClocks) -> None:
    assert fake.clock.now() == 1_700_000_000.0
    fake.pass_time(2.5)
    assert fake.clock.now() == 1_700_000_002.5
    assert fake.clock.wall_offset() == 0.0
    assert fake.clock.real(3.0) == 3.0


@pytest.mark.parametrize("step", [3600.0, -3600.0, 0.6, -0.6])
def test_a_step_of_the_wall_clock_is_seen_once_and_put_right(fake: FakeClocks, step: float) -> None:
    fake.clock.look()
    before = fake.clock.now()
    fake.wall_seconds += step
    assert fake.clock.now() == before
    assert fake.clock.wall_offset() == pytest.approx(-step)
    assert fake.clock.look()
    assert not fake.clock.look()
    assert fake.clock.steps == 1
    assert fake.wall_seconds + fake.clock.wall_offset() == pytest.approx(fake.clock.now())


def test_a_step_back_again_is_another_step(fake: FakeClocks) -> None:
    for step in (3600.0, -3600.0):
        fake.wall_seconds += step
        assert fake.clock.look()
    assert fake.clock.steps == 2
    assert fake.clock.wall_offset() == pytest.approx(0.0, abs=0.01)


def test_jitter_is_no_change(fake: FakeClocks) -> None:
    for jitter in (0.04, -0.08, 0.08, -0.04):
        fake.pass_time(1.0, drift=jitter)
        assert not fake.clock.look()
        assert fake.clock.wall_offset() == 0.0


def test_slow_drift_is_followed_and_is_no_step(fake: FakeClocks) -> None:
    for _ in range(10_000):
        fake.pass_time(1.0, drift=0.0005)
        assert not fake.clock.look()
        assert math.isclose(fake.wall_seconds + fake.clock.wall_offset(), fake.clock.now(), rel_tol=0, abs_tol=0.051)
    assert fake.clock.wall_offset() == pytest.approx(-5.0, abs=0.051)
    assert fake.clock.steps == 0


def test_losing_the_processor_between_two_clock_reads_is_no_step(fake: FakeClocks) -> None:
    fake.pauses = [0.0, 2.0]
    assert not fake.clock.look()
    fake.pauses = [2.0]
    assert not fake.clock.look()
    assert fake.clock.wall_offset() == 0.0


def test_the_real_clocks_agree_with_themselves() -> None:
    clock = SystemClock()
    instants = [clock.now() for _ in range(1000)]
    assert instants == sorted(instants)
    assert not clock.look()
    assert clock.wall_offset() == 0.0
