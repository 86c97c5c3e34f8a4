"""How far each proxy is off as the batch grows, on SIMULATED servers: the table of docs/ACCURACY.md.

    python -m tests.bench.proxies [--seeds N] [--seconds S]

Each proxy is calibrated once and then held against metered windows of 60 s at a mean batch of 1 (requests that never
meet) to 32. Three calibrations: on requests that never meet, on light load (mean batch 2), and on a sweep over all
batches; last, proxies that go on learning at the very load they are scored on. Figures are the mean over random models
and GPUs (`exporter/simulate/physics.py`) of the mean absolute error of a window's energy. What calibrated proxies are
held against they never saw.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from exporter.domain.settings import ProxyName, Settings
from exporter.domain.snapshot import Ground, ProxyView, ScoreName
from exporter.domain.units import later
from exporter.pipeline.pipeline import Pipeline
from exporter.proxy.proxies import PROXIES, predict_with
from exporter.proxy.proxy import Coefficient, Features, Floats, Proxy
from exporter.proxy.scorer import Scorer
from exporter.simulate.batching import Run
from exporter.simulate.physics import random_physics
from tests.pipeline.telling import AFTER_SECONDS, SERVER, counters, gpus, hear, settings, tell
from tests.simulation.hearing import events
from tests.simulation.scenarios import Scenario, batch_run, isolated_run

NAMES = Settings().proxies
BATCHES = (1, 2, 4, 8, 16, 32)
LESSONS: Mapping[str, tuple[int, ...]] = {
    "requests that never meet": (1,),
    "light load (mean batch 2)": (2,),
    "a sweep over all batches": BATCHES,
}
TDP_WATTS = 700.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One proxy at one load: mean absolute and total error on windows, and mean absolute error of requests alone."""

    window: float
    bias: float
    alone: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A proxy that learns no more."""

    name: ProxyName
    terms: Mapping[str, float]

    def predict(self, seen: Features) -> Floats:
        """Joules by what was learned before; NaN where nothing was."""
        return predict_with(self.name, self.terms, seen) if self.terms else np.full(len(seen), np.nan)

    def learn(self, seen: Features, joules: Floats, seconds: float) -> None:
        """Never."""

    @property
    def coefficients(self) -> Mapping[str, Coefficient]:
        """As they were given."""
        return {term: Coefficient(value, 0.0) for term, value in self.terms.items()}


@cache
def run_of(seed: int, lesson: int, batch: int, seconds: float) -> Run:
    """A simulated run; `lesson` 0 is what is scored, others are what was learned from."""
    physics = random_physics(np.random.default_rng(seed))
    scenario, chance = Scenario(physics), 1000 * seed + lesson
    if batch == 1:
        return isolated_run(scenario, chance, count=max(int(seconds / 6.0), 20), gap_seconds=0.5)
    return batch_run(scenario, chance, mean_batch=batch, seconds=seconds)


def watch(run: Run, proxies: Mapping[ProxyName, Proxy]) -> tuple[ProxyView, ...]:
    """Tell a run to a pipeline whose proxies are these; returns how they did."""
    pipeline = Pipeline(settings(), gpus(len(run.physics.gpu_shares), limit_watts=TDP_WATTS), run.begin)
    proxying = pipeline.servers[SERVER].proxying
    proxying.students[run.physics.model] = replace(proxying.student(run.physics.model), scorer=Scorer(proxies))
    end = later(run.end, AFTER_SECONDS)
    tell(pipeline, counters(run, until=end), hear(events(run)), begin=run.begin, end=end)
    return pipeline.snapshot(end).proxies


def teach(runs: Sequence[Run]) -> dict[ProxyName, Proxy]:
    """Proxies that have seen these runs of one model, one after the other, and learn no more."""
    limit = TDP_WATTS * len(runs[0].physics.gpu_shares)
    proxies: dict[ProxyName, Proxy] = {name: PROXIES[name](limit) for name in NAMES}
    for run in runs:
        watch(run, proxies)
    return {name: Calibrated(name, terms_of(proxy)) for name, proxy in proxies.items()}


def terms_of(proxy: Proxy) -> dict[str, float]:
    """What it has learned."""
    return {term: coefficient.value for term, coefficient in proxy.coefficients.items()}


def score(lesson: int, batches: Sequence[int], seed: int, seconds: float) -> dict[int, dict[ProxyName, Figures]]:
    """Errors of proxies that were calibrated on these batches, at every batch."""
    learned = teach([run_of(seed, lesson, batch, seconds / len(batches)) for batch in batches])
    return {batch: figures(watch(run_of(seed, 0, batch, seconds), learned)) for batch in BATCHES}


def learning(seed: int, seconds: float) -> dict[int, dict[ProxyName, Figures]]:
    """Errors of proxies that learn at the load they are scored on, at every batch."""
    found = {}
    for batch in BATCHES:
        run = run_of(seed, 0, batch, seconds)
        limit = TDP_WATTS * len(run.physics.gpu_shares)
        found[batch] = figures(watch(run, {name: PROXIES[name](limit) for name in NAMES}))
    return found


def figures(views: Sequence[ProxyView]) -> dict[ProxyName, Figures]:
    """What is quoted of each proxy; NaN where nothing was scored."""
    return {view.proxy: Figures(*(_score(view, *which) for which in _QUOTED)) for view in views}


_QUOTED: tuple[tuple[Ground, ScoreName], ...] = (("window", "mape"), ("window", "bias"), ("isolated", "mape"))


def _score(view: ProxyView, ground: Ground, name: ScoreName) -> float:
    return view.scores[ground].lifetime.get(name, float("nan"))


def tables(seeds: int, seconds: float) -> Iterator[str]:
    """The figures, a line each, as they become known."""
    for number, (lesson, batches) in enumerate(LESSONS.items(), start=1):
        yield from table(f"calibrated on {lesson}", [score(number, batches, seed, seconds) for seed in range(seeds)])
    yield from table("learning at the load they are scored on", [learning(seed, seconds) for seed in range(seeds)])


def table(title: str, found: Sequence[Mapping[int, Mapping[ProxyName, Figures]]]) -> Iterator[str]:
    """One table: a row for each mean batch, the mean over all seeds."""
    yield f"\n### {title}\n"
    yield "| mean batch | " + " | ".join(f"`{name}`" for name in NAMES) + " |"
    yield "|---" * (len(NAMES) + 1) + "|"
    for batch in BATCHES:
        cells = [_cell([one[batch][name].window for one in found]) for name in NAMES]
        yield f"| {batch} | " + " | ".join(cells) + " |"


def _cell(errors: Sequence[float]) -> str:
    if np.isnan(errors).any():
        return "cannot say"
    mean, worst = float(np.mean(errors)), max(errors)
    return f"{mean:.1%} (worst {worst:.1%})" if mean < 1.0 else f"{mean:.0%}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="errors of each proxy as the batch grows, on SIMULATED servers")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1200.0)
    asked = parser.parse_args()
    for line in tables(asked.seeds, asked.seconds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
