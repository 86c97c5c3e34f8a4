"""Non-negative least squares, held against brute force."""

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exporter.regression import NonNegativeFit
from tests.properties import PROPERTIES

Floats = NDArray[np.float64]
TERMS = ("a", "b", "c")


def fitted(rows: Floats, y: Floats, keep: float = 1.0) -> NonNegativeFit:
    fit = NonNegativeFit(TERMS)
    for row, value in zip(rows, y, strict=True):
        fit.add(row.tolist(), float(value), keep)
    return fit


def by_brute_force(rows: Floats, y: Floats) -> float:
    """Least squared residual over every choice of terms that are not zero."""
    best = float(y @ y)
    for chosen in product((False, True), repeat=rows.shape[1]):
        part = rows[:, np.array(chosen)]
        if part.shape[1]:
            values, *_ = np.linalg.lstsq(part, y, rcond=None)
            if (values >= 0.0).all():
                best = min(best, float(np.sum((part @ values - y) ** 2)))
    return best


@PROPERTIES
@given(st.integers(0, 2**32 - 1), st.integers(4, 30))
def test_the_fit_is_as_good_as_brute_force(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    rows, y = rng.normal(size=(count, 3)), 10.0 * rng.normal(size=count)
    solution = np.array([fitted(rows, y).coefficients[term] for term in TERMS])
    assert (solution >= 0.0).all()
    assert float(np.sum((rows @ solution - y) ** 2)) == pytest.approx(by_brute_force(rows, y), rel=1e-6)


@PROPERTIES
@given(st.tuples(*[st.sampled_from([0.0, 0.001, 2.0, 300.0])] * 3), st.integers(0, 100))
def test_known_coefficients_are_found_whatever_their_scale(truth: tuple[float, float, float], seed: int) -> None:
    rows = np.random.default_rng(seed).uniform(0.0, 1.0, (40, 3)) * [1.0, 1e4, 1e-2]
    fit = fitted(rows, rows @ np.array(truth))
    scale = max(np.array(truth) * [1.0, 1e4, 1e-2])
    for term, value, size in zip(TERMS, truth, [1.0, 1e4, 1e-2], strict=True):
        assert fit.coefficients[term] * size == pytest.approx(value * size, rel=1e-6, abs=1e-6 * scale + 1e-12)


def test_twin_terms_share_rather_than_break_the_fit() -> None:
    x = np.random.default_rng(1).uniform(1.0, 2.0, 30)
    fit = fitted(np.stack([x, x, np.ones(30)], axis=1), 3.0 * x)
    assert fit.coefficients["a"] + fit.coefficients["b"] == pytest.approx(3.0)
    assert fit.error < 1e-6


def test_a_term_that_never_happened_costs_nothing() -> None:
    x = np.random.default_rng(1).uniform(1.0, 2.0, 30)
    fit = fitted(np.stack([x, np.zeros(30), np.zeros(30)], axis=1), 3.0 * x)
    assert fit.coefficients == pytest.approx({"a": 3.0, "b": 0.0, "c": 0.0})


def test_the_past_is_forgotten() -> None:
    rows = np.random.default_rng(1).uniform(0.0, 1.0, (400, 3))
    y = np.concatenate([rows[:200] @ [1.0, 1.0, 1.0], rows[200:] @ [5.0, 1.0, 2.0]])
    forgetful = fitted(rows, y, keep=0.9).coefficients
    assert forgetful == pytest.approx({"a": 5.0, "b": 1.0, "c": 2.0}, rel=1e-3)
    assert fitted(rows, y).coefficients["a"] == pytest.approx(3.0, rel=0.2)


def test_the_error_is_the_residual_over_the_mean() -> None:
    fit = NonNegativeFit(("a",))
    for y in (8.0, 12.0) * 20:
        fit.add((1.0,), y)
    assert fit.error == pytest.approx(0.2)


def test_before_anything_was_seen_nothing_is_known() -> None:
    fit = NonNegativeFit(TERMS)
    assert fit.coefficients == {}
    assert fit.error == float("inf")


def test_a_fit_goes_on_after_a_restart() -> None:
    rows = np.random.default_rng(1).uniform(0.0, 1.0, (40, 3))
    before = fitted(rows[:20], rows[:20] @ [1.0, 2.0, 3.0], keep=0.9)
    after = NonNegativeFit(TERMS)
    after.restore(json.loads(json.dumps(before.snapshot())))
    for fit in (before, after):
        for row in rows[20:]:
            fit.add(row.tolist(), float(row @ [2.0, 2.0, 3.0]), 0.9)
    assert after.coefficients == before.coefficients
    assert (after.error, after.windows) == (before.error, before.windows)


def test_a_fit_of_other_terms_is_as_good_as_none() -> None:
    other = NonNegativeFit(("x", "y"))
    other.add((1.0, 2.0), 3.0)
    fit = NonNegativeFit(TERMS)
    fit.restore(other.snapshot())
    assert fit.coefficients == {}
