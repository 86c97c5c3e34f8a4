"""How far each proxy is off as the batch grows, on SIMULATED servers: the table of docs/ACCURACY.md.

    python -m tests.bench.proxies [--seeds N] [--seconds S] [--jobs N]

Each proxy is calibrated once and then held against metered windows of 60 s at a mean batch of 1 (requests that never
meet) to 32. All proxies of a table come from one calibration: at a moderate load, on a sweep over all batches, at
a light load, or on requests that never meet; one more is of proxies that go on learning at the load they are scored
on. A cell is the mean over random models and GPUs (`exporter/simulate/physics.py`) of the mean absolute error of a
window's energy, and in brackets the worst of them; `silent` where the proxy says that it cannot tell. The last table
holds the worst cell of each column. What calibrated proxies are held against they never saw.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial

import numpy as np

from exporter.domain.settings import ProxyName
from exporter.simulate.batching import Run
from exporter.simulate.physics import random_physics
from tests.bench.schooling import (
    NAMES,
    Held,
    errors_cell,
    hold,
    markdown,
    mean_error,
    over_seeds,
    percent,
    teach,
    untaught,
)
from tests.simulation.scenarios import Scenario, batch_run, isolated_run, poisson_run

BATCHES = (1, 2, 4, 8, 16, 32)
LESSONS: Mapping[str, tuple[int, ...]] = {
    "calibrated at a moderate load (mean batch 4)": (4,),
    "calibrated on a sweep over all batches": BATCHES,
    "calibrated at a light load (mean batch 2)": (2,),
    "calibrated on requests that never meet": (1,),
}
LEARNING = "learning at the load they are scored on"

Tables = Mapping[str, Mapping[int, Held]]
"""By how the proxies were taught, and by mean batch."""


@cache
def scored_run(seed: int, batch: int, seconds: float) -> Run:
    """What proxies are held against: a random physics under chat load."""
    if batch == 1:
        return _never_meeting(seed, seconds, chance=seed)
    return batch_run(_scenario(seed), seed, mean_batch=batch, seconds=seconds)


def lesson_of(seed: int, number: int, batches: Sequence[int], seconds: float) -> list[Run]:
    """What they are taught on: the same physics under other requests, as many a second; an equal part at each batch."""
    return [_lesson_part(seed, number, batch, seconds, seconds / len(batches)) for batch in batches]


def _lesson_part(seed: int, number: int, batch: int, scored_seconds: float, seconds: float) -> Run:
    chance = 1000 * (seed + 1) + 100 * (number + 1) + batch
    if batch == 1:
        return _never_meeting(seed, seconds, chance)
    rate = len(scored_run(seed, batch, scored_seconds).served) / scored_seconds
    return poisson_run(_scenario(seed), np.random.default_rng(chance), rate=rate, seconds=seconds)


def _never_meeting(seed: int, seconds: float, chance: int) -> Run:
    return isolated_run(_scenario(seed), chance, count=max(int(seconds / 6.0), 20), gap_seconds=0.5)


@cache
def _scenario(seed: int) -> Scenario:
    return Scenario(random_physics(np.random.default_rng(seed)))


def tables_of(
    seed: int, seconds: float, lessons: Mapping[str, Sequence[int]] = LESSONS, batches: Sequence[int] = BATCHES
) -> Tables:
    """All that one seed says."""
    taught = {
        lesson: teach(lesson_of(seed, number, taught_on, seconds))
        for number, (lesson, taught_on) in enumerate(lessons.items())
    }
    found: dict[str, dict[int, Held]] = {name: {} for name in (*lessons, LEARNING)}
    for batch in batches:
        run = scored_run(seed, batch, seconds)
        for name, held in hold(run, {**taught, LEARNING: untaught(run.physics.tdp_watts)}).items():
            found[name][batch] = held
    return found


def written(tables: Sequence[Tables]) -> Iterator[str]:
    """The tables, a line each; `tables` one a seed."""
    for title, found in tables[0].items():
        yield f"\n### {title}\n"
        rows = {
            str(batch): [errors_cell([one[title][batch][name] for one in tables]) for name in NAMES] for batch in found
        }
        yield from markdown("mean batch", rows)
    yield "\n### at the worst of these batches\n"
    worst = {title: [_worst_cell([one[title] for one in tables], name) for name in NAMES] for title in tables[0]}
    yield from markdown("", worst)


def _worst_cell(tables: Sequence[Mapping[int, Held]], name: ProxyName) -> str:
    """The largest mean error of any batch, and where it never spoke."""
    errors = {batch: mean_error([one[batch][name] for one in tables]) for batch in tables[0]}
    known = [error for error in errors.values() if error is not None]
    silent = [str(batch) for batch, error in errors.items() if error is None]
    note = f", silent at {', '.join(silent)}" if silent else ""
    return percent(max(known)) + note if known else "silent"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="errors of each proxy as the batch grows, on SIMULATED servers")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    for line in written(over_seeds(partial(tables_of, seconds=asked.seconds), asked.seeds, asked.jobs)):
        print(line)


if __name__ == "__main__":
    main()
