"""SIMULATED servers of different physics: their latency profiles, and what a client far away sees of them."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from exporter.proxy.calibration.latency import LatencyProfile
from exporter.proxy.calibration.matching.timings import Timings
from exporter.proxy.proxy import Floats
from exporter.simulate.batching import Run
from exporter.simulate.physics import FITS, Physics, random_physics
from tests.simulation.scenarios import Scenario, isolated_run, poisson_run

LOADS = (0.3, 1.5, 4.0)
"""Requests a second under which a server is calibrated, besides one at a time."""


@cache
def physics_of(model: str, seed: int = 0) -> Physics:
    """One of the published fits, with what it does not say drawn by chance."""
    rng = np.random.default_rng([seed, [fit.model for fit in FITS].index(model)])
    while (found := random_physics(rng)).model != model:
        pass
    return found


@cache
def profile(physics: Physics) -> LatencyProfile:
    """What an exporter beside the server learns of some hundred requests."""
    learned = LatencyProfile()
    learn(learned, isolated_run(Scenario(physics), 1, count=40))
    for place, rate in enumerate(LOADS):
        learn(learned, busy_run(physics, 100 + place, rate=rate, count=100))
    return learned


@cache
def busy_run(physics: Physics, seed: int, *, rate: float, count: int) -> Run:
    """About `count` requests that come at this rate."""
    return poisson_run(Scenario(physics), np.random.default_rng(seed), rate=rate, seconds=count / rate)


@cache
def quiet_run(physics: Physics, seed: int, count: int) -> Run:
    """Requests that never meet."""
    return isolated_run(Scenario(physics), seed, count=count)


def learn(learned: LatencyProfile, run: Run) -> None:
    """Teach all requests of a run, each from its launch on."""
    start, first, end, prompt, output = _columns(run)
    each = np.divide(end - first, output - 1.0, out=np.full(len(end), np.nan), where=output > 1)
    learned.learn(prompt, first - start, each, _concurrency(start, end))


def timings(run: Run, count: int, *, network_seconds: float = 0.0, seed: int = 0) -> Timings:
    """What a client sees of `count` requests in a row, with a varying round trip before the first token."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(run.served) - count + 1) + np.arange(count)
    _, first, end, prompt, output = (column[chosen] for column in _columns(run))
    sent = np.array([one.arrival - run.begin for one in run.served])[chosen]
    way = network_seconds * (1.0 + 0.1 * np.abs(rng.standard_normal(count))) + rng.exponential(1e-3, count)
    return Timings(prompt, output, first - sent + way, end - sent + way)


def _columns(run: Run) -> Sequence[Floats]:
    """Start, first token, end, prompt tokens, output tokens."""
    rows = [
        (one.start - run.begin, one.first_token - run.begin, one.end - run.begin, one.prompt_tokens, one.output_tokens)
        for one in run.served
    ]
    return list(np.array(rows, dtype=np.float64).T)


def _concurrency(start: Floats, end: Floats) -> Floats:
    """How many requests were there while each was, on average."""
    overlap = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    return np.asarray(np.maximum(overlap, 0.0).sum(axis=1) / (end - start), dtype=np.float64)
