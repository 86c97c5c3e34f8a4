"""What normal equations can tell: predictions, how far each is to be trusted, and what lies outside all they saw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.regression.nonnegative import NonNegativeFit

Floats = NDArray[np.float64]

LEAST_SCALE = 1e-60
"""Stands for the size of a column of nothing but zeros, so that whatever appears in it is far outside."""
_SAME_DIRECTION = 3e-4
"""A direction in which the squares are this much smaller than in the largest was not seen: columns that differ by less
than two percent differ by what was misjudged of when things happened, and coefficients told apart by that are noise."""
_ASIDE = 1e-2
"""A row has left what was seen when this much of it, or more, lies in directions that were not."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a fit can tell.

    Attributes:
        values: the coefficients.
        scale: size of each column; what follows is of columns divided by it.
        covariance: of the coefficients, in the directions that were seen, for noise of 1.
        blind: projector on directions that were never seen.
    """

    values: Floats
    scale: Floats
    covariance: Floats
    blind: Floats

    @classmethod
    def of(cls, fit: NonNegativeFit, spread: Floats) -> "Known":
        """What these normal equations tell, whose solution scatters by `spread` (see robust.py)."""
        scale = np.sqrt(np.maximum(np.diag(fit.squares), LEAST_SCALE**2))
        areas = np.outer(scale, scale)
        sizes, directions = np.linalg.eigh(fit.squares / areas)
        seen = sizes > _SAME_DIRECTION * max(float(sizes[-1]), 0.0)
        inverse = (directions[:, seen] / sizes[seen]) @ directions[:, seen].T
        blind = directions[:, ~seen] @ directions[:, ~seen].T
        return cls(fit.solution, scale, inverse @ (spread / areas) @ inverse, blind)

    def predict(self, rows: Floats) -> Floats:
        """Of shape (rows,). Added up row by row, so that a row's company makes no difference to its last digit."""
        total: Floats = (rows * self.values).sum(axis=1)
        return total

    def deviations(self, rows: Floats) -> Floats:
        """Standard errors of the predictions for noise of 1; infinite where a row leaves what was seen."""
        scaled = rows / self.scale
        aside = np.linalg.norm(scaled @ self.blind, axis=1) > _ASIDE * np.linalg.norm(scaled, axis=1)
        variance = ((scaled @ self.covariance) * scaled).sum(axis=1)
        return np.where(aside, np.inf, np.sqrt(np.maximum(variance, 0.0)))
