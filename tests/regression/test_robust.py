"""The robust fit, held against known truths under every kind of wrong row."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exporter.regression import RobustFit
from exporter.regression.robust import LATEST
from tests.properties import PROPERTIES

Floats = NDArray[np.float64]
TERMS = ("step", "prefill", "decode")
TRUTH = np.array([3.0, 0.02, 0.07])
KEEP = float(np.exp(-5.0 / 1800.0))
FOLLOWED = 9
"""Rows after which a lasting change has been followed."""


def causes(rng: np.random.Generator, count: int) -> Floats:
    """Five-second stretches on a server whose batch and prompts vary."""
    steps = rng.uniform(50.0, 250.0, count)
    return np.stack([steps, rng.uniform(0.0, 3000.0, count), steps * rng.uniform(1.0, 8.0, count)], axis=1)


def noisy(rng: np.random.Generator, rows: Floats, noise: float = 0.02) -> Floats:
    metered: Floats = rows @ TRUTH * (1.0 + noise * rng.normal(size=len(rows)))
    return metered


def taught(rows: Floats, y: Floats, fit: RobustFit | None = None, keep: float = KEEP) -> RobustFit:
    fit = RobustFit(TERMS) if fit is None else fit
    for row, value in zip(rows, y.tolist(), strict=True):
        fit.add(row, value, keep)
    return fit


def values(fit: RobustFit) -> list[float]:
    return [fit.coefficients[term] for term in TERMS]


def off(fit: RobustFit, truth: Floats = TRUTH) -> float:
    """The largest relative error of what it tells of a hundred rows, and it must tell of nearly all."""
    rows = causes(np.random.default_rng(99), 100)
    said = fit.predict(rows)
    assert np.count_nonzero(np.isfinite(said)) >= 90
    return float(np.nanmax(np.abs(said / (rows @ truth) - 1.0)))


def test_nothing_is_known_before_twelve_rows() -> None:
    rng = np.random.default_rng(1)
    rows = causes(rng, LATEST)
    fit = taught(rows[:-1], rows[:-1] @ TRUTH)
    assert fit.coefficients == fit.errors == {}
    assert np.isnan(fit.predict(rows)).all()
    fit.add(rows[-1], float(rows[-1] @ TRUTH), KEEP)
    assert values(fit) == pytest.approx(TRUTH.tolist())
    assert fit.predict(rows) == pytest.approx(rows @ TRUTH)


def test_rows_that_teach_nothing_do_not_count() -> None:
    fit = RobustFit(TERMS)
    for bad in ([0.0] * 3, [np.nan, 1.0, 1.0], [np.inf, 1.0, 1.0], [1e60, 1.0, 1.0]):
        for _ in range(2 * LATEST):
            fit.add(bad, 5.0)
    for wrong in (np.nan, np.inf, 1e60):
        for _ in range(2 * LATEST):
            fit.add([1.0, 1.0, 1.0], wrong)
    assert fit.coefficients == {}


@pytest.mark.parametrize("at", [0, 11, 12, 60])
def test_a_row_with_a_hundred_times_the_energy_hardly_moves_it(at: int) -> None:
    rng = np.random.default_rng(at)
    rows = causes(rng, at + 30)
    y = noisy(rng, rows)
    y[at] *= 100.0
    assert off(taught(rows, y)) < 0.06


@pytest.mark.parametrize("at", [0, 11, 12, 60])
def test_a_row_with_a_hundred_times_the_causes_hardly_moves_it(at: int) -> None:
    rng = np.random.default_rng(100 + at)
    rows = causes(rng, at + 30)
    y = noisy(rng, rows)
    rows[at] *= 100.0
    assert off(taught(rows, y)) < 0.08


@pytest.mark.parametrize("factor", [0.5, 1.3, 2.0, 10.0])
def test_a_lasting_change_is_followed_within_nine_rows(factor: float) -> None:
    rng = np.random.default_rng(3)
    rows = causes(rng, 400)
    fit = taught(rows, noisy(rng, rows))
    rows = causes(rng, FOLLOWED)
    taught(rows, factor * noisy(rng, rows), fit)
    assert off(fit, factor * TRUTH) < 0.10


def test_four_odd_rows_in_a_row_are_not_a_lasting_change() -> None:
    rng = np.random.default_rng(4)
    rows = causes(rng, 400)
    fit = taught(rows, noisy(rng, rows))
    rows = causes(rng, 4)
    assert off(taught(rows, 5.0 * noisy(rng, rows), fit)) < 0.03


def test_a_load_that_its_terms_cannot_explain_is_got_used_to() -> None:
    """Twenty rows at one joule each, twenty at two, and so on: in the end it keeps to something between."""
    fit, said = RobustFit(("second",)), []
    for row in range(2400):
        fit.add([1.0], 1.0 if row // 20 % 2 else 2.0, KEEP)
        said.append(float(fit.predict(np.ones((1, 1)))[0]))
    assert np.ptp(said[200:240]) < 0.5
    assert np.ptp(said[-40:]) < 0.1
    assert 1.3 < said[-1] < 1.7


def test_what_never_varied_on_its_own_is_told_only_in_that_proportion() -> None:
    rng = np.random.default_rng(5)
    steps = rng.uniform(50.0, 250.0, 60)
    rows = np.stack([steps, np.zeros(60), 8.0 * steps], axis=1)
    fit = taught(rows, noisy(rng, rows))
    assert fit.errors == {"step": np.inf, "prefill": np.inf, "decode": np.inf}
    at_eight, at_one, with_prefill = fit.predict(np.array([[40.0, 0.0, 320.0], [40.0, 0.0, 40.0], [40.0, 9.0, 320.0]]))
    assert at_eight == pytest.approx(40.0 * 3.0 + 320.0 * 0.07, rel=0.02)
    assert np.isnan([at_one, with_prefill]).all()


def test_a_term_that_varied_has_an_error_beside_one_that_never_happened() -> None:
    rng = np.random.default_rng(6)
    rows = causes(rng, 60)
    rows[:, 1] = 0.0
    errors = taught(rows, noisy(rng, rows)).errors
    assert errors["prefill"] == np.inf
    assert 0.0 < errors["step"] < 0.1 * TRUTH[0]


def test_what_could_not_be_told_is_learned_from_its_first_row_on() -> None:
    rng = np.random.default_rng(7)
    rows = causes(rng, 60)
    rows[:, 1] = 0.0
    fit = taught(rows, noisy(rng, rows, 0.002))
    for row in causes(rng, 4):
        fit.add(row, float(row @ TRUTH), KEEP)
        assert fit.coefficients["prefill"] == pytest.approx(TRUTH[1], rel=0.2)


def test_guesses_that_reach_down_to_zero_are_not_told() -> None:
    rng = np.random.default_rng(8)
    rows = causes(rng, 15)
    fit = taught(rows, rows @ TRUTH * np.exp(rng.normal(size=15)))
    only_prefill = np.array([[0.0, 100.0, 0.0]])
    assert 2.0 * fit.errors["prefill"] > fit.coefficients["prefill"]
    assert np.isnan(fit.predict(only_prefill)).all()


@pytest.mark.parametrize("count", [30, 100])
@pytest.mark.parametrize("noise", ["of the row", "of the meter"])
def test_the_truth_lies_within_two_standard_errors_nineteen_times_of_twenty(count: int, noise: str) -> None:
    within = np.zeros((60, len(TERMS)))
    for seed in range(len(within)):
        rng = np.random.default_rng(seed)
        rows = causes(rng, count)
        exact = rows @ TRUTH
        y = exact + 0.05 * (exact if noise == "of the row" else exact.mean()) * rng.normal(size=count)
        fit = taught(rows, y)
        errors = np.array([fit.errors[term] for term in TERMS])
        within[seed] = np.abs(np.array(values(fit)) - TRUTH) <= 2.0 * errors
    assert (within.mean(axis=0) > 0.88).all()
    assert within.mean() > 0.92


def test_standard_errors_are_as_large_as_the_estimates_scatter() -> None:
    found, told = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = causes(rng, 100)
        fit = taught(rows, noisy(rng, rows, 0.05))
        found.append(values(fit))
        told.append([fit.errors[term] for term in TERMS])
    ratio = np.mean(told, axis=0) / np.std(found, axis=0)
    assert (ratio > 0.8).all()
    assert (ratio < 1.4).all()


EXTREMES = st.sampled_from([0.0, 1e-300, 1e-30, 1e-3, 1.0, 250.0, 1e9, 1e40, 1e100, 1e308, float("nan"), float("inf")])


@PROPERTIES
@given(st.lists(st.tuples(EXTREMES, EXTREMES, EXTREMES, EXTREMES, st.booleans()), max_size=30))
def test_no_numbers_make_it_fail_or_talk_nonsense(told: list[tuple[float, float, float, float, bool]]) -> None:
    fit = RobustFit(TERMS)
    for *row, y, negative in told:
        fit.add(row, -y if negative else y, KEEP)
        said = fit.predict(np.array([row, [1.0, 1.0, 1.0], [1e45, 1e-45, 0.0]]))
        assert (np.isnan(said) | ((said >= 0.0) & (said < np.inf))).all()
        assert all(0.0 <= value < np.inf for value in fit.coefficients.values())
        assert all(error >= 0.0 for error in fit.errors.values())


@PROPERTIES
@given(st.integers(0, 1000), st.integers(LATEST, 40), st.lists(st.floats(0.0, 1e6), min_size=6, max_size=6))
def test_what_it_can_tell_of_two_rows_it_can_tell_of_their_sum(seed: int, count: int, two: list[float]) -> None:
    rng = np.random.default_rng(seed)
    rows = causes(rng, count)
    fit = taught(rows, noisy(rng, rows, 0.3))
    each = np.array(two).reshape(2, 3)
    said = fit.predict(each)
    if np.isfinite(said).all():
        assert fit.predict(each.sum(axis=0, keepdims=True)) == pytest.approx([said.sum()], rel=1e-9, abs=1e-300)


def after_restart(fit: RobustFit) -> RobustFit:
    again = RobustFit(TERMS)
    again.restore(json.loads(json.dumps(fit.snapshot())))
    return again


@pytest.mark.parametrize("count", [0, 5, 60])
def test_it_goes_on_after_a_restart_to_the_last_bit(count: int) -> None:
    rng = np.random.default_rng(9)
    rows = causes(rng, count)
    before = taught(rows, noisy(rng, rows))
    after = after_restart(before)
    rows = causes(rng, 40)
    y = 2.0 * noisy(rng, rows)
    for row, value in zip(rows, y.tolist(), strict=True):
        assert np.array_equal(before.predict(rows), after.predict(rows), equal_nan=True)
        assert (before.coefficients, before.errors) == (after.coefficients, after.errors)
        before.add(row, value, KEEP)
        after.add(row, value, KEEP)
    assert before.snapshot() == after.snapshot()


def damaged(whole: object) -> Iterator[object]:
    """The snapshot with each of its parts in turn made into something else."""
    yield from ([], "x", None, -1.0, 1e300, float("nan"), {})
    if isinstance(whole, dict):
        for key, part in whole.items():
            yield {name: value for name, value in whole.items() if name != key}
            yield from ({**whole, key: worse} for worse in damaged(part))
    elif isinstance(whole, list) and whole:
        yield from ([worse, *whole[1:]] for worse in damaged(whole[0]))
        yield whole[1:]


@pytest.mark.parametrize("count", [3, 30])
def test_a_damaged_snapshot_is_as_good_as_none_or_does_no_harm(count: int) -> None:
    rng = np.random.default_rng(10)
    rows = causes(rng, count)
    whole = taught(rows, noisy(rng, rows)).snapshot()
    new = RobustFit(TERMS).snapshot()
    refused = 0
    for worse in damaged(whole):
        fit = RobustFit(TERMS)
        fit.restore(worse)  # type: ignore[arg-type]  # what another version left may be anything
        refused += fit.snapshot() == new
        taught(rows, rows @ TRUTH, fit)
        assert not np.isinf(fit.predict(rows)).any()
    assert refused > 50


def test_a_snapshot_of_other_terms_is_as_good_as_none() -> None:
    other = RobustFit(("x", "y", "z"))
    rows = causes(np.random.default_rng(11), 30)
    fit = RobustFit(TERMS)
    fit.restore(taught(rows, rows @ TRUTH, other).snapshot())
    assert fit.coefficients == {}
