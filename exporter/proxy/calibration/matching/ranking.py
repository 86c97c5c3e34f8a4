"""All calibrations at hand by how well they fit, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from exporter.proxy.calibration.matching.expected import Level
from exporter.proxy.calibration.matching.fitting import (
    Against,
    Goodness,
    goodness,
    log_evidence_of_anything,
    weight_of,
)
from exporter.proxy.calibration.matching.timings import Timings, median_known, span
from exporter.proxy.calibration.matching.trial import Trial
from exporter.proxy.proxy import Floats

Verdict = Literal["match", "unclear", "none"]
"""One fits, for certain; one or more fit, but it is not certain which, or whether any other would; none fits."""

CONFIDENT = 0.9
"""Posterior that the named ones hold together."""
MOST_TIMINGS = 400

_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class Fit:
    """How well one calibration fits.

    Attributes:
        confidence: mean posterior over balanced halves of the timings, among the calibrations at hand.
        stability: part of those halves by which it is the best.
        shortfall: by how much its logarithm of evidence falls short of the best one's.
        log_odds: how much likelier than anything it makes the timings, as a logarithm, 25 of them counted at most.
        inside: part of the timings in the middle nine tenths of what it expects.
        against: what speaks against it; None where it fits.
        concurrency: the number of requests at once at which it fits best. network_seconds: likewise the round trip.
    """

    name: str
    confidence: float
    stability: float
    shortfall: float
    log_odds: float
    inside: float
    against: Against | None
    concurrency: float
    network_seconds: float

    @property
    def fits(self) -> bool:
        """Whether it may be this one."""
        return self.against is None

    @property
    def certain(self) -> bool:
        """Whether it is likelier than all others here together, by far, and no less likely than anything else."""
        return self.fits and self.confidence >= CONFIDENT and self.log_odds >= 0.0


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
    used = timings.thinned(MOST_TIMINGS)
    halves, anything = _halves(len(used)), log_evidence_of_anything(used)
    found = [_held_against(levels, used, halves, anything) for levels in candidates.values()]
    evidence = np.array([one for one, _ in found])
    posterior, leads = _posterior(evidence[:, :-1], halves.sum(axis=0))
    shortfall = evidence[:, -1].max() - evidence[:, -1]
    fits = [
        _fit(name, float(posterior[row]), float(leads[row]), float(shortfall[row]), found[row][1])
        for row, name in enumerate(candidates)
    ]
    return _ranking(sorted(fits, key=lambda one: (-one.confidence, one.shortfall, one.name)), used)


def _held_against(levels: Sequence[Level], used: Timings, halves: Floats, anything: float) -> tuple[Floats, Goodness]:
    """The evidence that each half of the timings is, and then all of them; and how all of them fit at best."""
    trial, every = Trial.of(levels, used), np.ones((len(used), 1))
    likelihood = trial.log_likelihood()
    evidence = trial.evidence(likelihood, np.concatenate([halves, every, weight_of(len(used)) * every], axis=1))
    return evidence[:-1], goodness(trial, likelihood, float(evidence[-1]) - anything)


def _fit(name: str, confidence: float, stability: float, shortfall: float, good: Goodness) -> Fit:
    return Fit(
        name,
        confidence,
        stability,
        shortfall,
        log_odds=good.log_odds,
        inside=good.inside,
        against=good.against,
        concurrency=good.concurrency,
        network_seconds=good.network_seconds,
    )


def _ranking(fits: list[Fit], used: Timings) -> Ranking:
    among = _smallest(fits)
    first = used.time_to_first_token_seconds[np.isfinite(used.prompt_tokens)]
    return Ranking(
        verdict=_verdict(fits, among),
        fits=tuple(fits),
        among=among,
        timings=len(used),
        tokens=int(np.count_nonzero(np.isfinite(used.seconds_per_output_token))),
        first_tokens=int(np.count_nonzero(np.isfinite(first))),
        tokens_per_second=1.0 / median_known(used.seconds_per_output_token),
        first_token_seconds=median_known(used.time_to_first_token_seconds),
        prompt_tokens=span(used.prompt_tokens),
    )


def _verdict(fits: list[Fit], among: tuple[str, ...]) -> Verdict:
    """One calibration alone is never certain: there is nothing that it is likelier than."""
    if not among:
        return "none"
    return "match" if len(fits) > 1 and fits[0].certain else "unclear"


def _smallest(fits: list[Fit]) -> tuple[str, ...]:
    """The fewest that hold enough of the posterior together, of those the ones that fit."""
    held, among = 0.0, []
    for one in fits:
        if held < CONFIDENT:
            among.append(one)
        held += one.confidence
    return tuple(one.name for one in among if one.fits)


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
