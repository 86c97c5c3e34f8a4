"""Where each proxy fails, one cause at a time, on SIMULATED servers: the small tables of docs/ACCURACY.md.

    python -m tests.bench.failures [--only NAME ...] [--seconds S]

Proxies are calibrated on one load of an 8B model on one GPU and then held against another that differs in one thing
only. The first row of each table is the control: nothing differs but chance. A cell is by how much all metered windows
together were over- (+) or underestimated. All of it is deterministic. Where a figure of the simulated hardware is not
from published data but assumed, it stands here with a name.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from exporter.simulate.batching import Run, Scheduler
from exporter.simulate.load import CHAT, DECODE_HEAVY, MIXED, PREFILL_HEAVY, Lengths, Traffic
from exporter.simulate.physics import Physics, Terms, fit_of, served
from tests.bench.schooling import NAMES, SEES_ALL, Held, Proxies, bias_cell, hold, markdown, teach, untaught
from tests.simulation.hearing import Sight
from tests.simulation.scenarios import Scenario, batch_run, isolated_run, poisson_run, rate_for_batch

PHYSICS = served(fit_of("llama-3.1-8b")).without_noise()
EFFICIENCY: Mapping[int, float] = {2: 0.85, 4: 0.70}
"""Assumed: how much of its GPUs' added speed tensor parallelism turns into speed; no joule more is spent on a step."""
SLOWER, LEANER = 1.3, 0.75
"""Assumed: at a lower clock a step takes so much longer and draws so much of its dynamic energy."""
SMALL = Scheduler(max_num_seqs=8)
OVERLOAD = 1.5
"""Arrivals, against the rate that keeps a mean batch of seven of eight."""
GAP_SECONDS = 0.5
A_WORD = Traffic(Lengths(2000, 0.5, 500, 4000), Lengths(3, 0.5, 1, 8))
"""Long prompts that are answered with a word: classification."""
_LESSON, _EXAM = 1, 2


@dataclass(frozen=True, slots=True)
class Experiment:
    """One cause.

    Attributes:
        why: what is shown. lesson: what proxies are calibrated on. exams: what they are held against, the first as
            the lesson was. Each makes a run of so many seconds. sight: what the log tells of any of them.
    """

    why: str
    lesson: Callable[[float], Run]
    exams: Mapping[str, Callable[[float], Run]]
    sight: Sight = SEES_ALL


def _alone(physics: Physics, chance: int, *mix: Traffic) -> Callable[[float], Run]:
    """Requests that never meet, so that batching plays no part."""
    scenario = Scenario(physics, mix or (CHAT,))
    usual = GAP_SECONDS + float(np.mean([_usual_seconds(physics, one) for one in scenario.mix]))
    return lambda seconds: isolated_run(scenario, chance, count=int(seconds / usual), gap_seconds=GAP_SECONDS)


def _usual_seconds(physics: Physics, traffic: Traffic) -> float:
    return physics.alone_seconds(int(traffic.prompt.median), int(traffic.output.median), 2048)


def on_gpus(physics: Physics, count: int) -> Physics:
    """The same model under tensor parallelism: each step is shorter, and all GPUs draw static power through it."""
    faster = _scaled(physics.seconds, 1.0 / (count * EFFICIENCY[count]))
    idle = physics.idle_watts * count
    return replace(physics, seconds=faster, idle_watts=idle, gpu_shares=(1.0 / count,) * count)


def at_lower_clock(physics: Physics) -> Physics:
    """The same model on the same GPU, slower and leaner."""
    return replace(physics, seconds=_scaled(physics.seconds, SLOWER), joules=_scaled(physics.joules, LEANER))


def _scaled(terms: Terms, by: float) -> Terms:
    return Terms(0.0, 0.0, 0.0).plus(terms, by)


@cache
def _small_rate(mean_batch: float) -> float:
    return rate_for_batch(Scenario(PHYSICS, scheduler=SMALL), mean_batch)


def _queue(rate: Callable[[], float], chance: int) -> Callable[[float], Run]:
    scenario = Scenario(PHYSICS, scheduler=SMALL)
    return lambda seconds: poisson_run(scenario, np.random.default_rng(chance), rate=rate(), seconds=seconds)


def _caching(cached: float, chance: int) -> Callable[[float], Run]:
    scenario = Scenario(PHYSICS, mix=(PREFILL_HEAVY,), cached_fraction=cached)
    return lambda seconds: batch_run(scenario, chance, mean_batch=4.0, seconds=seconds)


