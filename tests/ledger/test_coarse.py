"""Steps of slow counters: where inside them their energy goes."""

from math import inf

import numpy as np
import pytest

from exporter.domain.readings import Device
from exporter.ledger.claims import Claims, Life
from exporter.ledger.coarse import COARSE_SECONDS, CoarseSteps, Ready, Step, refine, split
from exporter.ledger.company import Company
from exporter.ledger.slices import Slices

SLOW = Device("gpu0", "gpu", has_counter=True, period_seconds=30.0)
STEP = Step(0.0, 10.0, 10 * 80.0 + 3 * 220.0)
"""A board that draws 80 W, and 300 W for three seconds."""


def row(*lives: tuple[float, float], step: Step = STEP) -> Slices:
    """Ten seconds of slices with a step that was spread evenly, and who was there."""
    slices = Slices(devices=2, lanes=1, slice_seconds=0.1, capacity=120, since=0.0)
    slices.deposit(1, step.start, step.end, step.joules)
    slices.register(0, Claims.of([Life(start, start, end, 0.0, 0.0) for start, end in lives]))
    return slices


def told(
    slices: Slices, *running: tuple[float, float], step: Step = STEP, idle: float | None = 80.0, most: float = 700.0
) -> Slices:
    """The same slices once all has been told of the step, with those who run."""
    claims = [Claims.of([Life(start, start, end, 0.0, 0.0) for start, end in running])]
    refine(slices, [Ready(1, step, idle, most)], lambda _: claims)
    return slices


def between(slices: Slices, start: float, end: float) -> float:
    return float(slices.left[1, round(10 * start) : round(10 * end)].sum())


class TestRefining:
    def test_seconds_without_anybody_get_the_baseline_and_busy_ones_the_rest(self) -> None:
        slices = told(row((5.0, 8.0)))
        assert between(slices, 0.0, 5.0) == pytest.approx(5 * 80.0)
        assert between(slices, 5.0, 8.0) == pytest.approx(3 * 300.0)
        assert between(slices, 8.0, 10.0) == pytest.approx(2 * 80.0)

    def test_who_still_runs_counts_as_who_has_ended_does(self) -> None:
        assert between(told(row((5.0, 7.0)), (7.0, 8.0)), 5.0, 8.0) == pytest.approx(3 * 300.0)

    def test_unknown_company_counts_too(self) -> None:
        slices = row((5.0, 7.0))
        slices.company = (company := Company(),)
        company.add(7.0, 8.0, 2.0)
        assert between(told(slices), 5.0, 8.0) == pytest.approx(3 * 300.0)

    def test_where_somebody_unknown_may_have_been_it_stays_even(self) -> None:
        slices = row((5.0, 8.0))
        slices.company = (company := Company(),)
        company.suspect(1.0, 2.0)
        assert told(slices).left[1, :100] == pytest.approx(np.full(100, STEP.joules / 100))

    def test_a_slice_that_is_busy_in_part_gets_both_in_part(self) -> None:
        slices = told(row((5.05, 8.05)))
        assert slices.left[1, 50] == pytest.approx(0.05 * 80.0 + 0.05 * 300.0)
        assert slices.left[1, 60] == pytest.approx(0.1 * 300.0)

    def test_what_was_metered_stays_as_the_counter_told_it(self) -> None:
        slices = told(row((5.0, 8.0)))
        assert slices.energy[1, :100] == pytest.approx(np.full(100, STEP.joules / 100))
        assert between(slices, 0.0, 10.0) == pytest.approx(STEP.joules, rel=1e-12)

    def test_other_devices_and_other_steps_are_left_alone(self) -> None:
        slices = row((5.0, 8.0))
        slices.deposit(0, 0.0, 10.0, 1000.0)
        slices.deposit(1, 10.0, 11.0, 90.0)
        told(slices)
        assert slices.left[0, :100] == pytest.approx(np.full(100, 10.0))
        assert between(slices, 10.0, 11.0) == pytest.approx(90.0)

    def test_the_change_is_saved_with_the_next_checkpoint(self) -> None:
        slices = row((5.0, 8.0))
        slices.touched = slices.reached
        assert told(slices).touched == 0

    def test_what_has_closed_is_not_touched_any_more(self) -> None:
        slices = row((5.0, 8.0))
        slices.ripe = 20
        slices.close(20)
        assert told(slices).left[1, 20:100] == pytest.approx(np.full(80, STEP.joules / 100))

    def test_no_more_moves_than_is_left(self) -> None:
        slices = row((5.0, 8.0))
        slices.left[1, :50] = 1.0
        before = slices.unsettled()
        told(slices)
        assert slices.left.min() >= 0.0
        assert slices.left[1, 0] == pytest.approx(0.0)
        assert slices.unsettled() == pytest.approx(before)


class TestEvenly:
    @pytest.mark.parametrize("lives", [[], [(0.0, 10.0)], [(-5.0, 20.0)], [(5.0, 5.0001)]])
    def test_a_step_that_is_idle_or_busy_as_a_whole_stays_even(self, lives: list[tuple[float, float]]) -> None:
        assert told(row(*lives)).left[1, :100] == pytest.approx(np.full(100, STEP.joules / 100))

    def test_without_a_baseline_it_stays_even(self) -> None:
        assert between(told(row((5.0, 8.0)), idle=None), 5.0, 8.0) == pytest.approx(0.3 * STEP.joules)

    @pytest.mark.parametrize("idle", [147.0, 250.0])
    def test_a_baseline_that_leaves_less_than_itself_for_busy_time_is_not_believed(self, idle: float) -> None:
        assert between(told(row((5.0, 8.0)), idle=idle), 5.0, 8.0) == pytest.approx(0.3 * STEP.joules)


def test_busy_time_is_given_no_more_than_the_device_can_draw() -> None:
    seconds, busy = np.full(10, 1.0), np.array([1.0] + 9 * [0.0])
    capped = split(1460.0, seconds, busy, (80.0, 700.0))
    assert capped[0] == pytest.approx(700.0)
    assert capped[1:] == pytest.approx(np.full(9, 760.0 / 9.0))
    assert split(1460.0, seconds, busy, (80.0, inf))[0] == pytest.approx(740.0)


class TestWaiting:
    def test_a_step_waits_until_all_has_been_told_of_its_time(self) -> None:
        steps = CoarseSteps(SLOW)
        first, second = Step(0.0, 30.0, 1.0), Step(30.0, 60.0, 2.0)
        steps.wait(first)
        steps.wait(second)
        assert steps.take(29.9, 0.0) == []
        assert steps.since == 0.0
        assert steps.take(30.0, 0.0) == [first]
        assert steps.since == 30.0
        assert steps.take(inf, 0.0) == [second]
        assert steps.since == inf

    def test_a_step_that_has_to_settle_untold_is_let_go_unrefined(self) -> None:
        steps = CoarseSteps(SLOW)
        steps.wait(Step(0.0, 30.0, 1.0))
        steps.wait(Step(30.0, 60.0, 1.0))
        assert steps.take(20.0, 0.1) == []
        assert steps.since == 30.0

    def test_only_slow_counters_have_coarse_steps(self) -> None:
        quick, power = (
            Device("gpu0", "gpu", has_counter=True, period_seconds=0.99 * COARSE_SECONDS),
            Device("gpu0", "gpu", has_counter=False, period_seconds=30.0),
        )
        for steps in map(CoarseSteps, (quick, power)):
            steps.wait(Step(0.0, 30.0, 1.0))
            assert steps.since == inf
