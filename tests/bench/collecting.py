"""What it costs in accuracy that dcgm-exporter collects seldom, on SIMULATED servers whose requests' energy is known.

    python -m tests.bench.collecting [--seeds N] [--seconds S]

A board's energy counter and power are collected every so many seconds and looked at as source `dcgm` looks, about
once a second; the pipeline shares the energy among requests as live. Beside it stand the same run with the counter as
NVML tells it, one where the idle power is configured rather than learned, and, where there is no counter, by power
alone. `requests` is the share error, the sum of |error| over
the sum of truth; `median` that of a single request's |error|; `metered` by how much the board's whole energy is off.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exporter.domain.readings import CounterReading, PowerReading
from exporter.domain.settings import PowerSettings
from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import Instant, Joules, Watts, later
from exporter.pipeline.pipeline import Pipeline
from exporter.power.dcgm.source import (
    FASTEST_POLL_SECONDS,
    POWER_WINDOW_SECONDS,
    SLOWEST_POLL_SECONDS,
)
from exporter.simulate.batching import Run
from exporter.simulate.physics import random_physics
from tests.pipeline.telling import AFTER_SECONDS, Told, counters, gpus, hear, settings, share_error, tell
from tests.simulation.hearing import events
from tests.simulation.power import gpu_traces
from tests.simulation.scenarios import Scenario, batch_run

INTERVALS = (1.0, 5.0, 10.0, 30.0)
BATCHES = (1.1, 8.0)
LEARNING = 0.3
"""The first part of a run is not scored."""


@dataclass(frozen=True, slots=True)
class Score:
    """One run: see the head."""

    requests: float
    median: float
    metered: float


def collected(run: Run, collect: float, *, counter: bool, until: float) -> Iterator[Told]:
    """What source `dcgm` tells of a run's boards, collected every `collect` seconds from some moment on."""
    poll = min(max(collect / 4.0, FASTEST_POLL_SECONDS), SLOWEST_POLL_SECONDS)
    phase = run.begin + 0.37 * collect
    polls = np.arange(run.begin + 0.11, until, poll)
    steps = np.floor((polls - phase) / collect) * collect + phase
    for index, trace in enumerate(gpu_traces(run)):
        joules = trace.counter(steps).tolist()
        watts = ((trace.counter(steps) - trace.counter(steps - POWER_WINDOW_SECONDS)) / POWER_WINDOW_SECONDS).tolist()
        new = np.diff(steps, prepend=-1.0) != 0.0
        for at, energy, power, fresh in zip(polls.tolist(), joules, watts, new.tolist(), strict=True):
            if fresh:
                yield Told(Instant(at), reading=PowerReading(f"gpu{index}", Instant(at), Watts(power)))
            if counter:
                yield Told(Instant(at), reading=CounterReading(f"gpu{index}", Instant(at), Joules(1e4 + energy)))


def score(run: Run, collect: float | None, *, counter: bool = True, idle_known: float = 0.0) -> Score:
    """Tell a run with power collected so often, or as NVML tells it (None).

    `idle_known`: by what factor of the truth idle power is configured; 0: it is learned.
    """
    about = {"has_counter": counter, "period_seconds": collect or 0.0}
    if not counter:
        about["power_window_seconds"] = POWER_WINDOW_SECONDS
    watts = {f"gpu{index}": idle_known * run.physics.idle_watts * share for index, share in _shares(run) if idle_known}
    told = replace(settings(), power=PowerSettings(idle_watts=watts))
    pipeline = Pipeline(told, gpus(len(run.physics.gpu_shares), **about), run.begin)
    end = later(run.end, AFTER_SECONDS + 4.0 * (collect or 0.0))
    power: Iterable[Told] = counters(run, until=end)
    if collect is not None:
        power = sorted(collected(run, collect, counter=counter, until=end), key=lambda one: one.at)
    settled = tell(pipeline, power, hear(events(run)), begin=run.begin, end=end)
    since = later(run.begin, LEARNING * (run.end - run.begin))
    return Score(share_error(run, settled, since=since), _median(run, settled, since), _metered(run, pipeline, end))


def _shares(run: Run) -> Iterable[tuple[int, float]]:
    return enumerate(run.physics.gpu_shares)


def _median(run: Run, settled: Sequence[SettledRequest], since: float) -> float:
    given = {one.id: one.joules for one in settled}
    errors = [abs(given.get(one.id, 0.0) / one.joules - 1.0) for one in run.served if one.start >= since]
    return float(np.median(errors))


def _metered(run: Run, pipeline: Pipeline, end: Instant) -> float:
    """Of the time that was metered: counting begins with the first step."""
    off, true = 0.0, 0.0
    for trace, device in zip(gpu_traces(run), pipeline.snapshot(end).devices, strict=True):
        meter = pipeline.ledger.meters[device.device.name]
        until = meter.frontier or run.begin
        truth = trace.energy(run.begin, until)
        off, true = off + device.metered_joules - truth, true + truth
    return off / true


def table(seeds: int, seconds: float) -> Iterator[str]:
    """The figures, a line each, as they become known."""
    yield "| mean batch | power comes from | requests | median | metered |"
    yield "|---|---|---|---|---|"
    for batch in BATCHES:
        physics = [random_physics(np.random.default_rng(seed)) for seed in range(seeds)]
        runs = [batch_run(Scenario(one), seed, mean_batch=batch, seconds=seconds) for seed, one in enumerate(physics)]
        mean = float(np.mean([run.mean_batch for run in runs]))
        yield _row(mean, "NVML's counter", [score(run, None) for run in runs])
        for collect in INTERVALS:
            yield _row(mean, f"counter, every {collect:g} s", [score(run, collect) for run in runs])
        for idle, name in ((1.0, ""), (0.95, " 5 % too low"), (1.05, " 5 % too high")):
            scores = [score(run, INTERVALS[-1], idle_known=idle) for run in runs]
            yield _row(mean, f"counter, every {INTERVALS[-1]:g} s, idle power set{name}", scores)
        for collect in INTERVALS[::3]:
            yield _row(mean, f"power alone, every {collect:g} s", [score(run, collect, counter=False) for run in runs])


def _row(batch: float, name: str, scores: Sequence[Score]) -> str:
    cells = [np.mean([one.requests for one in scores]), np.mean([one.median for one in scores])]
    worst = max((one.metered for one in scores), key=abs)
    return f"| {batch:.1f} | {name} | " + " | ".join(f"{cell:.1%}" for cell in cells) + f" | {worst:+.1%} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="joules per request where power is collected seldom, SIMULATED")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=900.0)
    asked = parser.parse_args()
    for line in table(asked.seeds, asked.seconds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
