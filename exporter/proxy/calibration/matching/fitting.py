"""Whether a calibration fits at all, and if not, what speaks against it.

It fits if it explains the timings about as well as a server could of which nothing is known beforehand (anything.py),
and if at its likeliest load and round trip most of them lie in the middle of what it expects. The first finds what is
off by more than machines of a kind differ, and what is expected so vaguely that it would be there by chance; the second
finds timings that nothing of our making explains, however it is chosen.

The first counts 25 timings at most: more of them are each worth less. A machine that is some per cent off the one that
was calibrated would otherwise be refuted for certain by a thousand timings of an hour, though nobody doubts it.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from exporter.proxy.calibration.matching import anything
from exporter.proxy.calibration.matching.spread import Spread
from exporter.proxy.calibration.matching.timings import Timings
from exporter.proxy.calibration.matching.trial import Trial
from exporter.proxy.proxy import Floats

Against = Literal["faster", "slower", "otherwise"]
"""Faster than the calibration ever was; slower than under any load it was made under; neither, but not like it."""

WITNESSES = 25
"""More timings count as so many."""
LEAST_LOG_ODDS = -math.log(1e3)
"""To fit, it may make the timings so much less likely than anything does."""
INSIDE = 0.9
"""Part of the timings that a calibration that fits is expected to have in its middle."""

_LEAST_INSIDE = 0.65
_CHANCE = 0.005
"""Fewer inside than the first, and so few by less than this chance: it does not fit."""
_BEYOND = 0.05
"""Times below or above which less than this is expected at every load speak for something else."""


@dataclass(frozen=True, slots=True)
class Goodness:
    """How all timings fit at best.

    Attributes:
        log_odds: logarithm of the likelihood of the timings, of as many as are counted, over that of anything.
        inside: part of the timings in the middle nine tenths of what is expected. against: None where it fits.
        concurrency: the number of requests at once at which it fits best. network_seconds: likewise the round trip.
    """

    log_odds: float
    inside: float
    against: Against | None
    concurrency: float
    network_seconds: float


def weight_of(count: int) -> float:
    """How much each of so many timings counts."""
    return min(1.0, WITNESSES / count)


def log_evidence_of_anything(used: Timings) -> float:
    """What a calibration's evidence of the timings, weighed by `weight_of`, is held against."""
    return anything.log_evidence(used, weight_of(len(used)))


def goodness(trial: Trial, likelihood: Floats, log_odds: float) -> Goodness:
    """Of a calibration whose evidence has these odds against anything's."""
    place = trial.best(likelihood)
    passed = trial.passed(place)
    inside = int(np.count_nonzero(np.abs(passed - 0.5) < INSIDE / 2))
    fits = log_odds >= LEAST_LOG_ODDS and _enough(inside, len(passed))
    return Goodness(
        log_odds=log_odds,
        inside=inside / max(len(passed), 1),
        against=None if fits else _against(trial),
        concurrency=trial.concurrency(place),
        network_seconds=trial.network_seconds(place),
    )


def _enough(inside: int, count: int) -> bool:
    return count > 0 and (inside >= _LEAST_INSIDE * count or _chance_of_so_few(inside, count) > _CHANCE)


def _chance_of_so_few(inside: int, count: int) -> float:
    """The probability of at most so many inside, if each is with probability `INSIDE`."""
    return sum(math.comb(count, k) * INSIDE**k * (1.0 - INSIDE) ** (count - k) for k in range(inside + 1))


def _against(trial: Trial) -> Against:
    """Load and network make slower, never faster: what is too fast without either is so for certain."""
    seen = (np.log(trial.used.seconds_per_output_token), trial.used.time_to_first_token_seconds)
    ends = [_beyond(spread, one) for spread, one in zip((trial.tokens, trial.first_tokens), seen, strict=True)]
    if any(fast > 0.5 for fast, _ in ends):
        return "faster"
    return "slower" if any(slow > 0.5 for _, slow in ends) else "otherwise"


def _beyond(spread: Spread, seen: Floats) -> tuple[float, float]:
    """The parts of the times that are too fast and too slow for every way and every level."""
    passed = spread.passed(seen).reshape(-1, len(seen))
    known = passed[:, np.isfinite(passed).any(axis=0)]
    if not known.size:
        return 0.0, 0.0
    fast, slow = np.nanmax(known, axis=0) < _BEYOND, np.nanmin(known, axis=0) > 1.0 - _BEYOND
    return float(fast.mean()), float(slow.mean())
