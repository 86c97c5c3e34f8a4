"""Estimate mode: joules from a calibration, each with an interval in which nine of ten true values are to lie.

The best proxy of the calibration speaks first, and whoever is next where it cannot: because the log does not tell what
it needs, or because it could only guess (see exporter/proxy/interval.py, where the intervals come from).
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
        """Joules of each row by the best proxy that can speak for it."""
        joules, width = np.full(len(seen), np.nan), np.full(len(seen), np.nan)
        spoke = np.full(len(seen), -1, dtype=np.intp)
        for place, name in enumerate(self.order):
            one = self.calibration.proxies[name]
            said = predict_with(name, {term: each.value for term, each in one.coefficients.items()}, seen)
            off = half_width(name, one, self.calibration.policy, seen)
            new = np.isnan(joules) & np.isfinite(said) & np.isfinite(off)
            joules[new], width[new], spoke[new] = said[new], off[new], place
        names: list[ProxyName | None] = [*self.order, None]
        return Estimates(
            joules, joules * np.exp(-width), joules * np.exp(width), tuple(names[i] for i in spoke.tolist())
        )


def order_of(calibration: Calibration) -> tuple[ProxyName, ...]:
    """The proxies, the one to be asked first first; `peak`, which is no prediction, only where it stands alone."""
    names: list[ProxyName] = [name for name in calibration.proxies if name != "peak"]
    names = names or list(calibration.proxies)
    return tuple(sorted(names, key=lambda name: _error_of(calibration.proxies[name])))


def _error_of(proxy: ProxyCalibration) -> float:
    """A proxy is as good as on the worse of the two grounds on which energy is metered; unscored, it comes last."""
    grounds = (proxy.grounds[ground] for ground in _METERED if ground in proxy.grounds)
    errors = [one.scores["mape"] for one in grounds if "mape" in one.scores]
    return max(errors, default=float("inf"))
