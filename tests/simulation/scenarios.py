"""Whole runs in one call: a load of a wanted weight on some physics."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exporter.simulate.batching import CHUNKED, Run, Scheduler, simulate
from exporter.simulate.load import CHAT, Traffic, isolated_requests, poisson_times, requests
from exporter.simulate.physics import EIGHT_B, Physics

_PILOT_SECONDS = 90.0
_PILOTS = 4
_CORRECTIONS = 5
_TOLERANCE = 0.05
"""A trial run meets other chance than the run itself, which then corrects its own rate until it is this close."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a server is put through, but for how much of it and by which chance."""

    physics: Physics = EIGHT_B
    mix: Sequence[Traffic] = (CHAT,)
    scheduler: Scheduler = CHUNKED
    abort_fraction: float = 0.0
    cached_fraction: float = 0.0
    stream_fraction: float = 1.0


def poisson_run(scenario: Scenario, rng: np.random.Generator, *, rate: float, seconds: float) -> Run:
    """Independent arrivals, `rate` a second, for `seconds`; then the server finishes what it has."""
    for_times, for_requests, for_steps = rng.spawn(3)
    load = requests(
        for_requests,
        poisson_times(for_times, rate, seconds),
        scenario.mix,
        abort_fraction=scenario.abort_fraction,
        cached_fraction=scenario.cached_fraction,
        stream_fraction=scenario.stream_fraction,
    )
    return simulate(load, scenario.physics, for_steps, scheduler=scenario.scheduler)


def batch_run(scenario: Scenario, seed: int, *, mean_batch: float, seconds: float) -> Run:
    """Independent arrivals at such a rate that about `mean_batch` requests run at once while any runs."""
    rate = rate_for_batch(scenario, mean_batch)
    runs = []
    for trial in range(_CORRECTIONS):
        run = poisson_run(scenario, np.random.default_rng(seed), rate=rate, seconds=seconds)
        runs.append(run)
        if _distance(run, mean_batch) < _TOLERANCE:
            break
        # A batch grows faster than its rate, near the server's limit much faster: ever smaller steps.
        rate *= (mean_batch / run.mean_batch) ** (0.8 / (1 + trial))
    return min(runs, key=lambda run: _distance(run, mean_batch))


def _distance(run: Run, mean_batch: float) -> float:
    return abs(run.mean_batch / mean_batch - 1.0)


def isolated_run(scenario: Scenario, seed: int, *, count: int, gap_seconds: float = 2.0) -> Run:
    """Requests that never meet."""
    rng = np.random.default_rng(seed)
    load = isolated_requests(rng, scenario.physics, count, scenario.mix, gap_seconds=gap_seconds)
    return simulate(load, scenario.physics, rng, scheduler=scenario.scheduler)


def rate_for_batch(scenario: Scenario, mean_batch: float) -> float:
    """Arrivals a second for a wanted mean batch (above one, below `max_num_seqs`), found by short trial runs.

    Every trial meets the same chance, so the batch grows smoothly with the rate and bisection can be trusted.
    """
    assert 1.0 < mean_batch < scenario.scheduler.max_num_seqs
    low, high = _bracket(scenario, mean_batch)
    for _ in range(_PILOTS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _pilot_batch(scenario, middle) < mean_batch else (low, middle)
    return math.sqrt(low * high)


def _bracket(scenario: Scenario, mean_batch: float) -> tuple[float, float]:
    """Rates below and above the wanted one, a factor of two apart."""
    rate = 0.1
    while _pilot_batch(scenario, 2.0 * rate) < mean_batch:
        rate *= 2.0
    return rate, 2.0 * rate


def _pilot_batch(scenario: Scenario, rate: float) -> float:
    """Mean batch of a trial run long enough to hold a few hundred requests."""
    seconds = max(_PILOT_SECONDS, 200.0 / rate)
    return poisson_run(scenario, np.random.default_rng(0), rate=rate, seconds=seconds).mean_batch
