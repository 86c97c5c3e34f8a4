"""Drift: seldom without reason, soon with one, and over when the new has become normal. All errors are simulated."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from exporter.proxy.drift import Drift
from exporter.proxy.proxy import Floats

SERIES = 50
STEP = 500

Errors = Callable[[int], Floats]


def normal(scatter: float) -> Errors:
    return lambda count: np.random.default_rng(1).normal(0.1, scatter, (SERIES, count))


def heavy_tailed(count: int) -> Floats:
    """Student's t with three degrees of freedom: a wild one now and then."""
    tails: Floats = 0.1 * np.random.default_rng(2).standard_t(3.0, (SERIES, count))
    return tails


def in_spells(count: int) -> Floats:
    """Each error half like the one before."""
    rng = np.random.default_rng(3)
    errors = rng.normal(0.0, 0.1, (SERIES, count))
    for index in range(1, count):
        errors[:, index] += 0.5 * errors[:, index - 1]
    return errors


def flags(errors: Floats) -> Floats:
    """Whether each series drifts after each sample, of shape (series, samples)."""
    drift = Drift(len(errors))
    seen = []
    for column in np.exp(errors).T:
        drift.add(column[:, None])
        seen.append(drift.drifting())
    return np.array(seen, dtype=np.float64).T


def stepped(errors: Floats, factor: float) -> Floats:
    errors = errors.copy()
    errors[:, STEP:] += np.log(factor)
    return errors


def delays(raised: Floats) -> Floats:
    """Samples from the step to the first alarm in each series; infinite where none came."""
    after = raised[:, STEP:]
    return np.where(after.any(axis=1), after.argmax(axis=1) + 1.0, np.inf)


class TestFalseAlarms:
    @pytest.mark.parametrize("errors", [normal(0.1), heavy_tailed, in_spells], ids=["normal", "heavy", "spells"])
    def test_errors_as_ever_raise_fewer_than_one_alarm_in_ten_thousand(self, errors: Errors) -> None:
        raised = flags(errors(2000))
        assert (np.diff(raised, axis=1) > 0.0).sum() < raised.size / 10_000

    def test_a_first_few_wild_errors_are_no_drift(self) -> None:
        errors = normal(0.1)(200)
        errors[:, :20] += np.linspace(3.0, 0.0, 20)
        assert not flags(errors)[:, :60].any()

    def test_one_wild_error_is_none(self) -> None:
        errors = normal(0.1)(STEP + 1)
        errors[:, STEP] = 100.0
        assert (flags(errors)[:, -1] <= flags(errors)[:, -2]).all()

    def test_errors_that_never_vary_are_calm_about_less_than_a_percent(self) -> None:
        drift = Drift(1)
        drift.add(np.full((1, 300), 1.2))
        assert drift.deviations() == [pytest.approx(0.0, abs=1e-6)]
        drift.add(np.full((1, 20), 1.2 * 1.004))
        assert drift.drifting() == [False]


class TestFinding:
    @pytest.mark.parametrize("factor", [1.3, 1.0 / 1.3])
    @pytest.mark.parametrize(("scatter", "within"), [(0.0, 5), (0.1, 10), (0.2, 30)])
    def test_a_step_of_thirty_percent_is_found(self, factor: float, scatter: float, within: int) -> None:
        waited = delays(flags(stepped(normal(scatter)(STEP + 100), factor)))
        assert np.quantile(waited, 0.95) <= within

    def test_the_direction_and_the_size_are_told(self) -> None:
        drift = Drift(SERIES)
        drift.add(np.exp(stepped(normal(0.1)(STEP + 12), 1.3)))
        away = np.array(drift.deviations(), dtype=np.float64)
        assert np.median(away) == pytest.approx(np.log(1.3) / 0.1, rel=0.15)
        drift = Drift(SERIES)
        drift.add(np.exp(stepped(normal(0.1)(STEP + 12), 1.0 / 1.3)))
        assert np.median(np.array(drift.deviations(), dtype=np.float64)) < -2.0

    @pytest.mark.parametrize("factor", [1.3, 3.0, 50.0])
    @pytest.mark.parametrize("scatter", [0.0, 0.1])
    def test_what_has_lasted_is_the_new_normal(self, factor: float, scatter: float) -> None:
        errors = stepped(normal(scatter)(STEP + 1200), factor)
        raised = flags(errors)
        assert raised[:, STEP + 8].mean() > 0.5
        assert not raised[:, STEP + 600 :].any()

    def test_a_drift_is_not_excused_by_itself(self) -> None:
        """Were the latest errors part of history, a slow change would look normal as soon as it is there."""
        errors = normal(0.05)(STEP + 100)
        errors[:, STEP:] += np.linspace(0.0, np.log(1.3), 100)
        assert (delays(flags(errors)) < 80).mean() > 0.95

    def test_from_nothing_predicted_to_something_is_far(self) -> None:
        drift = Drift(1)
        drift.add(np.zeros((1, 100)))
        drift.add(np.ones((1, 10)))
        assert drift.drifting() == [True]


class TestKnowing:
    def test_nothing_is_known_before_there_is_a_history(self) -> None:
        drift = Drift(1)
        for _ in range(47):
            drift.add(np.array([[2.0]]))
            assert drift.deviations() == [None]
            assert drift.drifting() == [False]
        drift.add(np.array([[2.0]]))
        assert drift.deviations() == [0.0]

    def test_what_was_not_predicted_counts_for_nothing(self) -> None:
        errors = normal(0.1)(STEP + 10)[:2]
        errors[:, STEP:] += np.log(1.3)
        errors[1] = np.nan
        drift = Drift(2)
        drift.add(np.exp(errors))
        assert drift.drifting() == [True, False]
        assert drift.deviations()[1] is None

    def test_how_errors_come_in_batches_makes_no_difference(self) -> None:
        errors = np.exp(stepped(normal(0.1)(STEP + 20), 1.3))
        whole, parts = Drift(SERIES), Drift(SERIES)
        whole.add(errors)
        for part in np.split(errors, [3, 40, 41, 300], axis=1):
            parts.add(part)
        np.testing.assert_allclose(parts.snapshot()["history"], whole.snapshot()["history"], rtol=1e-9, atol=1e-9)

    def test_very_many_at_once_are_as_many_as_history_holds(self) -> None:
        errors = np.exp(normal(0.1)(60_000)[:6])
        drift = Drift(6)
        drift.add(errors)
        assert np.array(drift.snapshot()["history"])[1] == pytest.approx(0.1, abs=0.03)

    def test_it_goes_on_after_a_restart(self) -> None:
        errors = np.exp(stepped(normal(0.1)(STEP + 20), 1.3))
        before, after = Drift(SERIES), Drift(SERIES)
        before.add(errors[:, :505])
        after.restore(json.loads(json.dumps(before.snapshot())), range(SERIES), SERIES)
        for one in (before, after):
            one.add(errors[:, 505:])
        assert after.drifting() == before.drifting()
        assert after.deviations() == pytest.approx(before.deviations(), rel=1e-4)

    def test_after_a_restart_a_new_proxy_has_no_history(self) -> None:
        before, after = Drift(2), Drift(2)
        before.add(np.exp(normal(0.1)(300)[:2]))
        after.restore(before.snapshot(), [-1, 0], 2)
        assert after.deviations() == [None, pytest.approx(before.deviations()[0], rel=1e-4)]
