"""What a few seconds of readings say about a sensor."""

from dataclasses import replace

import pytest

from exporter.clock import SystemClock
from exporter.doctor.probe import measure, probe
from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.domain.units import Instant, Joules, Watts

GPU = Device("gpu0", "gpu", has_counter=True, limit_watts=700.0)


def _readings(
    watts: float = 100.0, gain: float = 1.0, period: float = 0.1, seconds: float = 2.0, power_every: int = 4
) -> list[Reading]:
    """Polls every 20 ms of a counter that steps every `period` seconds, with power beside it."""
    readings: list[Reading] = []
    for poll in range(round(seconds / 0.02)):
        at = Instant(1000.0 + 0.02 * poll)
        stepped = ((0.02 * poll + 0.013) // period) * period
        readings.append(CounterReading("gpu0", at, Joules(5.0 + gain * watts * stepped)))
        if poll % power_every == 0:
            readings.append(PowerReading("gpu0", at, Watts(watts)))
    return readings


def test_counter_and_power_are_held_against_each_other_over_the_same_stretch() -> None:
    measured = measure(GPU, _readings())
    assert measured.seconds == pytest.approx(1.8, abs=0.15)
    assert measured.mean_watts == pytest.approx(100.0, rel=0.01)
    assert measured.ratio == pytest.approx(1.0, rel=0.01)
    assert measured.period_seconds == pytest.approx(0.1, rel=0.05)


def test_a_counter_that_runs_twice_too_fast_shows_in_the_ratio() -> None:
    assert measure(GPU, _readings(gain=2.0)).ratio == pytest.approx(2.0, rel=0.01)


def test_a_counter_that_is_new_at_every_read_has_no_period_but_says_so() -> None:
    measured = measure(GPU, _readings(period=0.001))
    assert measured.period_seconds is None
    assert measured.always_new


def test_a_counter_that_stands_still_tells_nothing() -> None:
    measured = measure(GPU, _readings(watts=0.0))
    assert (measured.mean_watts, measured.counter_joules, measured.ratio) == (None, None, None)
    assert not measured.always_new


def test_the_grain_of_a_counter_is_its_period_or_how_often_it_is_asked() -> None:
    assert measure(GPU, _readings()).grain_seconds(0.05) == pytest.approx(0.1, rel=0.05)
    assert measure(GPU, _readings(period=0.001)).grain_seconds(0.05) == 0.05
    assert measure(GPU, _readings(watts=0.0)).grain_seconds(0.05) is None


def test_the_grain_of_power_alone_is_no_finer_than_the_window_it_is_a_mean_of() -> None:
    readings = [reading for reading in _readings() if isinstance(reading, PowerReading)]
    averaging = replace(GPU, has_counter=False, power_window_seconds=1.0)
    assert measure(averaging, readings).grain_seconds(0.05) == 1.0


def test_power_alone_is_integrated() -> None:
    readings = [reading for reading in _readings() if isinstance(reading, PowerReading)]
    measured = measure(replace(GPU, has_counter=False), readings)
    assert measured.counter_joules is None
    assert measured.power_joules == pytest.approx(100.0 * measured.seconds)


def test_failures_are_counted_by_reason() -> None:
    lost = [ReadFailure("gpu0", Instant(1000.0 + n), "gpu_is_lost") for n in range(3)]
    measured = measure(GPU, lost)
    assert measured.readings == 0
    assert measured.failures == {"gpu_is_lost": 3}


class _Source:
    """Remembers how it was used."""

    devices = (GPU,)

    def __init__(self) -> None:
        self.reads = self.closed = 0

    def read(self) -> list[Reading]:
        self.reads += 1
        return []

    def close(self) -> None:
        self.closed += 1


def test_a_source_is_read_for_a_while_and_then_closed() -> None:
    source = _Source()
    probe(source, 0.05, SystemClock(), seconds=0.05)
    assert source.reads > 0
    assert source.closed == 1
