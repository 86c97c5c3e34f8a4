"""The idle baseline: what is quiet, and what is learned from it."""

import numpy as np
import pytest

from exporter.ledger.idle import GUARD_SLICES, IdleBaseline, quiet


def test_slices_near_a_request_are_not_quiet() -> None:
    presence = np.zeros(100)
    presence[50] = 0.1
    calm = quiet(presence)
    assert not calm[50 - GUARD_SLICES : 50 + GUARD_SLICES + 1].any()
    assert calm[GUARD_SLICES : 50 - GUARD_SLICES].all()
    assert calm[51 + GUARD_SLICES : -GUARD_SLICES].all()


def test_the_ends_are_not_quiet_since_nobody_knows_what_is_beyond() -> None:
    calm = quiet(np.zeros(100))
    assert not calm[:GUARD_SLICES].any()
    assert not calm[-GUARD_SLICES:].any()


def test_nothing_is_known_before_a_quiet_moment() -> None:
    baseline = IdleBaseline()
    baseline.learn(np.full(50, 30.0), np.zeros(50), 0.1)
    assert baseline.watts is None


def test_the_mean_of_quiet_slices_is_learned() -> None:
    baseline = IdleBaseline()
    baseline.learn(np.array([8.0, 10.0, 30.0]), np.array([1.0, 1.0, 0.0]), 0.1)
    assert baseline.watts == pytest.approx(90.0)


def test_slices_without_energy_are_unknown_rather_than_cold() -> None:
    baseline = IdleBaseline()
    baseline.learn(np.array([8.0, 0.0]), np.ones(2), 0.1)
    assert baseline.watts == pytest.approx(80.0)


def test_ten_quiet_minutes_later_the_past_has_faded() -> None:
    baseline = IdleBaseline()
    baseline.learn(np.full(6000, 8.0), np.ones(6000), 0.1)
    for _ in range(1200):
        baseline.learn(np.full(10, 10.0), np.ones(10), 0.1)
    assert baseline.watts == pytest.approx(100.0, rel=0.03)


def test_a_configured_baseline_is_not_overruled() -> None:
    baseline = IdleBaseline(55.0)
    baseline.learn(np.full(50, 30.0), np.ones(50), 0.1)
    assert baseline.watts == 55.0
