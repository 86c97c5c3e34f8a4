"""How often the true energy of a request lies in its estimate's interval, on simulated servers, where it is known.

    python -m tests.bench.coverage [--seeds N] [--seconds S] [--rules]

A server with random physics is metered under one load and makes a calibration; then other requests of the same
server, under another load, are estimated from it, with no meter. Nominally nine of ten truths lie in the intervals.
`off` is the root mean square of ln(truth / estimate), `width` the median half-width of the interval in the same unit.

Intervals hold figures that were modelled on simulated servers: those that are scored here are others.

With `--rules`: the modelled figures of exporter/proxy/calibration/interval.py, root mean squares per doubling of the
concurrency.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exporter.domain.settings import ProxyName
from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import later
from exporter.pipeline.pipeline import Pipeline
from exporter.proxy.calibration.calibration import Calibration, Machine
from exporter.proxy.calibration.calibrator import ALONE
from exporter.simulate.batching import Run, simulate
from exporter.simulate.load import poisson_times, requests
from exporter.simulate.physics import random_physics
from tests.pipeline.telling import AFTER_SECONDS, SERVER, counters, gpus, hear, settings, tell
from tests.simulation.hearing import Sight, events
from tests.simulation.scenarios import Scenario, batch_run, isolated_run, rate_for_batch

Load = Literal["alone", "varied"] | float
"""Requests that never meet; one mean batch after the other; or a steady mean batch."""

CALIBRATED: tuple[Load, ...] = ("varied", "alone", 2.0, 8.0, 16.0)
ESTIMATED: tuple[Load, ...] = ("alone", 2.0, 8.0, 16.0, 24.0)
VARIED = (1.1, 2.0, 8.0, 16.0)
_RULED: tuple[ProxyName, ...] = ("step_model", "time_share")
DATE = "2026-11-21T08:00:00+00:00"
ALL = Sight()
MODELLED_ON, FRESH = 0, 100
"""First seeds: of the servers that the modelled figures were made with, and of others that they never saw."""
_ALONE_SECONDS = 5.0
"""How long a request alone takes, with its pause, roughly."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Estimated requests against the truth, a row each."""

    truth: NDArray[np.float64]
    joules: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    concurrency: NDArray[np.float64]

    @property
    def held(self) -> Flags:
        """Whether the truth lies in the interval; not where there is none."""
        return (self.low <= self.truth) & (self.truth <= self.high)

    @property
    def alone(self) -> Flags:
        """Whether nobody else was there."""
        return self.concurrency < ALONE

    def rows(self, chosen: Flags) -> "Outcome":
        """Some of the rows."""
        columns = (self.truth, self.joules, self.low, self.high, self.concurrency)
        return Outcome(*(column[chosen] for column in columns))


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """All rows of all of them."""
    names = ("truth", "joules", "low", "high", "concurrency")
    return Outcome(*(np.concatenate([getattr(one, name) for one in outcomes]) for name in names))


@cache
def run_of(seed: int, load: Load, seconds: float, *, again: bool = False) -> Run:
    """A server of this seed's physics under this load; `again`: by other chance."""
    physics = random_physics(np.random.default_rng(seed))
    chance = 10 * seed + again
    if load == "alone":
        return isolated_run(Scenario(physics), chance, count=round(seconds / _ALONE_SECONDS))
    if load == "varied":
        return _varied_run(Scenario(physics), chance, seconds)
    return batch_run(Scenario(physics), chance, mean_batch=float(load), seconds=seconds)


def _varied_run(scenario: Scenario, seed: int, seconds: float) -> Run:
    """An equal time at each mean batch of `VARIED`, lightest load first."""
    rng = np.random.default_rng(seed)
    part = seconds / len(VARIED)
    rates = [rate_for_batch(scenario, batch) for batch in VARIED]
    times = np.concatenate([index * part + poisson_times(rng, rate, part) for index, rate in enumerate(rates)])
    return simulate(requests(rng, times, scenario.mix), scenario.physics, rng, scheduler=scenario.scheduler)


def calibrate(run: Run, sight: Sight = ALL) -> tuple[Calibration, list[SettledRequest]]:
    """Meter a run and make a calibration of it; also what settled meanwhile."""
    pipeline = Pipeline(settings(), gpus(len(run.physics.gpu_shares)), run.begin)
    end = later(run.end, AFTER_SECONDS)
    settled = tell(pipeline, counters(run, until=end), hear(events(run, sight)), begin=run.begin, end=end)
    ((made,),) = pipeline.calibrations(DATE, Machine("a simulation", "")).values()
    return made, settled


