"""Whether a snapshot is whole and sound: another version may have left it, or half of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def numbers(rows: Any, width: int) -> Floats:
    """A table of JSON numbers of this width; ValueError where it is none."""
    table = np.array(rows) if rows else np.zeros((0, width))
    if table.dtype.kind not in "fi" or table.ndim != 2 or table.shape[1] != width or not np.isfinite(table).all():
        raise ValueError("no table of finite numbers of the width that is wanted")
    return table.astype(np.float64)


def moments(rows: Any, size: int) -> Floats:
    """A matrix that a sum of w x x' can be; ValueError where it is none."""
    matrix = numbers(rows, size)
    reach = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    if matrix.shape != (size, size) or not (np.abs(matrix) <= np.outer(reach, reach) * (1.0 + 1e-6)).all():
        raise ValueError("no moments")
    return matrix


def check_fit(snapshot: Any, terms: Sequence[str]) -> None:
    """ValueError where a snapshot of normal equations is not of these terms, whole and sound."""
    size = len(terms)
    yy, y, weight = numbers([snapshot["sums"]], 3)[0].tolist()
    squares, products = numbers(snapshot["xx"], size), numbers([snapshot["xy"]], size)
    moments(np.block([[squares, products.T], [products, yy]]).tolist(), size + 1)
    begun = isinstance(snapshot["windows"], int) and (snapshot["windows"] == 0 or weight > 0.0)
    if snapshot["terms"] != list(terms) or not begun or y * y > yy * weight * (1.0 + 1e-6):
        raise ValueError("sums that do not go together")