_QUEUES: Mapping[str, Callable[[float], Run]] = {
    "as calibrated": _queue(lambda: _small_rate(5.0), _EXAM),
    "mean batch 7 of 8": _queue(lambda: _small_rate(7.0), _EXAM),
    f"overload: {OVERLOAD} times as many": _queue(lambda: OVERLOAD * _small_rate(7.0), _EXAM),
}

EXPERIMENTS: Mapping[str, Experiment] = {
    "queueing": Experiment(
        "Waiting is time without energy. At most 8 requests run at once; calibrated at a mean batch of 5.",
        _queue(lambda: _small_rate(5.0), _LESSON),
        _QUEUES,
    ),
    "queueing, unseen": Experiment(
        "The same, with a log that does not tell when a request got its place: it seems to run from its arrival on.",
        _queue(lambda: _small_rate(5.0), _LESSON),
        _QUEUES,
        Sight(whole=True, execution=False),
    ),
    "phases": Experiment(
        "Prompts draw more power than answers. Requests that never meet; calibrated on short prompts, long answers.",
        _alone(PHYSICS, _LESSON, DECODE_HEAVY),
        {
            "as calibrated": _alone(PHYSICS, _EXAM, DECODE_HEAVY),
            "long prompts, short answers": _alone(PHYSICS, _EXAM, PREFILL_HEAVY),
            "long prompts, a word": _alone(PHYSICS, _EXAM, A_WORD),
        },
    ),
    "phases, both seen": Experiment(
        "The same, calibrated on both kinds of requests in turn.",
        _alone(PHYSICS, _LESSON, *MIXED),
        {
            "as calibrated": _alone(PHYSICS, _EXAM, *MIXED),
            "long prompts, short answers": _alone(PHYSICS, _EXAM, PREFILL_HEAVY),
            "long prompts, a word": _alone(PHYSICS, _EXAM, A_WORD),
            "short prompts, long answers": _alone(PHYSICS, _EXAM, DECODE_HEAVY),
        },
    ),
    "prompt cache": Experiment(
        "Prompt tokens out of a cache cost nothing. Long prompts, mean batch 4; calibrated with nothing cached.",
        _caching(0.0, _LESSON),
        {"as calibrated": _caching(0.0, _EXAM), "every prompt cached in part": _caching(1.0, _EXAM)},
    ),
    "parallelism": Experiment(
        "Tensor parallelism makes a request faster, not cheaper. Never meeting; calibrated on one GPU.",
        _alone(PHYSICS, _LESSON),
        {
            "as calibrated, 1 GPU": _alone(PHYSICS, _EXAM),
            **{f"{count} GPUs": _alone(on_gpus(PHYSICS, count), _EXAM) for count in EFFICIENCY},
        },
    ),
    "clocks": Experiment(
        "A lower clock takes longer and draws less. Never meeting; calibrated at the full clock.",
        _alone(PHYSICS, _LESSON),
        {"as calibrated": _alone(PHYSICS, _EXAM), "lower clock": _alone(at_lower_clock(PHYSICS), _EXAM)},
    ),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One exam: what came of it, and what its requests lived through on average."""

    held: Held
    waited_seconds: float
    ran_seconds: float
    joules: float


def outcomes(experiment: Experiment, seconds: float) -> Mapping[str, Outcome]:
    """By exam."""
    taught = teach([experiment.lesson(seconds)], experiment.sight)
    return {name: _outcome(exam(seconds), taught, experiment.sight) for name, exam in experiment.exams.items()}


def _outcome(run: Run, taught: Proxies, sight: Sight) -> Outcome:
    seated: Proxies = {**taught, "peak": untaught(run.physics.tdp_watts)["peak"]}
    return Outcome(
        held=hold(run, {"taught": seated}, sight)["taught"],
        waited_seconds=float(np.mean([one.queued_seconds for one in run.served])),
        ran_seconds=float(np.mean([one.end - one.start for one in run.served])),
        joules=float(np.mean([one.joules for one in run.served])),
    )


def written(name: str, seconds: float) -> Iterator[str]:
    """One experiment's table, a line each."""
    experiment = EXPERIMENTS[name]
    yield f"\n### {name}\n"
    yield f"{experiment.why}\n"
    rows = {exam: _cells(one) for exam, one in outcomes(experiment, seconds).items()}
    yield from markdown("used on", rows, (*NAMES, "s waiting", "s running", "J/request"))


def _cells(one: Outcome) -> list[str]:
    biases = [bias_cell([one.held[name]]) for name in NAMES]
    return [*biases, f"{one.waited_seconds:.1f}", f"{one.ran_seconds:.2f}", f"{one.joules:.0f}"]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="where each proxy fails, on SIMULATED servers")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--seconds", type=float, default=900.0)
    asked = parser.parse_args()
    for name in asked.only:
        for line in written(name, asked.seconds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
