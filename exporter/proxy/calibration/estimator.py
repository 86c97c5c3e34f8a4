"""Estimate mode: joules from a calibration, each with an interval in which nine of ten true values are to lie.

The proxy speaks that was off the least where the calibration was made, taking its company all in all. Another one may
speak for a request of which it cannot, because the log does not tell what it needs, or of which its interval is more
than twice as wide as the other's (interval.py says where the intervals come from): to take the narrowest
for each request would be to take those that are too narrow by chance. `peak`, which is no prediction, speaks only where
a calibration has nothing else.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.domain.settings import ProxyName
from exporter.proxy.calibration.calibration import Calibration
from exporter.proxy.calibration.interval import half_width, usual_error
from exporter.proxy.proxies import predict_with
from exporter.proxy.proxy import Features, Floats

NOMINAL = 0.9
"""Of true energies, within the interval."""
_MUCH_WIDER = 2.0


@dataclass(frozen=True, slots=True)
class Estimates:
    """What requests may have used, a row each.

    Attributes:
        joules: the estimate. low, high: nine of ten true values are to lie between. NaN where nothing can be said.
        proxy: which one spoke, or None.
    """

    joules: Floats
    low: Floats
    high: Floats
    proxy: tuple[ProxyName | None, ...]

    def __len__(self) -> int:
        return len(self.joules)


class Estimator:
    """Joules from a calibration. Changes nothing, learns nothing."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self.order = order_of(calibration)

    def estimate(self, seen: Features) -> Estimates:
        """Joules of each row by the proxy that was off the least for its like."""
        said, off = np.full((len(self.order), len(seen)), np.nan), np.full((len(self.order), len(seen)), np.inf)
        for place, name in enumerate(self.order):
            one = self.calibration.proxies[name]
            said[place] = predict_with(name, {term: each.value for term, each in one.coefficients.items()}, seen)
            off[place] = half_width(name, one, self.calibration.policy, seen, said[place])
        off[~np.isfinite(said)] = np.inf
        best = _spokesmen(off)
        rows = np.arange(len(seen))
        known = np.isfinite(off[best, rows])
        joules, width = (np.where(known, table[best, rows], np.nan) for table in (said, off))
        spoke = tuple(self.order[place] if there else None for place, there in zip(best, known, strict=True))
        return Estimates(joules, joules * np.exp(-width), joules * np.exp(width), spoke)


def order_of(calibration: Calibration) -> tuple[ProxyName, ...]:
    """The proxies that may speak, the one that was off the least first."""
    names: list[ProxyName] = [name for name in calibration.proxies if name != "peak"]
    names = names or list(calibration.proxies)
    return tuple(sorted(names, key=lambda name: usual_error(calibration.proxies[name], calibration.policy)))


def _spokesmen(off: Floats) -> NDArray[np.intp]:
    """For each column the first row, or the one of the least value where that is less than half of the first's."""
    least = off.argmin(axis=0)
    columns = np.arange(off.shape[1])
    return np.where(off[0] <= _MUCH_WIDER * off[least, columns], 0, least)
