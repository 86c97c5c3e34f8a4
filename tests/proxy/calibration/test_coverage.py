"""Whether intervals hold what they promise, on simulated servers, where the truth of every request is known.

Nine of ten truths are to lie within. `python -m tests.bench.coverage` tells more, on longer runs.
"""

from dataclasses import replace

import numpy as np
import pytest

from exporter.proxy.calibration.calibration import Calibration, from_json, to_json
from tests.bench.coverage import FRESH, Outcome, calibrate, estimate, run_of, together
from tests.simulation.hearing import Sight

LONELY_SEEDS = range(FRESH, FRESH + 24)
"""Servers differ in how well they are learned by more than their requests do: it takes many to tell 90 % from 95."""
SEEDS = range(FRESH, FRESH + 5)
VARIED_SECONDS = 320.0


def held(outcome: Outcome) -> float:
    return float(outcome.held.mean())


@pytest.fixture(scope="module")
def varied() -> dict[int, Calibration]:
    """Calibrations of servers that met everything from single requests to a crowd."""
    return {seed: calibrate(run_of(seed, "varied", VARIED_SECONDS))[0] for seed in SEEDS}


def test_requests_that_run_alone_lie_within_their_intervals_nine_times_of_ten() -> None:
    calibrations = [calibrate(run_of(seed, "alone", 300.0))[0] for seed in LONELY_SEEDS]
    runs = [run_of(seed, "alone", 200.0, again=True) for seed in LONELY_SEEDS]
    outcome = together([estimate(*pair) for pair in zip(runs, calibrations, strict=True)])
    assert outcome.alone.all()
    assert len(outcome.truth) == 960
    assert 0.85 <= held(outcome) <= 0.95


def test_requests_that_overlap_lie_within_their_intervals_nine_times_of_ten(varied: dict[int, Calibration]) -> None:
    outcomes = [
        together([estimate(run_of(seed, batch, 50.0, again=True), varied[seed]) for seed in SEEDS])
        for batch in (2.0, 8.0, 24.0)
    ]
    overlapping = [one.rows(~one.alone) for one in outcomes]
    assert 0.85 <= held(together(overlapping)) <= 0.95
    assert all(held(one) >= 0.8 for one in overlapping)


def test_estimates_are_as_near_as_their_intervals_say(varied: dict[int, Calibration]) -> None:
    outcome = estimate(run_of(FRESH, 12.0, 50.0, again=True), varied[FRESH])
    off, width = np.log(outcome.truth / outcome.joules), np.log(outcome.high / outcome.joules)
    assert np.sqrt(np.mean(off**2)) < 0.15
    assert np.median(width) < 0.25


def test_a_file_in_between_makes_no_difference(varied: dict[int, Calibration]) -> None:
    run = run_of(FRESH, 2.0, 50.0, again=True)
    direct, carried = estimate(run, varied[FRESH]), estimate(run, from_json(to_json(varied[FRESH])))
    assert np.array_equal(direct.joules, carried.joules)
    assert np.array_equal(direct.low, carried.low)


def test_without_tokens_in_the_log_intervals_are_wider_and_still_hold(varied: dict[int, Calibration]) -> None:
    runs = {seed: run_of(seed, 2.0, 50.0, again=True) for seed in SEEDS}
    blind = Sight(tokens=False, first_token=False)
    full = together([estimate(run, varied[seed]) for seed, run in runs.items()])
    outcome = together([estimate(run, varied[seed], blind) for seed, run in runs.items()])
    assert np.isfinite(outcome.joules).all()
    assert np.median(outcome.high / outcome.low) > np.median(full.high / full.low)
    assert held(outcome) >= 0.8


def test_a_crowd_that_was_never_seen_widens_intervals(varied: dict[int, Calibration]) -> None:
    outcome = estimate(run_of(FRESH, 12.0, 50.0, again=True), varied[FRESH])
    lonely = calibrate(run_of(FRESH, "alone", 300.0))[0]
    guessed = estimate(run_of(FRESH, 12.0, 50.0, again=True), lonely)
    assert np.median(guessed.high / guessed.low) > 1.5 * np.median(outcome.high / outcome.low)
    assert held(guessed) >= 0.8


def test_three_requests_make_no_one_sure(varied: dict[int, Calibration]) -> None:
    few = {
        name: replace(proxy, alone=tuple(replace(one, samples=3, effective=3.0) for one in proxy.alone), shared=())
        for name, proxy in varied[FRESH].proxies.items()
    }
    outcome = estimate(run_of(FRESH, "alone", 100.0, again=True), replace(varied[FRESH], proxies=few))
    assert np.min(outcome.high / outcome.joules) > 1.15
