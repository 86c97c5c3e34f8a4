"""Arithmetic of intervals over slices: what flows into each slice, and what an interval reads off them.

Theory of operation. Both are sums over runs of whole slices, read off cumulated sums, so that their cost hardly grows
with the length of the runs. A difference of two cumulated sums keeps only the digits that the largest value before it
has left over; a slice in which somebody was for a microsecond has prices a million times those of its neighbours. So
values of very different size are cumulated apart, one *layer* for each span of magnitudes, and what is cut from slices
at both ends of a run is added, never subtracted: results are exact to rounding, whatever lies before them. Nearly
always there is one layer.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from exporter.ledger.claims import Claims, Floats

Layer = NDArray[np.bool_] | None
"""Which values belong to it; None: all."""

_SPAN_BITS = 16
"""Values of one layer are within this power of two of each other."""


def rates(claims: Claims) -> tuple[Floats, Floats, Floats]:
    """Tokens a second: of prefill in the first phase, of prefill in the second where the first is empty, of decode."""
    early, later = claims.first_token - claims.start, claims.end - claims.first_token
    split = early > 0.0
    early_prefill = divide(np.where(split, claims.prefill_tokens, 0.0), early)
    late_prefill = divide(np.where(split, 0.0, claims.prefill_tokens), later)
    return early_prefill, late_prefill, divide(claims.decode_tokens, later)


def divide(above: Floats, below: Floats) -> Floats:
    """The quotient, and 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below > 0.0)


class Runs:
    """Intervals [start, end), in columns: the slice in which each begins, the one in which it ends, and those between.

    Attributes:
        first, last: columns. in_first, in_last: the part of those slices that is inside.
        chosen: those that have slices between, which are [begin, stop).
    """

    __slots__ = ("begin", "chosen", "first", "in_first", "in_last", "last", "stop")

    def __init__(self, start: Floats, end: Floats) -> None:
        self.first, self.last = start.astype(np.intp), end.astype(np.intp)
        self.in_first = np.minimum(self.first + 1, end) - start
        self.in_last = np.where(self.last > self.first, end - self.last, 0.0)
        self.begin, self.stop = np.minimum(self.first + 1, self.last), self.last
        self.chosen = self.stop > self.begin


def spread(runs: Runs, amount_per_slice: Floats, width: int) -> Floats:
    """What falls into each of `width` slices when an amount flows evenly during each interval."""
    total = _fall(runs.first, amount_per_slice * runs.in_first, width)
    total += _fall(runs.last, amount_per_slice * runs.in_last, width)
    flows = amount_per_slice[runs.chosen]
    for number in _layers(flows):
        total += _between(runs, flows, number, width)
    return total[:width]


def integrals(per_slice: Floats, runs: Runs) -> Floats:
    """Sums of values over each interval, of shape (..., intervals).

    Args:
        per_slice: values that are not negative, of shape (..., slices).
        runs: intervals inside these slices.
    """
    top = per_slice.shape[-1] - 1
    if top < 0:
        return np.zeros((*per_slice.shape[:-1], len(runs.first)))
    total: Floats = per_slice[..., np.minimum(runs.first, top)] * runs.in_first
    total += per_slice[..., np.minimum(runs.last, top)] * runs.in_last
    for layer in _layers(per_slice):
        cumulated = np.zeros((*per_slice.shape[:-1], per_slice.shape[-1] + 1))
        np.cumsum(_of_layer(per_slice, layer), axis=-1, out=cumulated[..., 1:])
        total += cumulated[..., runs.stop] - cumulated[..., runs.begin]
    return total


def _between(runs: Runs, flows: Floats, layer: Layer, width: int) -> Floats:
    """What flows into the slices between the first and the last; exactly nothing where nobody is."""
    flows = _of_layer(flows, layer)
    begin, stop = runs.begin[runs.chosen], runs.stop[runs.chosen]
    there = np.cumsum(np.bincount(begin, flows > 0.0, width + 1) - np.bincount(stop, flows > 0.0, width + 1))
    flow = np.cumsum(_fall(begin, flows, width) - _fall(stop, flows, width))
    return np.where(there > 0.0, np.maximum(flow, 0.0), 0.0)


def _fall(columns: NDArray[np.intp], amounts: Floats, width: int) -> Floats:
    """Sum of the amounts that fall into each column."""
    return np.bincount(columns, amounts, width + 1).astype(np.float64, copy=False)


def _layers(values: Floats) -> Iterator[Layer]:
    """Which layers there are of these values; each row of the last axis has layers of its own."""
    there = values[values > 0.0]
    if not there.size:
        return
    if there.max() <= there.min() * 2.0**_SPAN_BITS:  # nearly always: alike, whatever row they are of
        yield None
        return
    most = values.max(axis=-1, keepdims=True)
    least = np.min(values, axis=-1, keepdims=True, initial=np.inf, where=values > 0.0)
    if (most <= least * 2.0**_SPAN_BITS).all():
        yield None
        return
    number = (np.frexp(most)[1] - np.frexp(values)[1]) // _SPAN_BITS
    for one in sorted(set(number[values > 0.0].tolist())):
        yield (number == one) & (values > 0.0)


def _of_layer(values: Floats, layer: Layer) -> Floats:
    """The values of this layer, and zeros for the others."""
    return values if layer is None else np.where(layer, values, 0.0)
