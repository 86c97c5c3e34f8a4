"""Arithmetic of intervals over slices: what flows into each slice, and what an interval reads off them."""

import numpy as np
from numpy.typing import NDArray

from exporter.ledger.claims import Claims, Floats

Cumulated = NDArray[np.longdouble]


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


def spread(start: Floats, end: Floats, amount_per_slice: Floats, width: int) -> Floats:
    """What falls into each of `width` slices when an amount flows evenly during each [start, end), in columns."""
    into, out_of = start.astype(np.intp), end.astype(np.intp)
    whole = _fall(into, amount_per_slice, width) - _fall(out_of, amount_per_slice, width)
    late = _fall(out_of, amount_per_slice * (end - out_of), width)
    early = _fall(into, amount_per_slice * (start - into), width)
    total: Floats = (np.cumsum(whole) + late - early)[:width]
    return total


def _fall(columns: NDArray[np.intp], amounts: Floats, width: int) -> Floats:
    """Sum of the amounts that fall into each column."""
    return np.bincount(columns, amounts, width + 1).astype(np.float64, copy=False)


def cumulate(per_slice: Floats) -> Cumulated:
    """Cumulated sum with a leading zero, along the last axis.

    In the machine's longest floats: what is read off such a sum are differences, and behind a slice of huge values the
    last digits of a double would be gone from them.
    """
    total = np.zeros((*per_slice.shape[:-1], per_slice.shape[-1] + 1), dtype=np.longdouble)
    np.cumsum(per_slice, axis=-1, dtype=np.longdouble, out=total[..., 1:])
    return total


def read(cumulated: Cumulated, columns: Floats) -> Cumulated:
    """A cumulated sum at fractional columns, linear inside a slice. Shape (devices, requests)."""
    x = np.clip(columns, 0.0, cumulated.shape[-1] - 1)
    whole = np.minimum(x.astype(np.intp), cumulated.shape[-1] - 2)
    below = cumulated[..., whole]
    value: Cumulated = below + (cumulated[..., whole + 1] - below) * (x - whole)
    return value
