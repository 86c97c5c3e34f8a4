"""A smooth curve through few noisy trials, under a load that drifts. Pure.

Theory of operation. What is measured at a setting (joules per token, or a latency) is, in logarithms,

    y = constant + g(setting) + drift(time) + noise

with g smooth, drift a random walk, and noise that is part known (how far the parts of a trial disagree) and part not.
With Gaussian priors that is a Gaussian process: after a handful of trials it gives the curve, and how sure each
difference between two settings is. That the default is measured again and again is what tells drift from g.

How smooth, how steep, how drifting and how noisy it is nobody knows beforehand; every combination of a small grid is
tried and weighted by how well it explains the trials, so that the intervals own up to that, too.
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapters 2 and 5.)
"""

from dataclasses import dataclass
from itertools import product
from math import erf, exp, pi, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]

_CONSTANT_VARIANCE = 4.0
"""Of the constant, around the mean of the trials: wide."""

Z95 = 1.96


class _Guesses(NamedTuple):
    """How things may be: all combinations, each a column of shape (guesses, 1, 1).

    Attributes:
        length: over which g changes, of the whole range. height: of g.
        walk: drift, as a standard deviation after one trial's time. noise: of a trial, beyond what is known of it.
    """

    length: Vector
    height: Vector
    walk: Vector
    noise: Vector


_LENGTHS, _HEIGHTS = (0.15, 0.35, 0.8), (0.03, 0.1, 0.3, 1.0)
_WALKS, _NOISES = (0.0, 0.01, 0.04), (0.002, 0.006, 0.02, 0.06)
_GUESSES = _Guesses(*np.array(list(product(_LENGTHS, _HEIGHTS, _WALKS, _NOISES))).T[:, :, None, None])


@dataclass(frozen=True, slots=True)
class Sightings:
    """What was measured.

    Attributes:
        x: where, each from 0 to 1. t: when, in units of one trial. y: what, as a logarithm.
        error: known standard errors of y; 0 where unknown.
    """

    x: Vector
    t: Vector
    y: Vector
    error: Vector


@dataclass(frozen=True, slots=True)
class Change:
    """A difference of two logarithms, as a normal distribution."""

    mean: float
    deviation: float

    def below(self, limit: float) -> float:
        """The probability that it is at most `limit`."""
        return normal_below((limit - self.mean) / max(self.deviation, 1e-12))

    def interval(self) -> tuple[float, float]:
        """Within which it lies with a probability of 95 %."""
        return self.mean - Z95 * self.deviation, self.mean + Z95 * self.deviation


@dataclass(frozen=True, slots=True)
class Curve:
    """The curve now: logarithms at the settings that were asked for, and their covariance."""

    mean: Vector
    covariance: Vector

    def change(self, of: int, against: int) -> Change:
        """How much higher it is at one setting than at another."""
        c = self.covariance
        variance = c[of, of] + c[against, against] - 2.0 * c[of, against]
        return Change(float(self.mean[of] - self.mean[against]), sqrt(max(float(variance), 0.0)))

    def level(self, of: int) -> Change:
        """How high it is, against a logarithm of 0."""
        return Change(float(self.mean[of]), sqrt(max(float(self.covariance[of, of]), 0.0)))


def fit(seen: Sightings, x: Vector) -> Curve:
    """The curve at places `x`, as things stand at the time of the latest sighting.

    Args:
        seen: at least one sighting.
        x: places from 0 to 1.
    """
    middle, now = float(np.mean(seen.y)), np.full(len(x), seen.t.max())
    known = _kernel(seen.x, seen.t, seen.x, seen.t) + np.eye(len(seen.y)) * (seen.error**2 + _GUESSES.noise**2)
    lower = np.linalg.cholesky(known)
    half = np.linalg.solve(lower, np.broadcast_to((seen.y - middle)[:, None], (len(lower), len(seen.y), 1)))
    reach = np.linalg.solve(lower, _kernel(seen.x, seen.t, x, now))
    across = np.swapaxes(reach, 1, 2)
    weights = _weights(lower, half)
    means = middle + (across @ half)[:, :, 0]
    mean = weights @ means
    off = means - mean
    covariances = _kernel(x, now, x, now) - across @ reach + off[:, :, None] * off[:, None, :]
    return Curve(mean, np.tensordot(weights, covariances, axes=1))


def _weights(lower: Vector, half: Vector) -> Vector:
    """How well each guess explains what was seen; the sum is one."""
    spread = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    evidence = -0.5 * (half**2).sum(axis=(1, 2)) - spread
    likelihoods = np.exp(evidence - evidence.max())
    weights: Vector = likelihoods / likelihoods.sum()
    return weights


def _kernel(x: Vector, t: Vector, other_x: Vector, other_t: Vector) -> Vector:
    """A constant, a Matern 5/2 in x (smooth, but kinks are thinkable) and a random walk in t; one matrix a guess."""
    r = sqrt(5.0) * np.abs(x[:, None] - other_x[None, :]) / _GUESSES.length
    smooth = _GUESSES.height**2 * (1.0 + r + r**2 / 3.0) * np.exp(-r)
    walk = _GUESSES.walk**2 * np.minimum(t[:, None], other_t[None, :])
    total: Vector = _CONSTANT_VARIANCE + smooth + walk
    return total


def normal_below(z: float) -> float:
    """The normal distribution function."""
    return 0.5 * (1.0 + erf(z / sqrt(2.0)))


def expected_gain(change: Change) -> float:
    """By how much something is expected to be lower than another, where it is lower."""
    if change.deviation < 1e-12:
        return max(-change.mean, 0.0)
    z = -change.mean / change.deviation
    return -change.mean * normal_below(z) + change.deviation * exp(-0.5 * z * z) / sqrt(2.0 * pi)
