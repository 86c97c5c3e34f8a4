"""The idle baseline: what a device draws with its context open and no request running."""

import numpy as np

from exporter.ledger.claims import Floats

_MEMORY_SECONDS = 600.0
GUARD_SLICES = 10
"""Slices this close to a request are not taken as idle: the sensor blurs, and clocks take a while to fall."""


class IdleBaseline:
    """A running mean of power in moments without requests, over the latest ten such minutes.

    Net energy is never clipped at zero: slices below the mean count like slices above it.
    """

    def __init__(self, fixed_watts: float | None = None) -> None:
        self._fixed = fixed_watts
        self.mean: float | None = None
        self.seconds = 0.0

    @property
    def watts(self) -> float | None:
        """The configured baseline, else the learned one; None while neither is known."""
        return self._fixed if self._fixed is not None else self.mean

    def learn(self, joules: Floats, quiet: Floats, slice_seconds: float) -> None:
        """Take in slices: their energy and whether they were quiet (booleans), both of shape (slices,)."""
        known = quiet.astype(bool) & (joules > 0.0)
        seconds = float(known.sum()) * slice_seconds
        if seconds == 0.0:
            return
        power = float(joules[known].sum()) / seconds
        self.seconds = min(self.seconds + seconds, _MEMORY_SECONDS)
        share = seconds / self.seconds
        self.mean = power if self.mean is None else self.mean + share * (power - self.mean)


def quiet(presence: Floats, guard: int = GUARD_SLICES) -> Floats:
    """Slices with nobody near, of shape (slices,); the guard at either end counts as near."""
    busy = (presence > 1e-9).astype(np.float64)
    near = np.convolve(busy, np.ones(2 * guard + 1), mode="same")
    calm: Floats = near == 0.0
    calm[:guard] = False
    calm[-guard:] = False
    return calm
