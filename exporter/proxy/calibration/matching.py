"""Which calibration a remote server's latencies fit best: from times alone to the hardware behind an API.

Theory of operation. A calibration says what latencies a model on its GPUs has at each level of concurrency. A client
of a remote server sees times to first token and times per output token, and three things lie between the two:

- *load*: nobody knows how many others the server works for. A hump over the levels, with a centre and a width;
- *network*: a round trip, which delays the first token of every answer and none of the tokens after it;
- *pace*: no two machines are quite alike, nor two versions of an engine: all times may be some six per cent off;
- *noise*: heavy tails (Student's t with four degrees of freedom, its two halves as wide as the calibration's own
  spread), and now and then a time that tells nothing.

What is unknown is laid on a grid (delay x pace x hump) and averaged over, not fitted: a calibration that could
explain anything, given the right load, pays for it by itself. The average likelihood of all timings is a calibration's
evidence. Load and network are told apart from hardware by the prompts' lengths: prefill time per prompt token hardly
depends on either. So timings of different prompt lengths say far more than many of one length.

How sure is it? Timings of one hour are no independent witnesses: they share load, route and time of day, and neither
machine is quite the one that was calibrated. So confidence is not the posterior of all timings, which would soon be
1 - 1e-9, but the mean posterior over half of them at a time: halves balanced by the signs of a Hadamard matrix over
stretches of neighbouring timings. Whatever hangs on a few timings or on one quarter of an hour loses confidence by it.
And that the next timings will be like those seen is itself believed no more than by the rule of succession: of a half
of n timings, with 1 / (n + 2) they tell nothing at all.

Being best of what is at hand is not yet fitting. At its most likely load and delay, a calibration that fits has nine of
ten timings in the middle nine tenths of what it expects; with far fewer, none of these is the one.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from exporter.proxy.proxy import Floats

Verdict = Literal["match", "unclear", "none"]
"""One fits, for certain; one or more fit, but it is not certain which; none fits."""

CONFIDENT = 0.9
"""Posterior that the named ones hold together."""
INSIDE = 0.9
"""Part of the timings that a calibration that fits is expected to have in its middle."""
MOST_TIMINGS = 400
LEAST_SAMPLES = 8
"""Requests from which a level of a calibration is known."""

_LEAST_INSIDE = 0.65
_CHANCE = 0.005
"""Fewer inside than the first, and so few by less than this chance: it does not fit."""
_TOLERANCE = 0.04
"""No two machines are alike: relative."""
_STRAY = 0.02
"""Part of the timings that tell nothing. They are spread evenly over six decades."""
_STRAY_DENSITY = _STRAY / math.log(1e6)
_JITTER_SECONDS = 2e-3
_JITTER = 0.1
"""By how much a round trip varies: relative."""
_ROUND_TRIPS = np.concatenate([[0.0], np.geomspace(0.002, 0.5, 24)])
_PACES = np.array([0.94, 1.0, 1.06])
_DELAYS, _SLOWNESS = (grid.reshape(-1, 1, 1) for grid in np.meshgrid(_ROUND_TRIPS, _PACES, indexing="ij"))
"""The unknown way to the server and its unknown pace: together the first axis of everything below."""
_WIDTHS = (0.35, 1.0, 2.0)
"""Of humps of load, in levels."""
_BLOCKS = 16
_NEGLIGIBLE = 30.0
"""What is less likely than the likeliest by so much in its logarithm adds nothing."""
_QUANTILE = 1.13
"""Where 84 % of Student's t lie below, with four degrees of freedom."""


class Level(Protocol):
    """Latencies while about so many requests ran at once."""

    @property
    def tokens(self) -> int:
        """Requests behind `token_seconds`."""
        ...

    @property
    def first_tokens(self) -> int:
        """Requests behind `first_token_seconds`."""
        ...

    @property
    def token_seconds(self) -> tuple[float, float, float]:
        """Per output token: 16 %, 50 % and 84 % of requests were faster. NaN where unknown."""
        ...

    def first_token_seconds(self, prompt_tokens: Floats) -> tuple[Floats, Floats, Floats]:
        """The same of times to first token, for prompts of these lengths."""
        ...


