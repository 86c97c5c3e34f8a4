"""How often matching is right, and how sure it was: `python -m tests.bench.matching`. SIMULATED servers.

Five published fits, with what they do not say drawn by chance, are calibrated in each of some worlds; in each world
every one of them is timed from afar, under three loads, by few and many timings, over a network, on a machine whose
prefill and decode are each some per cent faster or slower than the calibrated one's.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from exporter.proxy.calibration.matching import CONFIDENT, Ranking, Timings, rank
from exporter.simulate.batching import Run
from exporter.simulate.physics import FITS, Physics
from tests.proxy.served import busy_run, physics_of, profile, quiet_run, timings

WORLDS = range(6)
COUNTS = (3, 10, 25)
NETWORK_SECONDS = (0.0, 0.02, 0.2)
MACHINE_SPREAD = 0.05
BOUNDS = (0.0, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Trial:
    """One match. `without`: the same with the right calibration taken away."""

    truth: str
    load: str
    count: int
    ranking: Ranking
    without: Ranking

    @property
    def right(self) -> bool:
        return self.ranking.best.name == self.truth


def trials() -> Iterator[Trial]:
    for world in WORLDS:
        physics = {fit.model: physics_of(fit.model, world) for fit in FITS}
        levels = {model: profile(one).levels for model, one in physics.items()}
        for place, (truth, one) in enumerate(physics.items()):
            others = {model: its for model, its in levels.items() if model != truth}
            for load, count, seen in sightings(one, [world, place]):
                yield Trial(truth, load, count, rank(levels, seen), rank(others, seen))


def sightings(physics: Physics, seed: list[int]) -> Iterator[tuple[str, int, Timings]]:
    rng = np.random.default_rng(seed)
    for load, run in remotes(physics, sum(seed)):
        for count in COUNTS:
            for network_seconds in NETWORK_SECONDS:
                seen = timings(run, count, network_seconds=network_seconds, seed=int(rng.integers(2**31)))
                yield load, count, elsewhere(seen, rng)


def remotes(physics: Physics, seed: int) -> Iterator[tuple[str, Run]]:
    yield "alone", quiet_run(physics, 900 + seed, 30)
    for rate in (0.3, 1.5):
        yield f"{rate:g} a second", busy_run(physics, 900 + seed, rate=rate, count=90)


def elsewhere(seen: Timings, rng: np.random.Generator) -> Timings:
    """On a machine that is not quite the calibrated one."""
    prefill, decode = np.exp(MACHINE_SPREAD * rng.standard_normal(2))
    first = prefill * seen.time_to_first_token_seconds
    rest = decode * (seen.seconds - seen.time_to_first_token_seconds)
    return replace(seen, time_to_first_token_seconds=first, seconds=first + rest)


def line(name: str, chosen: list[Trial]) -> str:
    if not chosen:
        return f"{name:<24}{0:>6}"
    columns = (
        [one.right for one in chosen],
        [one.ranking.best.confidence for one in chosen],
        [one.ranking.verdict == "match" for one in chosen],
        [one.truth in one.ranking.among for one in chosen],
        [one.without.verdict == "none" for one in chosen],
        [one.without.verdict == "match" for one in chosen],
    )
    return f"{name:<24}{len(chosen):>6}" + "".join(f"{100 * float(np.mean(column)):>11.0f} %" for column in columns)


def main() -> None:
    found = list(trials())
    heads = ("right", "confidence", "certain", "truth named", "none fits*", "certain*")
    print(f"{'SIMULATED':<24}{'n':>6}" + "".join(f"{head:>13}" for head in heads))
    for count in COUNTS:
        print(line(f"{count} timings", [one for one in found if one.count == count]))
    for load in dict.fromkeys(one.load for one in found):
        print(line(f"remote: {load}", [one for one in found if one.load == load]))
    for low, high in itertools.pairwise(BOUNDS):
        inside = [one for one in found if low <= one.ranking.best.confidence < high]
        print(line(f"confidence {low:.0%} to {high:.0%}", inside))
    print(f"* with the right calibration taken away; certain: confidence {CONFIDENT:.0%} and it fits")


if __name__ == "__main__":
    main()