def estimate(run: Run, calibration: Calibration, sight: Sight = ALL) -> Outcome:
    """Estimate a run that nobody meters."""
    pipeline = Pipeline(settings(), (), run.begin, calibrations={SERVER: calibration})
    end = later(run.end, AFTER_SECONDS)
    settled = tell(pipeline, hear(events(run, sight)), begin=run.begin, end=end)
    truth = {served.id: served.joules for served in run.served}
    nothing = (np.nan, np.nan)
    return Outcome(
        truth=np.array([truth[one.id] for one in settled]),
        joules=np.array([one.joules for one in settled]),
        low=np.array([(one.interval or nothing)[0] for one in settled]),
        high=np.array([(one.interval or nothing)[1] for one in settled]),
        concurrency=np.array([one.concurrency for one in settled]),
    )


def table(seeds: Sequence[int], seconds: float) -> Iterator[str]:
    """The figures, a line each, as they become known."""
    part = f"{'held':>8}{'off':>8}{'width':>8}{'n':>7}"
    yield f"{'':<22}{'ran alone':>31}{'overlapped':>31}"
    yield f"{'calibrated':<12}{'estimated':<10}{part}{part}"
    for load in CALIBRATED:
        calibrations = [calibrate(run_of(seed, load, seconds))[0] for seed in seeds]
        for other in ESTIMATED:
            runs = [run_of(seed, other, seconds / 2.0, again=True) for seed in seeds]
            outcome = together([estimate(*pair) for pair in zip(runs, calibrations, strict=True)])
            yield f"{load!s:<12}{other!s:<10}{_cell(outcome.rows(outcome.alone))}{_cell(outcome.rows(~outcome.alone))}"


def _cell(outcome: Outcome) -> str:
    if not len(outcome.truth):
        return f"{'-':>8}{'-':>8}{'-':>8}{0:>7}"
    off = np.sqrt(np.nanmean(np.log(outcome.truth / outcome.joules) ** 2))
    width = np.nanmedian(np.log(outcome.high / outcome.joules))
    return f"{outcome.held.mean():>8.1%}{off:>8.3f}{width:>8.3f}{len(outcome.truth):>7}"


def rules(seeds: Sequence[int], seconds: float) -> Iterator[str]:
    """What shares and proxies are off by from the truth, per doubling of the concurrency, and what meters lose."""
    yield f"{'batch':>6}{'doublings':>11}{'shares':>9}{'step_model':>12}{'time_share':>12}"
    sizes = []
    for batch in (2.0, 4.0, 8.0, 16.0, 24.0):
        rows = np.concatenate([_errors(run_of(seed, batch, seconds)) for seed in seeds])
        doublings, *size = np.sqrt((rows**2).mean(axis=0))
        sizes.append(np.array(size) / doublings)
        yield f"{batch:>6g}{doublings:>11.2f}{_figures(sizes[-1])}"
    yield f"{'all':>6}{'':>11}{_figures(np.sqrt(np.mean(np.square(sizes), axis=0)))}"
    lost = [_lost_seconds(run_of(seed, "alone", seconds)) for seed in seeds]
    mean, scatter = np.mean([(one.mean(), one.std()) for one in lost], axis=0)
    yield f"requests alone: {mean:.4f} s of their power on average is booked outside, give or take {scatter:.4f} s"


def _figures(sizes: NDArray[np.float64]) -> str:
    return "".join(f"{value:>{width}.4f}" for value, width in zip(sizes, (9, 12, 12), strict=True))


def _lost_seconds(run: Run) -> NDArray[np.float64]:
    """For each request that was metered alone: what the meter missed, in seconds of its mean power."""
    _, settled = calibrate(run)
    truth = {served.id: served.joules for served in run.served}
    metered = [(one, one.metered_joules) for one in settled if one.metered_joules is not None]
    return np.array([(1.0 - joules / truth[one.id]) * (one.end - one.start) for one, joules in metered])


def _errors(run: Run) -> NDArray[np.float64]:
    """For each request that every proxy predicted: doublings, and ln(truth / ...) of its share and predictions."""
    _, settled = calibrate(run)
    truth = {served.id: served.joules for served in run.served}
    told = [
        (np.log2(one.concurrency), truth[one.id], one.joules, *(one.predicted.get(name, np.nan) for name in _RULED))
        for one in settled
        if one.concurrency >= ALONE and one.joules > 0.0
    ]
    rows = np.array(told).reshape(-1, 5)
    rows = rows[np.isfinite(rows).all(axis=1)]
    return np.concatenate((rows[:, :1], np.log(rows[:, 1:2] / rows[:, 2:])), axis=1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="how often estimates' intervals hold the truth on simulated servers")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rules", action="store_true", help="the modelled figures instead")
    asked = parser.parse_args()
    first = MODELLED_ON if asked.rules else FRESH
    for line in (rules if asked.rules else table)(range(first, first + asked.seeds), asked.seconds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