@dataclass(frozen=True, slots=True)
class Timings:
    """What a client saw of a server: columns of one length, in the order of time, NaN where not known."""

    prompt_tokens: Floats
    output_tokens: Floats
    time_to_first_token_seconds: Floats
    seconds: Floats

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def seconds_per_output_token(self) -> Floats:
        """After the first one. NaN where there is none after it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            each = (self.seconds - self.time_to_first_token_seconds) / (self.output_tokens - 1.0)
        return np.where(np.isfinite(each) & (each > 0.0), each, math.nan)

    def rows(self, chosen: NDArray[np.intp]) -> "Timings":
        """Some of the rows."""
        columns = (self.prompt_tokens, self.output_tokens, self.time_to_first_token_seconds, self.seconds)
        return Timings(*(column[chosen] for column in columns))


@dataclass(frozen=True, slots=True)
class Fit:
    """How well one calibration fits.

    Attributes:
        confidence: mean posterior over balanced halves of the timings, among the calibrations at hand.
        stability: part of those halves by which it is the best.
        shortfall: by how much its logarithm of evidence falls short of the best one's.
        inside: part of the timings in the middle nine tenths of what it expects. fits: whether that is enough.
        concurrency: the number of requests at once at which it fits best. network_seconds: likewise the round trip.
    """

    name: str
    confidence: float
    stability: float
    shortfall: float
    inside: float
    fits: bool
    concurrency: float
    network_seconds: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """All calibrations, best first.

    Attributes:
        among: those that it may be: of the fewest that hold nine tenths of the posterior, the ones that fit.
        timings: how many were used. tokens: how many of them told a time per output token.
        first_tokens: how many told a time to first token, of a prompt of known length.
        tokens_per_second: median rate of one answer. first_token_seconds: median. prompt_tokens: from and to.
    """

    verdict: Verdict
    fits: tuple[Fit, ...]
    among: tuple[str, ...]
    timings: int
    tokens: int
    first_tokens: int
    tokens_per_second: float
    first_token_seconds: float
    prompt_tokens: tuple[float, float]

    @property
    def best(self) -> Fit:
        """The first of them."""
        return self.fits[0]


def rank(candidates: Mapping[str, Sequence[Level]], timings: Timings) -> Ranking:
    """Calibrations by how well they fit. Beyond `MOST_TIMINGS` evenly chosen ones are used.

    Args:
        candidates: by name, the levels of a calibration, each of twice the concurrency of the one before; of at least
            one of them something must be known.
        timings: in the order of time; at least one.
    """
    assert candidates, "there is nothing to rank"
    assert np.isfinite(timings.time_to_first_token_seconds).any(), "there is nothing to rank by"
    used = _thinned(timings)
    halves = np.concatenate([_halves(len(used)), np.ones((len(used), 1))], axis=1)
    found = [_held_against(levels, used, halves) for levels in candidates.values()]
    evidence = np.array([one for one, _ in found])
    posterior, leads = _posterior(evidence[:, :-1], halves[:, :-1].sum(axis=0))
    shortfall = evidence[:, -1].max() - evidence[:, -1]
    fits = [
        Fit(name, float(posterior[row]), float(leads[row]), float(shortfall[row]), *found[row][1])
        for row, name in enumerate(candidates)
    ]
    return _ranking(sorted(fits, key=lambda one: (-one.confidence, one.shortfall, one.name)), used)


def _held_against(
    levels: Sequence[Level], used: Timings, parts: Floats
) -> tuple[Floats, tuple[float, bool, float, float]]:
    """The evidence that each part of the timings is, and how all of them fit at best."""
    trial = _Trial.of(levels, used)
    likelihood = trial.log_likelihood()
    return trial.evidence(likelihood, parts), trial.at_best(likelihood)


def _ranking(fits: list[Fit], used: Timings) -> Ranking:
    among = _smallest(fits)
    first = used.time_to_first_token_seconds[np.isfinite(used.prompt_tokens)]
    return Ranking(
        verdict=_verdict(fits[0], among),
        fits=tuple(fits),
        among=among,
        timings=len(used),
        tokens=int(np.count_nonzero(np.isfinite(used.seconds_per_output_token))),
        first_tokens=int(np.count_nonzero(np.isfinite(first))),
        tokens_per_second=1.0 / _median(used.seconds_per_output_token),
        first_token_seconds=_median(used.time_to_first_token_seconds),
        prompt_tokens=_range(used.prompt_tokens),
    )


def _verdict(best: Fit, among: tuple[str, ...]) -> Verdict:
    if not among:
        return "none"
    return "match" if best.fits and best.confidence >= CONFIDENT else "unclear"


def _smallest(fits: list[Fit]) -> tuple[str, ...]:
    """The fewest that hold enough of the posterior together, of those the ones that fit."""
    held, among = 0.0, []
    for one in fits:
        if held < CONFIDENT:
            among.append(one)
        held += one.confidence
    return tuple(one.name for one in among if one.fits)


@dataclass(frozen=True, slots=True)
class _Spread:
    """Times as expected: split Student's t's by way, level and timing. NaN where nothing is known of a level."""

    middle: Floats
    below: Floats
    above: Floats

    def density(self, seen: Floats, unit: Floats | float = 1.0) -> Floats:
        """Of what was seen, in `unit`; a little everywhere, because some times tell nothing; 1 where none was seen."""
        with np.errstate(invalid="ignore"):
            away = self._away(seen)
            own = 0.75 / (self.below + self.above) * (1.0 + away**2 / 4.0) ** -2.5 * unit
        return np.where(np.isfinite(seen), (1.0 - _STRAY) * np.nan_to_num(own) + _STRAY_DENSITY, 1.0)

    def on(self, way: int) -> "_Spread":
        """On one way alone."""
        return _Spread(
            *(np.broadcast_to(part, self.middle.shape)[way] for part in (self.middle, self.below, self.above))
        )

    def passed(self, seen: Floats) -> Floats:
        """The probability of less than what was seen."""
        away = self._away(seen)
        upper = self.above * _student(np.maximum(away, 0.0)) + self.below * (_student(np.minimum(away, 0.0)) - 0.5)
        return (self.below + 2.0 * upper - self.above) / (self.below + self.above)

    def _away(self, seen: Floats) -> Floats:
        away = seen - self.middle
        return away / np.where(away < 0.0, self.below, self.above)


@dataclass(frozen=True, slots=True)
class _Trial:
    """One calibration held against the timings, on every way (delay and pace) and under every hump of load."""

    tokens: _Spread
    first_tokens: _Spread
    humps: Floats
    log_prior: Floats
    used: Timings

    @classmethod
    def of(cls, levels: Sequence[Level], used: Timings) -> "_Trial":
        return cls(_token_spread(levels, used), _first_token_spread(levels, used), *_humps(len(levels)), used)

    def log_likelihood(self) -> Floats:
        """Of each timing (last axis), on each way under each hump (first axis)."""
        tokens = self.tokens.density(np.log(self.used.seconds_per_output_token))
        first = self.used.time_to_first_token_seconds
        return np.log(self.humps @ (tokens * self.first_tokens.density(first, first))).reshape(-1, len(self.used))

    def evidence(self, likelihood: Floats, parts: Floats) -> Floats:
        """Logarithm of the mean likelihood of each part of the timings: `parts` weighs them, one column a part."""
        joint = likelihood @ parts + self.log_prior[:, None]
        top = joint.max(axis=0)
        joint = joint[(joint > top - _NEGLIGIBLE).any(axis=1)]
        return np.asarray(top + np.log(np.exp(joint - top).sum(axis=0)), dtype=np.float64)

    def at_best(self, likelihood: Floats) -> tuple[float, bool, float, float]:
        """Where it fits best: the part inside, whether that is enough, requests at once, seconds of round trip."""
        way, hump = divmod(int(np.argmax(likelihood.sum(axis=1) + self.log_prior)), len(self.humps))
        places = np.concatenate([self._tokens_passed(way, hump), self._first_tokens_passed(way, hump)])
        inside = int(np.count_nonzero(np.abs(places - 0.5) < INSIDE / 2))
        share = inside / max(len(places), 1)
        fits = share >= _LEAST_INSIDE or (len(places) > 0 and _chance_of_so_few(inside, len(places)) > _CHANCE)
        centre = float(self.humps[hump] @ np.arange(self.humps.shape[1]))
        return share, fits, 2.0**centre, float(_DELAYS[way, 0, 0])

    def _tokens_passed(self, way: int, hump: int) -> Floats:
        return self._mixed(self.tokens.on(way).passed(np.log(self.used.seconds_per_output_token)), hump)

    def _first_tokens_passed(self, way: int, hump: int) -> Floats:
        return self._mixed(self.first_tokens.on(way).passed(self.used.time_to_first_token_seconds), hump)

    def _mixed(self, passed: Floats, hump: int) -> Floats:
        """Over the levels of which something is known; only of times that were seen."""
        known = np.isfinite(passed)
        weights = self.humps[hump][:, None] * known
        seen = known.any(axis=0)
        return np.asarray(
            (weights * np.nan_to_num(passed)).sum(axis=0)[seen] / weights.sum(axis=0)[seen], dtype=np.float64
        )


def _student(t: Floats) -> Floats:
    """Distribution function of Student's t with four degrees of freedom."""
    square = t**2 / (4.0 + t**2)
    return np.asarray(0.5 + np.sign(t) * (0.75 * np.sqrt(square) - 0.25 * square**1.5), dtype=np.float64)


