"""Samples that are kept: the latest ones, and a few of all there ever were.

A sample is a column: the actual energy in row 0, what each proxy predicted below it, NaN where one said nothing.

The few of all are thinned systematically: every first, then every second, fourth, ... sample, the stride doubled
whenever there are too many. What is kept depends on nothing but the order of the samples, needs no randomness, and
covers the whole history evenly. It would mislead only where samples recur with a period of a power of two.

Saved are the energy to seven digits and the logarithm of each prediction over it to three: six proxies on three grounds
take less than 30 kB. That is what limits how many are kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exporter.proxy.proxy import Floats
from exporter.proxy.scoring.packed import BEYOND, packed, realigned, unpacked

LATEST = 256
THINNED = 192


class Latest:
    """The latest samples. `table`: of shape (1 + proxies, samples), oldest first."""

    def __init__(self, proxies: int) -> None:
        self.table: Floats = np.empty((1 + proxies, 0))

    def add(self, samples: Floats) -> None:
        """Take in samples, oldest first."""
        self.table = np.concatenate((self.table, samples[:, -LATEST:]), axis=1)[:, -LATEST:]

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return _saved(self.table)

    def restore(self, snapshot: Mapping[str, Any], rows: Sequence[int], saved: int) -> None:
        """Go on from a snapshot of this many proxies; `rows` as in exporter/proxy/scoring/packed.py.

        Raises:
            ArithmeticError, LookupError, TypeError, ValueError: it does not fit; nothing has changed then.
        """
        self.table = _restored(snapshot, rows, saved)[:, -LATEST:]


class Thinned:
    """A few samples of all. `table`: of shape (1 + proxies, samples), oldest first."""

    def __init__(self, proxies: int) -> None:
        self.table: Floats = np.empty((1 + proxies, 0))
        self._seen = 0

    def add(self, samples: Floats) -> None:
        """Take in samples, oldest first."""
        stride = _stride(self._seen)
        self.table = np.concatenate((self.table, samples[:, -self._seen % stride :: stride]), axis=1)
        self._seen += samples.shape[1]
        self.table = self.table[:, :: _stride(self._seen) // stride]

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {"seen": self._seen, **_saved(self.table)}

    def restore(self, snapshot: Mapping[str, Any], rows: Sequence[int], saved: int) -> None:
        """Go on from a snapshot of this many proxies; `rows` as in exporter/proxy/scoring/packed.py.

        Raises:
            ArithmeticError, LookupError, TypeError, ValueError: it does not fit; nothing has changed then.
        """
        seen, table = int(snapshot["seen"]), _restored(snapshot, rows, saved)
        if seen < 0 or table.shape[1] != -(-seen // _stride(seen)):
            raise ValueError(f"{table.shape[1]} samples cannot be what is left of {seen}")
        self._seen, self.table = seen, table


def _stride(seen: int) -> int:
    """The smallest power of two at which so few are kept."""
    strides = -(-seen // THINNED)
    return 1 << max(strides - 1, 0).bit_length()


def _saved(table: Floats) -> dict[str, Any]:
    with np.errstate(divide="ignore", over="ignore"):
        ratios = np.log(table[1:] / table[0].astype(np.float32).astype(np.float64))
    return {"actual": packed(table[:1], "<f4"), "log_ratio": packed(ratios, "<f2")}


def _restored(snapshot: Mapping[str, Any], rows: Sequence[int], saved: int) -> Floats:
    actual = unpacked(snapshot["actual"], "<f4", 1)
    ratios = realigned(unpacked(snapshot["log_ratio"], "<f2", saved), rows, np.nan)
    if not ((actual > 0.0) & np.isfinite(actual)).all():
        raise ValueError("energy that is no energy")
    with np.errstate(over="ignore"):
        predicted = actual * np.exp(ratios)
    return np.concatenate((actual, np.where(predicted < BEYOND, predicted, np.nan)))
