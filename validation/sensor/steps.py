"""When a sensor's value changed, and what that tells of how often it is renewed. Pure.

Theory of operation. A value is seen to change between two looks; the change is put in the middle of them. Between two
changes lie one or several periods of the sensor, for a renewed value may be the same as before. The shortest of the
frequent gaps is about one period; with that, each gap is counted in whole periods, and the period is their mean.
"""

import math
from dataclasses import dataclass

import numpy as np

from validation.sensor.polling import Floats, Samples

FEWEST_GAPS = 8
"""From fewer nothing is told."""

_ALWAYS = 0.5
"""Where more than this share of all looks see something new, the sensor may be renewed faster than it is looked at."""

_SHORT_GAP_QUANTILE = 0.2
_NO_GAP = 0.3
"""A gap of less than this share of a period is a value that came in two pieces."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Every change: when, to what, and by how much."""

    at: Floats
    value: Floats
    increment: Floats


@dataclass(frozen=True, slots=True)
class Stepping:
    """How a value moves.

    Attributes:
        period_seconds: between two renewals; None where it is not known, and `why` says so.
        low_seconds, high_seconds: 5th and 95th percentile of the gaps between changes.
        gaps: so many were seen.
        increment: median change, in the sensor's unit; `low_increment`, `high_increment`: 5th and 95th percentile.
        resolution: what all changes are multiples of, in the sensor's unit; None without changes.
        look_seconds: how often it was looked at.
    """

    period_seconds: float | None
    low_seconds: float | None
    high_seconds: float | None
    gaps: int
    increment: float | None
    low_increment: float | None
    high_increment: float | None
    resolution: float | None
    look_seconds: float
    why: str = ""


def changes(samples: Samples) -> Changes:
    """Where the value was not what it was at the look before."""
    steps = np.flatnonzero(np.diff(samples.value)) + 1
    return Changes(
        at=(samples.at[steps] + samples.at[steps - 1]) / 2,
        value=samples.value[steps],
        increment=samples.value[steps] - samples.value[steps - 1],
    )


def stepping(samples: Samples) -> Stepping:
    """How often the value is renewed, and in what steps."""
    seen = changes(samples)
    gaps = np.diff(seen.at)
    look = float(np.median(np.diff(samples.at))) if samples.at.size > 1 else math.nan
    why = _no_period(samples, gaps, look)
    period = None if why else _period(gaps)
    low, high = _percentiles(gaps)
    least, most = _percentiles(seen.increment)
    return Stepping(
        period_seconds=period,
        low_seconds=low,
        high_seconds=high,
        gaps=int(gaps.size),
        increment=float(np.median(seen.increment)) if seen.increment.size else None,
        low_increment=least,
        high_increment=most,
        resolution=_divisor(seen.increment),
        look_seconds=look,
        why=why,
    )


def renewals(samples: Samples, period_seconds: float | None) -> tuple[Floats, Floats]:
    """When the sensor was renewed and what it said then: its changes, and renewals that changed nothing between them.

    Args:
        samples: of the sensor.
        period_seconds: of its renewals; None: every look is taken for one.
    """
    if period_seconds is None:
        return samples.at, samples.value
    seen = changes(samples)
    if seen.at.size < 2:
        return seen.at, seen.value
    gaps = np.diff(seen.at)
    counts = np.maximum(np.round(gaps / period_seconds), 1).astype(int)
    place = np.concatenate([np.arange(count) / count for count in counts])
    at = np.repeat(seen.at[:-1], counts) + place * np.repeat(gaps, counts)
    return np.append(at, seen.at[-1]), np.append(np.repeat(seen.value[:-1], counts), seen.value[-1])


def _no_period(samples: Samples, gaps: Floats, look: float) -> str:
    if gaps.size < FEWEST_GAPS:
        return f"its value changed too seldom: {gaps.size} gaps between changes"
    if (gaps.size + 1) / samples.at.size > _ALWAYS:
        return f"new at nearly every look: renewed every {1e3 * look:.2g} ms or faster"
    return ""


def _period(gaps: Floats) -> float | None:
    """Mean of the gaps, each divided by the whole number of periods that it holds."""
    guess = float(np.quantile(gaps, _SHORT_GAP_QUANTILE))
    for _ in range(3):
        whole = gaps[gaps > _NO_GAP * guess]
        guess = float(whole.sum() / np.maximum(np.round(whole / guess), 1).sum())
    return guess


def _percentiles(values: Floats) -> tuple[float | None, float | None]:
    if not values.size:
        return None, None
    low, high = np.percentile(values, (5, 95))
    return float(low), float(high)


def _divisor(increments: Floats) -> float | None:
    whole = {abs(round(each)) for each in increments}
    return float(math.gcd(*whole)) if whole else None
