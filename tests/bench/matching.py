"""How often matching is right, how sure it was, and how often it says that none fits. SIMULATED servers.

    python -m tests.bench.matching

Five published fits, with what they do not say drawn by chance, are calibrated in each of some worlds; in each world
every one of them is timed from afar, under three loads, by few and many timings, over a network, on a machine whose
prefill and decode are each some per cent faster or slower than the calibrated one's. Each is matched twice: among all
five, and without its own calibration, where the right answer is that none fits. How easily that can be told hangs on
how far the nearest of the others is (`apart`). Then servers of quite another speed, of which none is calibrated.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exporter.proxy.calibration.latency import Level
from exporter.proxy.calibration.matching.expected import LEAST_SAMPLES
from exporter.proxy.calibration.matching.ranking import CONFIDENT, Ranking, rank
from exporter.proxy.calibration.matching.timings import Timings
from exporter.simulate.batching import Run
from exporter.simulate.physics import FITS, Physics
from tests.proxy.served import busy_run, physics_of, profile, quiet_run, timings

WORLDS = range(6)
COUNTS = (3, 10, 25)
MANY = 100
"""Timings, of the whole of a busy run: whether what is true of 25 is true of more."""
NETWORK_SECONDS = (0.0, 0.02, 0.2)
MACHINE_SPREAD = 0.05
BOUNDS = (0.0, 0.6, 0.7, 0.8, 0.9, 1.0)
APART = (0.0, 0.1, 0.25, 0.5, math.inf)
SPEEDS = (10.0, 4.0, 2.0, 1.5, 1 / 1.5, 1 / 2, 1 / 4)
"""Of the other servers, against the one of the five that they are made of."""


@dataclass(frozen=True)
class Trial:
    """One match. `without`: the same with the right calibration taken away. `apart`: how far the nearest other is."""

    truth: str
    load: str
    count: int
    ranking: Ranking
    without: Ranking
    apart: float

    @property
    def right(self) -> bool:
        return self.ranking.best.name == self.truth


def trials() -> Iterator[Trial]:
    for world in WORLDS:
        physics, levels = calibrated(world)
        for place, (truth, one) in enumerate(physics.items()):
            others = {model: its for model, its in levels.items() if model != truth}
            nearest = min(apart(levels[truth], its) for its in others.values())
            for load, count, seen in sightings(one, [world, place]):
                yield Trial(truth, load, count, rank(levels, seen), rank(others, seen), nearest)


def calibrated(world: int) -> tuple[Mapping[str, Physics], Mapping[str, Sequence[Level]]]:
    physics = {fit.model: physics_of(fit.model, world) for fit in FITS}
    return physics, {model: profile(one).levels for model, one in physics.items()}


def apart(truth: Sequence[Level], other: Sequence[Level]) -> float:
    """By how much a server differs from a calibration at any load: relative, of prefill and of decode the greater.

    Prefill hardly depends on load. Decode is no nearer than at the load at which the other is as slow.
    """
    prefill = abs(math.log(truth[0].seconds_per_prompt_token / other[0].seconds_per_prompt_token))
    own = truth[0].token_seconds[1]
    known = [level.token_seconds[1] for level in other if level.tokens >= LEAST_SAMPLES]
    decode = max(math.log(min(known) / own), math.log(own / max(known)), 0.0)
    return math.expm1(max(prefill, decode))


def sightings(physics: Physics, seed: list[int]) -> Iterator[tuple[str, int, Timings]]:
    rng = np.random.default_rng(seed)
    for load, run in remotes(physics, sum(seed)):
        for count in COUNTS if load != "many" else (MANY,):
            for network_seconds in NETWORK_SECONDS:
                seen = timings(run, count, network_seconds=network_seconds, seed=int(rng.integers(2**31)))
                yield load, count, elsewhere(seen, rng)


def remotes(physics: Physics, seed: int) -> Iterator[tuple[str, Run]]:
    yield "alone", quiet_run(physics, 900 + seed, 30)
    for rate in (0.3, 1.5):
        yield f"{rate:g} a second", busy_run(physics, 900 + seed, rate=rate, count=90)
    yield "many", busy_run(physics, 950 + seed, rate=0.6, count=2 * MANY)


def elsewhere(seen: Timings, rng: np.random.Generator) -> Timings:
    """On a machine that is not quite the calibrated one."""
    prefill, decode = np.exp(MACHINE_SPREAD * rng.standard_normal(2))
    first = prefill * seen.time_to_first_token_seconds
    rest = decode * (seen.seconds - seen.time_to_first_token_seconds)
    return replace(seen, time_to_first_token_seconds=first, seconds=first + rest)


def strangers(speed: float) -> Iterator[Ranking]:
    """Servers so many times as fast as one of the five, 25 timings each, matched with all five."""
    for world in WORLDS:
        physics, levels = calibrated(world)
        for place, one in enumerate(physics.values()):
            other = replace(one, seconds=one.seconds.plus(one.seconds, 1.0 / speed - 1.0))
            rng = np.random.default_rng([world, place])
            run = busy_run(other, 970 + place, rate=0.3 * speed, count=60)
            yield rank(levels, elsewhere(timings(run, 25, network_seconds=0.02, seed=place), rng))


def line(name: str, chosen: Sequence[Trial]) -> str:
    if not chosen:
        return f"{name:<24}{0:>6}"
    columns: Sequence[Sequence[float]] = (
        [one.right for one in chosen],
        [one.ranking.best.confidence for one in chosen],
        [one.ranking.verdict == "match" for one in chosen],
        [one.truth in one.ranking.among for one in chosen],
        [one.ranking.verdict == "none" for one in chosen],
        *verdicts([one.without for one in chosen]),
    )
    return f"{name:<24}{len(chosen):>6}" + percent(*columns)


def verdicts(rankings: Sequence[Ranking]) -> Iterator[Sequence[float]]:
    for verdict in ("none", "unclear", "match"):
        yield [one.verdict == verdict for one in rankings]


def percent(*columns: Sequence[float]) -> str:
    return "".join(f"{100 * float(np.mean(column)):>10.0f} %" for column in columns)


def main() -> None:
    found = list(trials())
    heads = ("right", "confidence", "certain", "true named", "none", "none*", "unclear*", "certain*")
    print(f"{'SIMULATED':<24}{'n':>6}" + "".join(f"{head:>12}" for head in heads))
    for count in (*COUNTS, MANY):
        print(line(f"{count} timings", [one for one in found if one.count == count]))
    for load in dict.fromkeys(one.load for one in found):
        print(line(f"remote: {load}", [one for one in found if one.load == load]))
    for low, high in itertools.pairwise(BOUNDS):
        inside = [one for one in found if low <= one.ranking.best.confidence < high]
        print(line(f"confidence {low:.0%} to {high:.0%}", inside))
    for count, (low, high) in itertools.product((*COUNTS, MANY), itertools.pairwise(APART)):
        inside = [one for one in found if one.count == count and low <= one.apart < high]
        print(line(f"{count}, others {low:.0%} off", inside))
    print(f"* with the right calibration taken away; certain: confidence {CONFIDENT:.0%} and it fits\n")
    print(f"{'25 timings of a server':<24}{'n':>6}" + "".join(f"{head:>12}" for head in heads[-3:]))
    for speed in SPEEDS:
        rankings = list(strangers(speed))
        print(f"{f'{speed:.3g} times as fast':<24}{len(rankings):>6}" + percent(*verdicts(rankings)))


if __name__ == "__main__":
    main()
