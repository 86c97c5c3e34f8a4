"""Least squares with coefficients that cannot be negative, learned a row at a time, old rows forgotten.

Only the normal equations are kept, a few numbers however long it runs. With five terms there are thirty-one subsets
that can be non-zero; the best feasible one is the exact solution, so all are tried where the whole is not feasible.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_TINY = 1e-300


class NonNegativeFit:
    """Non-negative least squares of y on named terms."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = tuple(terms)
        size = len(self._terms)
        self._xx = np.zeros((size, size))
        self._xy = np.zeros(size)
        self._yy = 0.0
        self._y = 0.0
        self._weight = 0.0
        self.windows = 0
        self._solution: Floats | None = None

    def add(self, row: Sequence[float] | Floats, y: float, keep: float = 1.0, weight: float = 1.0) -> None:
        """Take in one row of this weight; everything before it keeps the fraction `keep` of its own."""
        x = np.asarray(row, dtype=np.float64)
        self._xx = keep * self._xx + weight * np.outer(x, x)
        self._xy = keep * self._xy + weight * x * y
        self._yy = keep * self._yy + weight * y * y
        self._y = keep * self._y + weight * y
        self._weight = keep * self._weight + weight
        self.windows += 1
        self._solution = None

    @property
    def coefficients(self) -> dict[str, float]:
        """The solution by term; empty before the first row."""
        if not self.windows:
            return {}
        return dict(zip(self._terms, self.solution.tolist(), strict=True))

    @property
    def error(self) -> float:
        """Root mean square residual over the mean of y; infinite before anything was seen."""
        if self._y <= 0.0:
            return float("inf")
        residual = self._residual(self.solution) / self._weight
        return float(np.sqrt(max(residual, 0.0)) / (self._y / self._weight))

    @property
    def solution(self) -> Floats:
        """The coefficients, of shape (terms,)."""
        if self._solution is None:
            self._solution = min(self._candidates(), key=self._residual)
        return self._solution

    @property
    def squares(self) -> Floats:
        """The normal equations' matrix sum w x x', of shape (terms, terms)."""
        return self._xx

    @property
    def typical_row(self) -> Floats:
        """Root mean square of each column, of shape (terms,)."""
        return np.sqrt(np.diag(self._xx) / max(self._weight, _TINY))

    @property
    def typical_y(self) -> float:
        """Root mean square of y."""
        return float(np.sqrt(self._yy / max(self._weight, _TINY)))

    def _residual(self, solution: Floats) -> float:
        return float(self._yy - 2.0 * solution @ self._xy + solution @ self._xx @ solution)

    def _candidates(self) -> Iterator[Floats]:
        """What can be the solution: that of all terms if it is feasible, since none is better; else of every subset."""
        size = len(self._terms)
        scale = np.sqrt(np.maximum(np.diag(self._xx), 1e-300))
        xx, xy = self._xx / np.outer(scale, scale), self._xy / scale
        whole = _among(xx, xy, list(range(size)))
        if whole is not None:
            yield whole / scale
            return
        yield np.zeros(size)
        for count in range(1, size):
            for chosen in combinations(range(size), count):
                part = _among(xx, xy, list(chosen))
                if part is not None:
                    yield part / scale

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {
            "terms": list(self._terms),
            "xx": self._xx.tolist(),
            "xy": self._xy.tolist(),
            "sums": [self._yy, self._y, self._weight],
            "windows": self.windows,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot of the same terms; one of other terms is as good as none."""
        if snapshot["terms"] != list(self._terms):
            return
        self._xx, self._xy = np.array(snapshot["xx"]), np.array(snapshot["xy"])
        self._yy, self._y, self._weight = snapshot["sums"]
        self.windows = snapshot["windows"]
        self._solution = None


def _among(xx: Floats, xy: Floats, chosen: list[int]) -> Floats | None:
    """Least squares over these terms, scaled to be comparable; None where one comes out negative."""
    values, *_ = np.linalg.lstsq(xx[np.ix_(chosen, chosen)], xy[chosen], rcond=1e-9)
    if (values < 0.0).any():
        return None
    full = np.zeros(len(xy))
    full[chosen] = values
    return full
