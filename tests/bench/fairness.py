"""How fair each attribution policy is, on simulated servers whose requests' true energy is known.

    python -m tests.bench.fairness [--seeds N] [--seconds S]

For a mean batch of about 1.6, 8 and 16 over several random physics, the share error of each policy: sum of |error| over
sum of truth, over requests that start after the policy has learned. `in force` is the part of the time in which the
wanted policy was trusted; otherwise `time` stood in. Blind spots of the log are named in the first column.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from exporter.domain.settings import PolicyName
from exporter.domain.units import later
from exporter.pipeline.pipeline import Pipeline
from exporter.simulate.batching import Run
from exporter.simulate.physics import random_physics
from tests.pipeline.telling import AFTER_SECONDS, SERVER, counters, gauges, gpus, hear, settings, share_error, tell
from tests.simulation.hearing import Sight, events
from tests.simulation.scenarios import Scenario, batch_run

BATCHES = (1.6, 8.0, 16.0)
POLICIES: tuple[PolicyName, ...] = ("time", "tokens", "steps")
LEARNING = 0.3
"""The first part of a run, in which policies may learn, is not scored."""
SIGHTS = {
    "all": Sight(),
    "only ends": Sight(whole=True),
    "no first token": Sight(first_token=False),
    "no tokens": Sight(tokens=False),
    "as vLLM's": Sight(tokens=False, first_token=False, execution=False),
}
GAUGED = {f"{name} + gauge": sight for name, sight in SIGHTS.items()}
"""The same logs beside the server's own metrics, asked every five seconds."""


@dataclass(frozen=True, slots=True)
class Score:
    """One policy on one run. `in_force`: the part of the scored time in which the wanted policy was trusted."""

    error: float
    in_force: float
    reason: str


@cache
def run_of(seed: int, mean_batch: float, seconds: float) -> Run:
    """One random physics under chat load."""
    physics = random_physics(np.random.default_rng(seed))
    return batch_run(Scenario(physics), seed, mean_batch=mean_batch, seconds=seconds)


def score(run: Run, policy: PolicyName, sight: Sight = SIGHTS["all"], *, gauge: bool = False) -> Score:
    """Tell the run to a pipeline with this policy and hold its shares against the truth."""
    pipeline = Pipeline(settings(policy=policy), gpus(len(run.physics.gpu_shares)), run.begin)
    end = later(run.end, AFTER_SECONDS)
    server = pipeline.servers[SERVER]
    since = later(run.begin, LEARNING * (run.end - run.begin))
    force: list[bool] = []
    settled = tell(
        pipeline,
        counters(run, until=end),
        hear(events(run, sight)),
        gauges(run, until=end) if gauge else (),
        begin=run.begin,
        end=end,
        watch=lambda now: force.append(server.in_force == policy) if since <= now <= run.end else None,
    )
    error = share_error(run, settled, since=since)
    return Score(error, float(np.mean(force)), server.view().policy_reason)


def table(sights: Sequence[str], seeds: int, seconds: float) -> Iterator[str]:
    """The figures, a line each, as they become known."""
    yield f"{'log':<20}{'batch':>6}  " + "".join(f"{policy:>8}{'worst':>8}{'in force':>10}" for policy in POLICIES)
    for sight in sights:
        for batch in BATCHES:
            runs = [run_of(seed, batch, seconds) for seed in range(seeds)]
            seen, gauge = {**SIGHTS, **GAUGED}[sight], sight in GAUGED
            cells = [_cell([score(run, policy, seen, gauge=gauge) for run in runs]) for policy in POLICIES]
            mean = float(np.mean([run.mean_batch for run in runs]))
            yield f"{sight:<20}{mean:>6.1f}  " + "".join(cells)


def _cell(scores: Sequence[Score]) -> str:
    errors = [one.error for one in scores]
    force = float(np.mean([one.in_force for one in scores]))
    return f"{np.mean(errors):>8.2%}{max(errors):>8.2%}{force:>10.0%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="share error of each attribution policy on simulated servers")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--sights", nargs="+", choices=[*SIGHTS, *GAUGED], default=list(SIGHTS))
    asked = parser.parse_args()
    for line in table(asked.sights, asked.seeds, asked.seconds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
