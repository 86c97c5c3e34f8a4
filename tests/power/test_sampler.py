import time
from collections.abc import Sequence
from itertools import pairwise
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.readings import CounterReading, Device, ReadFailure, Reading
from exporter.domain.units import Instant, Joules, later
from exporter.power.sampler import BURST_INTERVAL_SECONDS, BURST_SECONDS, LONGEST_INTERVAL_SECONDS, Pace, Sampler

START = Instant(1000.0)


def run(pace: Pace, until: float, call_seconds: float) -> list[float]:
    """Read on time until so long after START, each call taking so long; when each began, after START."""
    began: list[float] = []
    while pace.due - START < until:
        began.append(pace.due - START)
        pace.called(pace.due, later(pace.due, call_seconds))
    return began


def steady(interval_seconds: float = 0.05, call_seconds: float = 1e-5) -> Pace:
    """A pace whose burst is over."""
    pace = Pace(interval_seconds, START)
    run(pace, BURST_SECONDS + 0.2, call_seconds)
    return pace


def gaps(instants: Sequence[float]) -> list[float]:
    return [after - before for before, after in pairwise(instants)]


class TestPace:
    def test_begins_with_a_burst_and_goes_on_at_the_interval(self) -> None:
        began = run(Pace(0.05, START), 3.0, 1e-5)
        burst = [t for t in began if t < BURST_SECONDS]
        assert began[0] == 0.0
        assert gaps(burst) == pytest.approx([BURST_INTERVAL_SECONDS] * (len(burst) - 1))
        assert gaps(began[len(burst) :]) == pytest.approx([0.05] * (len(began) - len(burst) - 1))

    def test_does_not_drift_however_late_reads_come(self) -> None:
        pace = steady()
        first = pace.due
        for _ in range(100):
            late = later(pace.due, 0.013)
            pace.called(late, later(late, 1e-5))
        assert pace.due - first == pytest.approx(100 * 0.05)

    def test_skips_missed_reads_and_keeps_the_grid(self) -> None:
        pace = steady()
        first = pace.due
        woke = later(first, 0.26)
        pace.called(woke, later(woke, 1e-5))
        assert pace.due - first == pytest.approx(0.30)

    def test_slow_calls_stretch_the_interval_to_a_fiftieth(self) -> None:
        pace = Pace(0.05, START)
        run(pace, 30.0, 0.004)
        assert pace.interval_seconds == pytest.approx(0.2)
        assert pace.call_seconds == pytest.approx(0.004)

    def test_stretches_no_further_than_a_second(self) -> None:
        pace = Pace(0.05, START)
        run(pace, 30.0, 0.5)
        assert pace.interval_seconds == LONGEST_INTERVAL_SECONDS

    def test_recovers_within_seconds_of_calls_being_fast_again(self) -> None:
        pace = Pace(0.05, START)
        run(pace, 30.0, 0.5)
        run(pace, 42.0, 1e-5)
        assert pace.interval_seconds == 0.05

    def test_one_slow_call_is_no_trend(self) -> None:
        pace = steady()
        pace.called(pace.due, later(pace.due, 0.015))
        assert pace.interval_seconds == 0.05

    def test_an_interval_beyond_the_longest_is_the_users_will(self) -> None:
        assert steady(interval_seconds=5.0).interval_seconds == 5.0

    def test_slow_calls_thin_out_the_burst_too(self) -> None:
        began = run(Pace(0.05, START), BURST_SECONDS, 0.004)
        assert gaps(began)[-1] == pytest.approx(0.02)

    @given(
        st.floats(0.005, 2.0),
        st.lists(st.tuples(st.floats(0, 0.5), st.floats(1e-6, 2.0)), min_size=1, max_size=60),
    )
    def test_the_next_read_is_never_past_and_never_further_than_one_interval(
        self, interval: float, calls: list[tuple[float, float]]
    ) -> None:
        pace = Pace(interval, START)
        for late, seconds in calls:
            began = later(pace.due, late)
            ended = later(began, seconds)
            pace.called(began, ended)
            longest = max(interval, LONGEST_INTERVAL_SECONDS)
            assert -1e-6 <= pace.due - ended <= longest + 1e-6


def joules(readings: Sequence[Reading]) -> list[float]:
    return [reading.joules for reading in readings if isinstance(reading, CounterReading)]


class MonotonicClock:
    def now(self) -> Instant:
        return Instant(time.monotonic())

    def wall_offset(self) -> float:
        return 0.0

    def real(self, seconds: float) -> float:
        return seconds


