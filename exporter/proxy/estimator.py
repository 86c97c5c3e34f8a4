"""Estimate mode: joules from a calibration, each with an interval in which nine of ten true values are to lie.

For each request that proxy speaks whose interval is the narrowest: the one that was off the least, for requests like
this one, where the calibration was made. A proxy stays silent where the log does not tell what it needs and where it
could only guess (see exporter/proxy/interval.py, where the intervals come from), so that another one may speak. `peak`,
which is no prediction, speaks only where a calibration has nothing else.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from exporter.domain.settings import ProxyName
from exporter.domain.snapshot import Ground
from exporter.proxy.calibration import Calibration, ProxyCalibration
from exporter.proxy.interval import half_width
from exporter.proxy.proxies import predict_with
from exporter.proxy.proxy import Features, Floats

NOMINAL = 0.9
"""Of true energies, within the interval."""
_METERED: Final[tuple[Ground, ...]] = ("window", "isolated")


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
        best = off.argmin(axis=0)
        rows = np.arange(len(seen))
        known = np.isfinite(off[best, rows])
        joules, width = (np.where(known, table[best, rows], np.nan) for table in (said, off))
        spoke = tuple(self.order[place] if there else None for place, there in zip(best, known, strict=True))
        return Estimates(joules, joules * np.exp(-width), joules * np.exp(width), spoke)


def order_of(calibration: Calibration) -> tuple[ProxyName, ...]:
    """The proxies that may speak, the one that did best against metered energy first."""
    names: list[ProxyName] = [name for name in calibration.proxies if name != "peak"]
    names = names or list(calibration.proxies)
    return tuple(sorted(names, key=lambda name: _error_of(calibration.proxies[name])))


def _error_of(proxy: ProxyCalibration) -> float:
    """A proxy is as good as on the worse of the two grounds on which energy is metered; unscored, it comes last."""
    grounds = (proxy.grounds[ground] for ground in _METERED if ground in proxy.grounds)
    errors = [one.scores["mape"] for one in grounds if "mape" in one.scores]
    return max(errors, default=float("inf"))
