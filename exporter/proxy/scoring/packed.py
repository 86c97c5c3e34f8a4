"""Arrays as text, for what is saved: base64 of little-endian numbers, a quarter of what they would be in decimals.

Rows belong to proxies, and the configured proxies may be others after a restart: `rows` says for each of today's which
row was its own then, -1 where it is new.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exporter.proxy.proxy import Floats

Width = Literal["<f2", "<f4"]

BEYOND = 1e60
"""No energy, nor its square, comes near this many joules. What is read back and does is garbled."""


def packed(table: Floats, width: Width) -> str:
    """The table at this precision; what is too large for it becomes infinite."""
    with np.errstate(over="ignore"):
        return b64encode(table.astype(width).tobytes()).decode("ascii")


def unpacked(text: str, width: Width, rows: int) -> Floats:
    """The table again, of shape (rows, columns).

    Raises:
        TypeError, ValueError: it is not what `packed` wrote, or has not so many rows.
    """
    table = np.frombuffer(b64decode(text, validate=True), dtype=width).astype(np.float64)
    return table.reshape(rows, len(table) // rows if rows else 0)


def realigned(table: NDArray[Any], rows: Sequence[int], new: float) -> NDArray[Any]:
    """Rows of a saved table in the order of today's proxies; those of new ones are filled with `new`.

    Raises:
        IndexError: the table has not so many rows.
    """
    blank = np.full((1, *table.shape[1:]), new, dtype=table.dtype)
    found: NDArray[Any] = np.concatenate((table, blank))[[row if row >= 0 else len(table) for row in rows]]
    return found


def numbers(saved: Any, *shape: int) -> Floats:
    """A saved list, nested or not, as numbers of this shape.

    Raises:
        TypeError, ValueError: it is something else, or holds numbers that no books can have come to.
    """
    table = np.array(saved, dtype=np.float64)
    if table.shape != shape or not (np.abs(table) < BEYOND).all():
        raise ValueError(f"expected numbers of shape {shape}")
    return table


def counts(saved: Any, *shape: int) -> NDArray[np.int64]:
    """The same of whole numbers, none below 0.

    Raises:
        TypeError, ValueError: it is something else.
    """
    table = numbers(saved, *shape)
    if not ((table >= 0.0) & (table < 2.0**53)).all():
        raise ValueError(f"expected counts of shape {shape}")
    return table.astype(np.int64)
