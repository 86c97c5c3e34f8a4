"""A board's sensors have an H100's habits, and fail as real ones do."""

import pytest

from exporter.simulate.engine import Step
from exporter.simulate.sensor import PERIOD_SECONDS, Sensor
from exporter.simulate.trace import EnergyTrace


def a_sensor(share: float = 1.0, index: int = 0) -> tuple[Sensor, EnergyTrace]:
    trace = EnergyTrace(100.0)
    return Sensor(trace, share, index), trace


def test_the_counter_repeats_itself_between_its_steps() -> None:
    sensor, _ = a_sensor()
    said = [sensor.counter(1.0 + number * 0.01) for number in range(1000)]
    assert len(set(said)) == pytest.approx(10.0 / PERIOD_SECONDS, abs=1)
    assert said == sorted(said)


def test_the_counter_counts_whole_millijoules_of_its_own_share() -> None:
    sensor, _ = a_sensor(share=0.3333333)
    before, after = sensor.counter(10.0), sensor.counter(20.0)
    assert after - before == pytest.approx(0.3333333 * 1000.0, abs=2e-3)
    assert after * 1e3 == pytest.approx(round(after * 1e3), abs=1e-5)


def test_power_is_the_mean_over_the_last_25_milliseconds_before_a_renewal() -> None:
    sensor, trace = a_sensor()
    trace.add(Step(1.0 - 0.0125, 1.2, 400.0 * 0.2125, 0, 1, 0, 1))
    assert sensor.watts(1.05) == pytest.approx((100.0 + 400.0) / 2)
    assert sensor.watts(1.15) == pytest.approx(400.0)


def test_boards_are_renewed_each_at_its_own_moment() -> None:
    sensors = [a_sensor(index=index)[0] for index in range(8)]
    moments = [next(t for t in range(1, 200) if one.counter(t / 1e3) != one.counter(1e-3)) for one in sensors]
    assert len(set(moments)) == 8


def test_a_lost_board_is_back_after_its_time_and_has_counted_on() -> None:
    sensor, _ = a_sensor()
    before = sensor.counter(10.0)
    sensor.lose(10.0, 5.0)
    assert [sensor.lost(at) for at in (9.9, 10.0, 14.9, 15.0)] == [True, True, True, False]
    assert sensor.counter(20.0) - before == pytest.approx(1000.0)


def test_a_stuck_counter_stands_still_and_then_says_what_it_should() -> None:
    sensor, _ = a_sensor()
    sensor.stick(10.0, 20.0)
    assert sensor.counter(10.0) == sensor.counter(29.9)
    assert sensor.counter(30.5) - sensor.counter(10.0) == pytest.approx(2050.0, abs=11.0)


def test_a_reset_counter_begins_at_nothing() -> None:
    sensor, _ = a_sensor()
    assert sensor.counter(10.0) > 1e5
    sensor.reset(10.0)
    assert sensor.counter(10.05) == 0.0
    assert sensor.counter(20.0) == pytest.approx(1000.0, abs=11.0)
