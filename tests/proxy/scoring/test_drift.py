"""Drift: seldom without reason, soon with one, and over when the new has become normal. All errors are simulated."""

import json
from typing import Protocol

import numpy as np
import pytest

from exporter.proxy.proxy import Floats
from exporter.proxy.scoring.drift import Drift

SERIES = 50
STEP = 500


class Errors(Protocol):
    """So many errors in each of so many series, all alike."""

    def __call__(self, count: int, series: int = SERIES) -> Floats: ...


def normal(scatter: float) -> Errors:
    return lambda count, series=SERIES: np.random.default_rng(1).normal(0.1, scatter, (series, count))


def heavy_tailed(count: int, series: int = SERIES) -> Floats:
    """Student's t with three degrees of freedom: a wild one now and then."""
    tails: Floats = 0.1 * np.random.default_rng(2).standard_t(3.0, (series, count))
    return tails


def in_spells(count: int, series: int = SERIES) -> Floats:
    """Each error half like the one before."""
    rng = np.random.default_rng(3)
    errors = rng.normal(0.0, 0.1, (series, count))
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
    @pytest.mark.parametrize(("count", "series"), [(2000, 100), (200, 1000)], ids=["ever after", "at first"])
    def test_errors_as_ever_raise_fewer_than_one_alarm_in_ten_thousand(
        self, errors: Errors, count: int, series: int
    ) -> None:
        raised = flags(errors(count, series))
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
    @pytest.mark.parametrize(("scatter", "within"), [(0.0, 5), (0.1, 10), (0.2, 40)])
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

    def test_one_wild_error_does_not_make_it_blind(self) -> None:
        errors = normal(0.1)(STEP + 30)
        errors[:, STEP - 100] = 100.0
        assert np.quantile(delays(flags(stepped(errors, 1.3))), 0.95) <= 20

    def test_from_nothing_predicted_to_something_is_far(self) -> None:
        drift = Drift(1)
        drift.add(np.zeros((1, 100)))
        drift.add(np.ones((1, 10)))
        assert drift.drifting() == [True]


class TestHistory:
    def test_it_is_the_mean_and_the_spread_of_all_errors_but_the_latest_stretch(self) -> None:
        errors = normal(0.1)(48)
        errors[:, 16:] += 0.7
        drift = Drift(SERIES)
        drift.add(np.exp(errors))
        samples, mean, variance, covariance, *_ = np.array(drift.snapshot()["history"])
        old = errors[:, :32]
        off = old - old.mean(axis=1, keepdims=True)
        neighbours = [off[:, start : start + 15] * off[:, start + 1 : start + 16] for start in (0, 16)]
        assert samples.tolist() == [32.0] * SERIES
        np.testing.assert_allclose(mean, old.mean(axis=1))
        np.testing.assert_allclose(variance, old.var(axis=1))
        np.testing.assert_allclose(covariance, np.concatenate(neighbours, axis=1).mean(axis=1), rtol=0.2)
        assert drift.deviations() == pytest.approx(
            ((errors[:, -8:].mean(axis=1) - old.mean(axis=1)) / old.std(axis=1)).tolist()
        )


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