def _token_spread(levels: Sequence[Level], used: Timings) -> _Spread:
    """Logarithms of seconds per output token."""
    expected = np.array([one.token_seconds for one in levels])
    low, middle, high = np.log(_filled(expected, [one.tokens for one in levels])).T
    shape = (1, len(levels), 1)
    below, above = (np.hypot(side / _QUANTILE, _TOLERANCE).reshape(shape) for side in (middle - low, high - middle))
    paced = middle.reshape(shape) + np.log(_SLOWNESS)
    return _Spread(paced + np.zeros(len(used)), below, above)


def _first_token_spread(levels: Sequence[Level], used: Timings) -> _Spread:
    """Seconds to first token, with the round trip and its jitter."""
    expected = np.array([one.first_token_seconds(used.prompt_tokens) for one in levels])
    low, middle, high = _filled(expected, [one.first_tokens for one in levels]).swapaxes(0, 1)
    sides = (middle - low, high - middle)
    middle = middle * _SLOWNESS
    jitter = np.hypot(_JITTER_SECONDS, _JITTER * _DELAYS)
    own = [np.hypot(side / _QUANTILE, _TOLERANCE * middle) for side in sides]
    below, above = (np.hypot(side, jitter) for side in own)
    return _Spread(middle + _DELAYS, below, above)