class PatientClock(MonotonicClock):
    """Sleeps a thousand times as long as it is told to."""

    def real(self, seconds: float) -> float:
        return 1000.0 * seconds


class ScriptedSource:
    """Answers one reading a read, and says when it has been read so often."""

    def __init__(self, enough: int, *, failing: bool = False) -> None:
        self.devices = (Device("gpu0", "gpu"),)
        self.closed = 0
        self.reads = 0
        self.was_read_enough = Event()
        self._enough = enough
        self._failing = failing

    def read(self) -> Sequence[Reading]:
        at = Instant(time.monotonic())
        self.reads += 1
        if self.reads >= self._enough:
            self.was_read_enough.set()
        if self._failing:
            return [ReadFailure("gpu0", at, "gpu_is_lost")]
        return [CounterReading("gpu0", at, Joules(self.reads))]

    def close(self) -> None:
        self.closed += 1


class TestSampler:
    def test_reads_in_a_thread_hands_over_in_order_and_closes(self) -> None:
        source = ScriptedSource(enough=10)
        sampler = Sampler(source, 0.05, MonotonicClock())
        assert not sampler.up
        sampler.start()
        assert source.was_read_enough.wait(5.0)
        readings = sampler.drain()
        was_up = sampler.up
        sampler.stop()
        readings += sampler.drain()
        assert joules(readings) == list(range(1, source.reads + 1))
        assert (was_up, sampler.up, source.closed, sampler.drain()) == (True, False, 1, [])
        assert sampler.interval_seconds >= 0.05
        assert sampler.call_seconds < 0.05

    def test_a_source_that_only_fails_is_not_up_but_its_failures_are_handed_over(self) -> None:
        source = ScriptedSource(enough=3, failing=True)
        sampler = Sampler(source, 0.05, MonotonicClock())
        sampler.start()
        assert source.was_read_enough.wait(5.0)
        assert not sampler.up
        sampler.stop()
        assert {type(reading) for reading in sampler.drain()} == {ReadFailure}

    def test_an_inbox_that_nobody_drains_keeps_the_latest_and_counts_the_rest(self) -> None:
        source = ScriptedSource(enough=1)
        sampler = Sampler(source, 0.05, MonotonicClock(), inbox_limit=3)
        for _ in range(10):
            sampler._read_once()
        assert joules(sampler.drain()) == [8, 9, 10]
        assert sampler.dropped == 7

    def test_stopping_before_starting_closes_the_source(self) -> None:
        source = ScriptedSource(enough=1)
        Sampler(source, 0.05, MonotonicClock()).stop()
        assert source.closed == 1

    def test_stopping_where_no_thread_could_be_begun_closes_the_source(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_more(_self: Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(Thread, "start", no_more)
        source = ScriptedSource(enough=1)
        sampler = Sampler(source, 0.05, MonotonicClock())
        with pytest.raises(RuntimeError):
            sampler.start()
        sampler.stop()
        assert (source.closed, sampler.up) == (1, False)

    def test_stopping_does_not_wait_for_a_read_that_is_due_much_later(self) -> None:
        source = ScriptedSource(enough=1)
        sampler = Sampler(source, 0.05, PatientClock())
        sampler.start()
        assert source.was_read_enough.wait(5.0)
        sampler.stop()
        assert (source.reads, source.closed) == (1, 1)


@pytest.mark.parametrize("has_counter", [False, True])
def test_power_that_is_new_every_half_minute_is_not_down_in_between_and_a_counter_is(*, has_counter: bool) -> None:
    class Seldom(ScriptedSource):
        devices = (Device("gpu0", "gpu", has_counter=has_counter, period_seconds=30.0),)

        def read(self) -> Sequence[Reading]:
            return super().read() if self.reads == 0 else []

    class Later(MonotonicClock):
        ahead = 0.0

        def now(self) -> Instant:
            return Instant(time.monotonic() + self.ahead)

    source, clock = Seldom(1), Later()
    source.devices = Seldom.devices
    sampler = Sampler(source, 0.05, clock)
    sampler.start()
    assert source.was_read_enough.wait(5.0)
    for _ in range(500):
        if sampler.drain():
            break
        time.sleep(0.005)
    clock.ahead = 40.0
    assert sampler.up == (not has_counter)
    clock.ahead = 80.0
    assert not sampler.up
    sampler.stop()
