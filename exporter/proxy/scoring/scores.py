"""Scores: how well predictions stood in for energy.

All-time scores come from a few running sums about running means, merged batch by batch as Chan, Golub and LeVeque do
(Technical Report STAN-CS-79-773, 1979): nothing cancels, however large the numbers and however many, and how the
samples came in batches makes no difference beyond rounding. Rank correlation has no such sums; its all-time value is
that of samples thinned evenly out of the whole history. Recent scores come from the latest samples by the same code.

R2 is that of the prediction, 1 - (sum of squared errors) / (sum of squares about the mean), not a squared correlation:
a proxy that ranks requests perfectly and is three times too high has a good correlation and a bad R2.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from exporter.domain.snapshot import HistogramValue, ScoreName
from exporter.proxy.proxy import Floats
from exporter.proxy.scoring.packed import counts, numbers, realigned
from exporter.proxy.scoring.samples import Latest, Thinned

RATIO_BOUNDS = (0.1, 0.2, 0.5, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 2.0, 5.0, 10.0)
"""Buckets of predicted over actual: within 5, 10, 20 %, within twice, five, ten times? No more, as each is a series."""
LEAST_SAMPLES = 3
"""With fewer, every score is left out: two points always lie on a line."""
_LEAST_VARIATION = 1e-12
"""Numbers that vary by less than this part of their mean vary by rounding."""
_MOMENTS = 8


class Scores:
    """How several proxies did on one ground. Results are lists, one entry a proxy."""

    def __init__(self, proxies: int) -> None:
        self._proxies = proxies
        self._latest = Latest(proxies)
        self._thinned = Thinned(proxies)
        self._moments: Floats = np.zeros((_MOMENTS, proxies))
        self._counts = np.zeros((proxies, len(RATIO_BOUNDS) + 1), dtype=np.int64)
        self._ratios: Floats = np.zeros(proxies)

    def add(self, actual: Floats, predicted: Floats) -> None:
        """Hold predictions against energy.

        Args:
            actual: joules above 0, of shape (samples,).
            predicted: joules, of shape (proxies, samples); NaN where a proxy said nothing.
        """
        samples = np.concatenate((actual[None, :], predicted))
        self._latest.add(samples)
        self._thinned.add(samples)
        self._moments = _merged(self._moments, moments(actual, predicted))
        proxy, sample = np.nonzero(~np.isnan(predicted))
        ratios = predicted[proxy, sample] / actual[sample]
        np.add.at(self._counts, (proxy, np.searchsorted(RATIO_BOUNDS, ratios, side="left")), 1)
        np.add.at(self._ratios, proxy, ratios)

    @property
    def samples(self) -> list[int]:
        """Predictions held against energy so far."""
        count: list[int] = self._counts.sum(axis=1).tolist()
        return count

    def recent(self) -> list[Mapping[ScoreName, float]]:
        """Scores over the latest samples."""
        table = self._latest.table
        return _scores(moments(table[0], table[1:]), table)

    def lifetime(self) -> list[Mapping[ScoreName, float]]:
        """Scores over all samples; the rank correlation over a few of all."""
        return _scores(self._moments, self._thinned.table)

    def error_ratios(self) -> list[HistogramValue]:
        """Predicted over actual."""
        nobody = (None,) * (len(RATIO_BOUNDS) + 1)
        totals = zip(self._counts.tolist(), self._ratios.tolist(), strict=True)
        return [HistogramValue(RATIO_BOUNDS, tuple(buckets), total, nobody) for buckets, total in totals]

    def books(self) -> dict[str, Any]:
        """All-time sums, as JSON values."""
        return {
            "bounds": list(RATIO_BOUNDS),
            "counts": self._counts.tolist(),
            "ratios": self._ratios.tolist(),
            "moments": self._moments.tolist(),
        }

    def restore(self, books: Mapping[str, Any], rows: Sequence[int], saved: int) -> None:
        """Go on from the books of this many proxies; `rows` as in exporter/proxy/scoring/packed.py.

        Raises:
            ArithmeticError, LookupError, TypeError, ValueError: they do not fit; nothing has changed then.
        """
        if books["bounds"] != list(RATIO_BOUNDS):
            raise ValueError("counts cannot be re-sorted into other buckets")
        histogram = counts(books["counts"], saved, len(RATIO_BOUNDS) + 1)
        sums, ratios = numbers(books["moments"], _MOMENTS, saved), numbers(books["ratios"], saved)
        if (histogram.sum(axis=1) != sums[0]).any() or (sums[[1, 2, 3, 4, 6, 7]] < 0.0).any():
            raise ValueError("sums that cannot be of these samples")
        self._counts, self._ratios = realigned(histogram, rows, 0), realigned(ratios, rows, 0.0)
        self._moments = realigned(sums.T, rows, 0.0).T

    def kept(self) -> dict[str, Any]:
        """The samples that are kept, as JSON values."""
        return {"latest": self._latest.snapshot(), "thinned": self._thinned.snapshot()}

    def restore_kept(self, kept: Mapping[str, Any], rows: Sequence[int], saved: int) -> None:
        """Go on with kept samples of this many proxies.

        Raises:
            ArithmeticError, LookupError, TypeError, ValueError: they do not fit.
        """
        self._latest.restore(kept["latest"], rows, saved)
        self._thinned.restore(kept["thinned"], rows, saved)


def moments(actual: Floats, predicted: Floats) -> Floats:
    """What all scores but rank correlation come from, of shape (8, proxies).

    Count; means of actual and predicted; sums about these means of actual squared, predicted squared and their product;
    sums of squared error and of |error| / actual. Of each proxy's predictions that are not NaN.
    """
    said = ~np.isnan(predicted)
    count = said.sum(axis=1)
    share = (1.0 / np.maximum(count, 1))[:, None]
    x, y = np.where(said, actual, 0.0), np.where(said, predicted, 0.0)
    mean_x, mean_y = (x * share).sum(axis=1), (y * share).sum(axis=1)
    dx, dy = np.where(said, x - mean_x[:, None], 0.0), np.where(said, y - mean_y[:, None], 0.0)
    error = np.abs(y - x)
    sums = [(one * other).sum(axis=1) for one, other in ((dx, dx), (dy, dy), (dx, dy), (error, error))]
    return np.stack([count.astype(np.float64), mean_x, mean_y, *sums, (error / actual).sum(axis=1)])


def _merged(old: Floats, new: Floats) -> Floats:
    count = old[0] + new[0]
    part = new[0] / np.maximum(count, 1.0)
    apart = new[1:3] - old[1:3]
    both = old + new
    both[1:3] = old[1:3] + apart * part
    both[3:6] += np.stack([apart[0] ** 2, apart[1] ** 2, apart[0] * apart[1]]) * (old[0] * part)
    return both


def _scores(sums: Floats, table: Floats) -> list[Mapping[ScoreName, float]]:
    ranks = [rank_correlation(table[0], row) for row in table[1:]]
    return [_scores_of(column, rank) for column, rank in zip(sums.T, ranks, strict=True)]


def _scores_of(sums: Floats, rank: float | None) -> dict[ScoreName, float]:
    """Scores of one proxy; those that are not defined are left out."""
    count, mean, predicted_mean, xx, yy, xy, residual, relative = sums.tolist()
    if count < LEAST_SAMPLES:
        return {}
    found: dict[ScoreName, float] = {"mape": relative / count, "bias": (predicted_mean - mean) / mean}
    if _varies(count, mean, xx):
        found["r2"] = 1.0 - residual / xx
        if _varies(count, predicted_mean, yy):
            found["pearson"] = min(max(xy / (sqrt(xx) * sqrt(yy)), -1.0), 1.0)
    if rank is not None:
        found["spearman"] = rank
    return found


def _varies(count: float, mean: float, squares: float) -> bool:
    return squares > count * (_LEAST_VARIATION * mean) ** 2


def rank_correlation(actual: Floats, predicted: Floats) -> float | None:
    """Spearman's, of what was predicted; None where it is not defined."""
    said = ~np.isnan(predicted)
    x, y = _ranks(actual[said]), _ranks(predicted[said])
    scale = float(np.sqrt(x @ x) * np.sqrt(y @ y))
    if len(x) < LEAST_SAMPLES or scale == 0.0:
        return None
    return float(np.clip(x @ y / scale, -1.0, 1.0))


def _ranks(values: Floats) -> Floats:
    """Ranks about their mean; equal values share the mean of theirs."""
    ordered = np.sort(values)
    below, upto = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray(0.5 * (below + upto - len(values)), dtype=np.float64)
