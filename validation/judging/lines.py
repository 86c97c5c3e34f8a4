"""Ordinary least squares of a few numbers, with standard errors and intervals that know how few they are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_NORMAL = 1.96
"""Of Student's distribution 95 % lie within so many standard errors, with 1, 2, ... degrees of freedom; of a normal."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came out.

    Attributes:
        values, errors: of each coefficient; errors are infinite with no degrees of freedom.
        freedom: samples less coefficients.
    """

    values: tuple[float, ...]
    errors: tuple[float, ...]
    freedom: int

    def half(self, index: int) -> float:
        """Half the length of the interval in which the coefficient lies with 95 %."""
        times = _STUDENT[self.freedom - 1] if 0 < self.freedom <= len(_STUDENT) else _NORMAL
        return times * self.errors[index] if self.freedom > 0 else np.inf

    def interval(self, index: int) -> tuple[float, float] | None:
        """That interval; None where there is none."""
        half = self.half(index)
        return (self.values[index] - half, self.values[index] + half) if np.isfinite(half) else None


def fitted(causes: Floats, effects: Floats) -> Fitted | None:
    """Least squares of effects (samples,) on causes (samples, coefficients).

    None where the causes cannot be told apart: too few samples, or the same proportions in all of them.
    """
    samples, coefficients = causes.shape
    scale = np.abs(causes).max(axis=0, initial=0.0)
    if samples < coefficients or not (scale > 0.0).all():
        return None
    scaled = causes / scale
    if np.linalg.cond(scaled) > 1e6:
        return None
    values, *_ = np.linalg.lstsq(scaled, effects, rcond=None)
    residual, freedom = effects - scaled @ values, samples - coefficients
    variance = float(residual @ residual) / freedom if freedom else np.inf
    errors = np.sqrt(variance * np.diag(np.linalg.inv(scaled.T @ scaled)))
    return Fitted(tuple((values / scale).tolist()), tuple((errors / scale).tolist()), freedom)
