"""How good each proxy is by what the log tells, on SIMULATED servers: a table of docs/ACCURACY.md.

    python -m tests.bench.blind_spots [--seeds N] [--seconds S] [--jobs N]

As `tests/bench/proxies.py`, calibrated at a moderate load, with the same blind spot when calibrated and when scored. A
cell is the mean error of a window's energy over mean batches from 1 to 32, and the worst of them.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from exporter.domain.settings import ProxyName
from tests.bench.proxies import BATCHES, LESSONS, lesson_of, scored_run
from tests.bench.schooling import NAMES, SEES_ALL, Figures, Held, errors_cell, hold, markdown, over_seeds, teach
from tests.simulation.hearing import Sight

SIGHTS: Mapping[str, Sight] = {
    "starts, ends, first tokens, token counts": SEES_ALL,
    "starts, ends, token counts": Sight(whole=True, first_token=False),
    "starts and ends": Sight(whole=True, first_token=False, tokens=False),
}
MODERATE = next(iter(LESSONS.values()))

Answers = Mapping[str, Mapping[int, Held]]
"""By sight and by mean batch."""


def answers_of(seed: int, seconds: float, batches: Sequence[int] = BATCHES) -> Answers:
    """All that one seed says."""
    lesson = lesson_of(seed, 0, MODERATE, seconds)
    return {
        name: {batch: hold(scored_run(seed, batch, seconds), {"taught": taught}, sight)["taught"] for batch in batches}
        for name, sight in SIGHTS.items()
        for taught in [teach(lesson, sight)]
    }


def written(answers: Sequence[Answers]) -> Iterator[str]:
    """The table, a line each; `answers` one a seed."""
    rows = {sight: [errors_cell(_all_of(answers, sight, name)) for name in NAMES] for sight in SIGHTS}
    yield from markdown("the log tells", rows)


def _all_of(answers: Sequence[Answers], sight: str, name: ProxyName) -> list[Figures]:
    return [held[name] for one in answers for held in one[sight].values()]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="errors of each proxy by what the log tells, on SIMULATED servers")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    for line in written(over_seeds(partial(answers_of, seconds=asked.seconds), asked.seeds, asked.jobs)):
        print(line)


if __name__ == "__main__":
    main()
