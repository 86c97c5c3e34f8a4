"""The curve through noisy trials, and its doubt."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.tune.curve import Change, Sightings, expected_gain, fit

X = np.linspace(0.0, 1.0, 9)


def sightings(x: list[float], y: list[float], error: float = 0.0) -> Sightings:
    count = len(x)
    return Sightings(np.array(x), np.arange(count, dtype=np.float64), np.array(y), np.full(count, error))


def test_without_noise_it_goes_through_what_was_seen() -> None:
    places = [0.0, 0.25, 0.5, 0.75, 1.0]
    curve = fit(sightings(places, [(2.0 * x - 1.0) ** 2 for x in places]), np.array(places))
    assert curve.mean == pytest.approx([1.0, 0.25, 0.0, 0.25, 1.0], abs=0.05)
    assert int(np.argmin(curve.mean)) == 2


def test_a_difference_is_surer_than_its_two_ends() -> None:
    curve = fit(sightings([0.0, 1.0, 0.0, 1.0], [0.0, -0.1, 0.0, -0.1]), np.array([0.0, 1.0]))
    change = curve.change(1, 0)
    assert change.mean == pytest.approx(-0.1, abs=0.02)
    assert change.deviation**2 < curve.covariance[0, 0] + curve.covariance[1, 1]
    assert curve.change(0, 0).deviation == pytest.approx(0.0, abs=1e-6)


def test_what_drifts_alike_everywhere_is_no_difference() -> None:
    turns = [0.0, 1.0] * 6
    curve = fit(sightings(turns, [0.05 * number for number in range(12)]), np.array([0.0, 1.0]))
    assert abs(curve.change(1, 0).mean) < 0.04
    low, high = curve.change(1, 0).interval()
    assert low < 0.0 < high


def test_where_nothing_was_seen_it_is_less_sure() -> None:
    curve = fit(sightings([0.0, 0.05, 0.1], [0.0, 0.01, 0.0]), X)
    assert curve.change(-1, 0).deviation > 2.0 * curve.change(1, 0).deviation


def test_known_errors_make_it_less_sure() -> None:
    seen = ([0.0, 0.5, 1.0, 0.0, 0.5, 1.0], [0.0, -0.1, 0.0, 0.0, -0.1, 0.0])
    sure, unsure = (fit(sightings(*seen, error=error), X) for error in (0.0, 0.1))
    assert unsure.change(4, 0).deviation > 2.0 * sure.change(4, 0).deviation


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(-5.0, 5.0)), min_size=1, max_size=15),
    st.floats(-10.0, 10.0),
)
def test_it_is_finite_for_any_trials_and_only_moves_when_all_of_them_do(
    seen: list[tuple[float, float]], by: float
) -> None:
    x, y = [one for one, _ in seen], [one for _, one in seen]
    curve, moved = fit(sightings(x, y), X), fit(sightings(x, [one + by for one in y]), X)
    assert np.isfinite(curve.mean).all()
    assert (np.diag(curve.covariance) > -1e-9).all()
    assert moved.mean - by == pytest.approx(curve.mean, abs=1e-6)


def test_an_expected_gain_grows_with_the_mean_and_with_doubt() -> None:
    assert expected_gain(Change(-0.2, 0.01)) == pytest.approx(0.2)
    assert expected_gain(Change(0.2, 0.01)) == pytest.approx(0.0, abs=1e-9)
    assert expected_gain(Change(0.0, 0.2)) > expected_gain(Change(0.0, 0.1)) > 0.0
    assert expected_gain(Change(-0.1, 0.0)) == 0.1
    assert Change(0.0, 1.0).below(0.0) == 0.5
