"""From readings to joules: what the counter says, and what stands in for it."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from exporter.domain.readings import CounterReading, PowerReading, ReadFailure
from exporter.domain.units import Instant, Joules, Watts
from exporter.ledger.integral import Segment
from exporter.ledger.meter import Meter
from tests.ledger.sensors import COUNTER, POWER, between, both, counts, joules, listen, powers, steadily


def wave(at: float) -> float:
    """Energy of a board that draws 100 W, and 500 W in every other second."""
    whole, part = divmod(at, 2.0)
    return 600.0 * whole + 100.0 * part + 400.0 * max(part - 1.0, 0.0)


def assert_seamless(segments: list[Segment]) -> None:
    for before, after in pairwise(segments):
        assert after.start == before.end


class TestCounter:
    def test_energy_is_the_counters_difference_however_it_is_polled(self) -> None:
        for poll in (0.013, 0.05, 0.1, 0.37, 0.9):
            segments = listen(Meter(COUNTER), counts(wave, 0.0, 30.0, poll=poll))
            truth = wave(segments[-1].end) - wave(segments[0].start)
            assert joules(segments) == pytest.approx(truth, abs=500.0 * max(poll, 0.1))
            assert_seamless(segments)

    def test_a_step_is_dated_to_the_middle_of_when_it_can_have_happened(self) -> None:
        segments = listen(Meter(COUNTER), counts(steadily(100.0), 0.0, 10.0, poll=0.03, step=0.1))
        for segment in segments[20:]:
            off = (segment.end + 0.05) % 0.1 - 0.05
            assert abs(off) <= 0.016

    def test_energy_inside_a_second_is_right_to_a_few_percent(self) -> None:
        segments = listen(Meter(COUNTER), counts(wave, 0.0, 30.0, poll=0.05))
        for second in range(10, 20):
            assert between(segments, second, second + 1) == pytest.approx(wave(second + 1) - wave(second), rel=0.1)

    def test_the_period_is_measured_where_polls_are_finer_than_steps(self) -> None:
        meter = Meter(COUNTER)
        listen(meter, counts(steadily(100.0), 0.0, 20.0, poll=0.03, step=0.1))
        assert meter.period_seconds == pytest.approx(0.1, rel=0.05)

    def test_no_period_is_claimed_where_every_poll_finds_a_new_value(self) -> None:
        meter = Meter(COUNTER)
        listen(meter, counts(steadily(100.0), 0.0, 20.0, poll=0.25, step=0.1))
        assert meter.period_seconds is None

    def test_what_the_counter_says_across_a_hole_is_marked_interpolated(self) -> None:
        meter = Meter(COUNTER)
        readings = [*counts(steadily(200.0), 0.0, 5.0), *counts(steadily(200.0), 25.0, 30.0)]
        segments = listen(meter, readings)
        assert joules(segments) == pytest.approx(200.0 * (segments[-1].end - segments[0].start), abs=20.0)
        assert meter.interpolated_joules == pytest.approx(200.0 * 20.0, rel=0.02)
        assert meter.gap_seconds == 0.0

    def test_failures_are_counted_and_change_nothing(self) -> None:
        meter = Meter(COUNTER)
        failures = [ReadFailure("gpu0", Instant(at), "timeout") for at in (1.01, 1.02)]
        segments = listen(meter, both(counts(steadily(100.0), 0.0, 3.0), failures))
        assert joules(segments) == pytest.approx(100.0 * (segments[-1].end - segments[0].start), abs=10.0)
        assert meter.failures == {"timeout": 2}
        assert meter.readings == 60

    def test_a_counter_that_wraps_goes_on(self) -> None:
        meter = Meter(replace(COUNTER, counter_range_joules=262.144))
        segments = listen(meter, counts(lambda at: (100.0 * at + 200.0) % 262.144, 0.0, 30.0))
        assert joules(segments) == pytest.approx(100.0 * (segments[-1].end - segments[0].start), abs=10.0)
        assert meter.resets == 0

    def test_zero_joules_is_a_reading(self) -> None:
        meter = Meter(COUNTER)
        listen(meter, [CounterReading("gpu0", Instant(0.0), Joules(0.0))])
        assert meter.frontier == 0.0

    def test_a_silent_sensor_shows_no_power(self) -> None:
        meter = Meter(COUNTER)
        listen(meter, counts(steadily(100.0), 0.0, 3.0))
        assert meter.watts(Instant(3.0)) == pytest.approx(100.0)
        assert meter.watts(Instant(30.0)) is None


class TestDistrust:
    def test_a_stuck_counter_gives_way_to_power_without_losing_a_joule(self) -> None:
        meter = Meter(COUNTER)
        stuck = counts(lambda at: 200.0 * min(at, 10.0), 0.0, 40.0)
        segments = listen(meter, both(stuck, powers(lambda _: 200.0, 0.0, 40.0)))
        assert not meter.counter_in_use
        assert joules(segments) == pytest.approx(200.0 * (segments[-1].end - segments[0].start), abs=20.0)
        assert segments[-1].end > 39.0
        assert_seamless(segments)

    def test_a_stuck_counter_gives_way_even_where_power_had_a_hole_meanwhile(self) -> None:
        meter = Meter(COUNTER)
        stuck = counts(lambda at: 200.0 * min(at, 10.0), 0.0, 60.0)
        power = [*powers(lambda _: 200.0, 0.0, 15.0), *powers(lambda _: 200.0, 35.0, 60.0)]
        segments = listen(meter, both(stuck, power))
        assert not meter.counter_in_use
        assert joules(segments) + 200.0 * meter.gap_seconds == pytest.approx(200.0 * segments[-1].end, rel=0.01)

    def test_a_counter_stands_still_while_the_board_draws_nothing(self) -> None:
        meter = Meter(COUNTER)
        listen(meter, both(counts(steadily(0.0), 0.0, 60.0), powers(lambda _: 0.0, 0.0, 60.0)))
        assert meter.counter_in_use

    def test_a_counter_that_is_absurd_for_a_minute_gives_way_to_power(self) -> None:
        meter = Meter(COUNTER)
        segments = listen(meter, both(counts(steadily(900.0), 0.0, 150.0), powers(lambda _: 300.0, 0.0, 150.0)))
        assert not meter.counter_in_use
        assert meter.ratio == pytest.approx(3.0, rel=0.02)
        assert between(segments, 80.0, 140.0) == pytest.approx(300.0 * 60.0, rel=1e-3)
        assert_seamless(segments)

    def test_a_counter_that_is_off_by_less_than_half_is_believed_and_its_ratio_shown(self) -> None:
        meter = Meter(COUNTER)
        listen(meter, both(counts(steadily(390.0), 0.0, 150.0), powers(lambda _: 300.0, 0.0, 150.0)))
        assert meter.counter_in_use
        assert meter.ratio == pytest.approx(1.3, rel=0.02)

    def test_a_counter_that_was_good_for_a_minute_is_trusted_again(self) -> None:
        meter = Meter(COUNTER)
        lapse = counts(lambda at: 300.0 * at + 600.0 * np.clip(at - 50.0, 0.0, 100.0), 0.0, 400.0)
        readings = list(both(lapse, powers(lambda _: 300.0, 0.0, 400.0)))
        middle = listen(meter, [one for one in readings if one.at < 200.0])
        assert not meter.counter_in_use
        segments = middle + listen(meter, [one for one in readings if one.at >= 200.0])
        assert meter.counter_in_use
        assert between(segments, 140.0, 390.0) == pytest.approx(300.0 * 250.0, rel=1e-3)
        assert_seamless(segments)

    def test_a_reset_is_bridged_by_power(self) -> None:
        meter = Meter(COUNTER)
        reset = counts(lambda at: 1000.0 + 300.0 * at if at < 20.0 else 300.0 * (at - 20.0), 0.0, 40.0)
        segments = listen(meter, both(reset, powers(lambda _: 300.0, 0.0, 40.0)))
        assert meter.resets == 1
        assert joules(segments) == pytest.approx(300.0 * (segments[-1].end - segments[0].start), rel=1e-3)
        assert_seamless(segments)

    def test_a_reset_that_power_did_not_see_is_lost_and_said_so(self) -> None:
        meter = Meter(COUNTER)
        before = counts(steadily(300.0), 0.0, 20.0)
        after = counts(lambda at: 300.0 * (at - 50.0), 50.0, 60.0)
        segments = listen(meter, both(before, after, powers(lambda _: 300.0, 0.0, 20.0)))
        assert meter.resets == 1
        assert meter.gap_seconds == pytest.approx(30.0, abs=1.5)
        assert joules(segments) == pytest.approx(300.0 * (60.0 - meter.gap_seconds), rel=0.02)

    def test_a_jump_no_board_could_draw_is_taken_for_a_reset(self) -> None:
        meter = Meter(COUNTER)
        jump = counts(lambda at: 300.0 * at + (1e6 if at > 10.0 else 0.0), 0.0, 20.0)
        segments = listen(meter, both(jump, powers(lambda _: 300.0, 0.0, 20.0)))
        assert meter.resets == 1
        assert joules(segments) == pytest.approx(300.0 * (segments[-1].end - segments[0].start), rel=0.01)


class TestPowerOnly:
    def test_power_is_integrated(self) -> None:
        segments = listen(Meter(POWER), powers(lambda at: 10.0 * at, 0.0, 10.0))
        assert joules(segments) == pytest.approx(5.0 * 9.8**2)
        assert_seamless(segments)

    def test_zero_watts_is_a_reading(self) -> None:
        meter = Meter(POWER)
        segments = listen(meter, powers(lambda _: 0.0, 0.0, 5.0))
        assert joules(segments) == 0.0
        assert segments[-1].end == pytest.approx(4.8)
        assert meter.watts(Instant(5.0)) == 0.0

    def test_a_mean_over_a_second_describes_the_middle_of_that_second(self) -> None:
        segments = listen(Meter(replace(POWER, power_window_seconds=1.0)), powers(lambda _: 100.0, 10.0, 20.0))
        assert segments[0].start == pytest.approx(9.5)
        assert segments[-1].end == pytest.approx(19.3)

    def test_a_hole_stays_a_hole_and_is_counted(self) -> None:
        meter = Meter(POWER)
        segments = listen(meter, [*powers(lambda _: 100.0, 0.0, 5.0), *powers(lambda _: 100.0, 25.0, 30.0)])
        assert between(segments, 5.0, 25.0) == 0.0
        assert meter.gap_seconds == pytest.approx(20.2)
        assert joules(segments) == pytest.approx(100.0 * (29.8 - meter.gap_seconds))

    def test_slow_polls_leave_no_holes(self) -> None:
        meter = Meter(POWER)
        segments = listen(meter, powers(lambda _: 100.0, 0.0, 60.0, poll=5.0))
        assert meter.gap_seconds <= 5.0
        assert between(segments, 5.0, 55.0) == pytest.approx(5000.0)

    def test_readings_out_of_order_are_left_out(self) -> None:
        readings = [PowerReading("gpu0", Instant(at), Watts(100.0)) for at in (0.0, 0.5, 0.3, 0.5, 1.0)]
        assert joules(listen(Meter(POWER), readings)) == pytest.approx(100.0)

    def test_holes_of_power_are_no_gap_while_the_counter_is_in_use(self) -> None:
        meter = Meter(COUNTER)
        power = [*powers(lambda _: 100.0, 0.0, 5.0), *powers(lambda _: 100.0, 25.0, 60.0)]
        stuck_late = counts(lambda at: 100.0 * min(at, 40.0), 0.0, 60.0)
        listen(meter, both(stuck_late, power))
        assert not meter.counter_in_use
        assert meter.gap_seconds == pytest.approx(0.0, abs=0.1)


def restarted(meter: Meter) -> Meter:
    """The same meter after a restart."""
    again = Meter(meter.device)
    again.restore(json.loads(json.dumps(meter.snapshot())))
    return again


class TestRestart:
    def test_the_counter_knows_what_was_used_meanwhile(self) -> None:
        before = Meter(COUNTER)
        first = listen(before, counts(steadily(200.0), 0.0, 5.0))
        after = restarted(before)
        second = listen(after, counts(steadily(200.0), 35.0, 40.0))
        assert second[0].start == first[-1].end
        assert second[0].interpolated
        assert joules(first + second) == pytest.approx(200.0 * (second[-1].end - first[0].start), abs=20.0)
        assert after.gap_seconds == 0.0

    def test_power_alone_does_not_and_the_gap_is_counted(self) -> None:
        before = Meter(POWER)
        first = listen(before, powers(lambda _: 200.0, 0.0, 5.0))
        after = restarted(before)
        second = listen(after, powers(lambda _: 200.0, 35.0, 40.0))
        assert between(second, 0.0, 35.0) == 0.0
        assert after.gap_seconds == pytest.approx(35.0 - first[-1].end)

    def test_a_second_that_was_metered_before_is_not_metered_again(self) -> None:
        averaged = replace(POWER, power_window_seconds=1.0)
        before = Meter(averaged)
        first = listen(before, powers(lambda _: 200.0, 0.0, 5.0))
        second = listen(restarted(before), powers(lambda _: 200.0, 4.7, 10.0))
        assert joules(first + second) == pytest.approx(200.0 * (second[-1].end - first[0].start))

    def test_a_distrusted_counter_is_tried_again_and_the_gap_is_counted(self) -> None:
        before = Meter(COUNTER)
        stuck = counts(lambda at: 200.0 * min(at, 5.0), 0.0, 30.0)
        listen(before, both(stuck, powers(lambda _: 200.0, 0.0, 30.0)))
        assert not before.counter_in_use
        after = restarted(before)
        segments = listen(after, counts(steadily(200.0), 60.0, 70.0))
        assert between(segments, 61.0, 69.0) == pytest.approx(1600.0)
        assert after.gap_seconds == pytest.approx(30.2, abs=0.1)

    def test_a_driver_reloaded_meanwhile_is_a_reset(self) -> None:
        before = Meter(COUNTER)
        listen(before, counts(lambda at: 5000.0 + 200.0 * at, 0.0, 5.0))
        after = restarted(before)
        listen(after, counts(steadily(20.0), 35.0, 40.0))
        assert after.resets == 1
        assert after.gap_seconds == pytest.approx(30.0, abs=0.3)


def test_the_first_step_is_not_taken_for_a_whole_one() -> None:
    meter = Meter(COUNTER)
    segments = listen(meter, counts(steadily(100.0), 0.07, 5.0, poll=0.01, step=0.1))
    assert joules(segments) == pytest.approx(100.0 * (segments[-1].end - segments[0].start), rel=1e-3)