def _filled(levels: Floats, samples: Sequence[int]) -> Floats:
    """Levels (first axis), those between known ones in equal parts from one to the other, all others NaN."""
    known = np.flatnonzero(np.array(samples) >= LEAST_SAMPLES).tolist()
    filled = np.full_like(levels, math.nan)
    filled[known] = levels[known]
    for left, right in itertools.pairwise(known):
        for level in range(left + 1, right):
            part = (level - left) / (right - left)
            filled[level] = (1.0 - part) * levels[left] + part * levels[right]
    return filled


def _humps(levels: int) -> tuple[Floats, Floats]:
    """Loads that may have been: weights of levels, one row a hump; and the logarithm of the prior, by way and hump.

    A busier server is the less likely the busier it is: by a third for each doubling.
    """
    place = np.arange(levels)
    centres = np.arange(0.0, levels - 0.5, 0.5)
    rows = [np.exp(-0.5 * ((place - centre) / width) ** 2) for width in _WIDTHS for centre in centres]
    prior = np.tile(1.5**-centres, len(_WIDTHS))
    joint = np.tile(prior / prior.sum() / _DELAYS.size, _DELAYS.size)
    return np.array([row / row.sum() for row in rows]), np.log(joint)


def _halves(count: int) -> Floats:
    """Halves of the timings, one column each: weight 1 for what is in it. Balanced over stretches of neighbours."""
    stretches = min(_BLOCKS, count)
    signs = np.ones((1, 1))
    while len(signs) <= stretches:
        signs = np.block([[signs, signs], [signs, -signs]])
    chosen = signs[1 : stretches + 1, 1:] > 0.0
    stretch = np.arange(count) * stretches // count
    return np.concatenate([chosen, ~chosen], axis=1)[stretch].astype(np.float64)


def _posterior(evidence: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Of each candidate (row): its mean share over the parts (columns, of so many timings); of how many it leads."""
    shares = np.exp(evidence - evidence.max(axis=0))
    doubt = 1.0 / (sizes + 2.0)
    shares = (1.0 - doubt) * shares / shares.sum(axis=0) + doubt / len(evidence)
    leads = np.bincount(np.argmax(evidence, axis=0), minlength=len(evidence)) / evidence.shape[1]
    return shares.mean(axis=1), leads


def _chance_of_so_few(inside: int, count: int) -> float:
    """The probability of at most so many inside, if each is with probability `INSIDE`."""
    return sum(math.comb(count, k) * INSIDE**k * (1.0 - INSIDE) ** (count - k) for k in range(inside + 1))


def _thinned(timings: Timings) -> Timings:
    if len(timings) <= MOST_TIMINGS:
        return timings
    return timings.rows(np.linspace(0, len(timings) - 1, MOST_TIMINGS).astype(np.intp))


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan


def _range(values: Floats) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (math.nan, math.nan)
