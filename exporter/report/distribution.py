"""Histograms added up, and quantiles read from them. Pure."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, cast

from exporter.domain.snapshot import HistogramValue


def merged(histograms: Sequence[HistogramValue]) -> HistogramValue | None:
    """All of them as one; None where there is none.

    Where their bounds differ, only those are kept at which every one of them knows how much lies below: the result is
    coarser and still exact.
    """
    if not histograms:
        return None
    if len({one.bounds for one in histograms}) == 1:
        counts = tuple(map(sum, zip(*(one.counts for one in histograms), strict=True)))
        return _made(histograms[0].bounds, counts, histograms)
    bounds = sorted({bound for one in histograms for bound in one.bounds})
    below = [_below(one, bounds) for one in histograms]
    kept = [(bound, sum(each)) for bound, *each in zip(bounds, *below, strict=True) if None not in each]
    cumulated = [0, *(count for _, count in kept), sum(sum(one.counts) for one in histograms)]
    counts = tuple(after - before for before, after in pairwise(cumulated))
    return _made(tuple(bound for bound, _ in kept), counts, histograms)


def _made(bounds: tuple[float, ...], counts: tuple[int, ...], parts: Sequence[HistogramValue]) -> HistogramValue:
    return HistogramValue(bounds, counts, math.fsum(one.sum for one in parts), cast("Any", (None,) * len(counts)))


def _below(one: HistogramValue, bounds: Sequence[float]) -> list[int | None]:
    """How much lies below each bound: known at its own bounds, and wherever it has an empty bucket."""
    cumulated = [0, *accumulate(one.counts)]
    found: list[int | None] = []
    for bound in bounds:
        index = bisect_left(one.bounds, bound)
        own = index < len(one.bounds) and one.bounds[index] == bound
        if own:
            found.append(cumulated[index + 1])
        else:
            found.append(cumulated[index] if one.counts[index] == 0 else None)
    return found


def quantile(one: HistogramValue | None, part: float) -> float | None:
    """The value below which this part (0 to 1) of all lies, as if a bucket's observations lay evenly in it.

    None where nothing was observed, or where it lies above the highest bound: nobody knows how far.
    """
    if one is None or not any(one.counts):
        return None
    cumulated = [0, *accumulate(one.counts)]
    rank = part * cumulated[-1]
    index = max(bisect_left(cumulated, rank, lo=1), 1) - 1
    while one.counts[index] == 0:
        index += 1
    if index == len(one.bounds):
        return None
    low = one.bounds[index - 1] if index else min(0.0, one.bounds[0])
    return low + (one.bounds[index] - low) * (rank - cumulated[index]) / one.counts[index]
