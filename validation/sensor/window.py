"""Over how long a power reading is a mean, and how late it comes. Pure.

Theory of operation. The load is switched on and off, and when is known. If the board draws one power while it is on and
another while it is off, a reading that is the mean over a window w before it and comes a lag d late is

    rest + (load - rest) x (share of [t - d - w, t - d] in which the load was on)

at the moment t of its renewal. The share follows from the load's edges alone, exactly. So for every w and d the two
watts are a straight-line fit, and w and d are those whose line misses the readings least. The load's periods must not
be multiples of the sensor's, or its renewals would always fall on the same moments of the load.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from validation.sensor.polling import Floats

SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 2.0
_WINDOWS = np.geomspace(SHORTEST_SECONDS, LONGEST_SECONDS, 61)
_LAGS = np.linspace(-0.03, 0.4, 44)
"""A little below zero as well: the load's edges are known to some milliseconds only."""
_REFINEMENTS = 4
_FINER = 7

FEWEST_READINGS = 12
WORST_ERROR = 0.25
"""Of the difference between load and rest: with more the readings are no mean of this load."""
_ALIKE = 1.1
"""Windows that miss by no more than so many times the least are not told apart from the best."""

Edges = Sequence[tuple[float, float]]
"""When the load was switched on and off, in order."""


@dataclass(frozen=True, slots=True)
class WindowFit:
    """The window that explains the readings best.

    Attributes:
        window_seconds: the mean's; `low_seconds` to `high_seconds` explain them nearly as well.
        lag_seconds: from the end of the window to the moment at which the reading is new.
        rest_watts, load_watts: the two levels, in the readings' unit.
        error: root mean square of what is missed, of the difference between the two.
        readings: so many were explained.
        curve: the error of each window that was tried, at its best lag.
    """

    window_seconds: float
    low_seconds: float
    high_seconds: float
    lag_seconds: float
    rest_watts: float
    load_watts: float
    error: float
    readings: int
    curve: tuple[tuple[float, float], ...]

    @property
    def is_good(self) -> bool:
        """Whether such a mean explains the readings at all."""
        return self.error <= WORST_ERROR and self.load_watts > self.rest_watts

    def expected(self, at: Floats, load: "Load") -> Floats:
        """What such a sensor would say at these moments."""
        share = load.share(at - self.lag_seconds, self.window_seconds)
        return self.rest_watts + (self.load_watts - self.rest_watts) * share


class Load:
    """A load that is on or off."""

    def __init__(self, edges: Edges) -> None:
        self._knots = np.array([moment for pair in edges for moment in pair])
        on = np.array([end - start for start, end in edges])
        self._seconds = np.repeat(np.cumsum(on), 2) - np.stack([on, np.zeros_like(on)], axis=1).ravel()

    def share(self, ends: Floats, window: float) -> Floats:
        """Of the windows that end at these moments, how much had the load on."""
        share: Floats = (self._until(ends) - self._until(ends - window)) / window
        return share

    def _until(self, moments: Floats) -> Floats:
        """Seconds with the load on; linear between edges."""
        return np.asarray(np.interp(moments, self._knots, self._seconds), dtype=np.float64)


def fit(at: Floats, readings: Floats, load: Load) -> WindowFit | None:
    """Find the window.

    Args:
        at: when the readings were new.
        readings: what they said then, in any unit.
        load: on the same clock.

    Returns:
        None where the readings are too few, or never change.
    """
    if at.size < FEWEST_READINGS or not np.ptp(readings):
        return None
    profile = [_best_lag(at, readings, load, window, _LAGS) for window in _WINDOWS]
    best = int(np.argmin([missed for missed, _ in profile]))
    window, lag = _refined(at, readings, load, float(_WINDOWS[best]), profile[best][1])
    rest, gain, missed = _line(load.share(at - lag, window), readings)
    alike = [w for w, (error, _) in zip(_WINDOWS, profile, strict=True) if error <= _ALIKE * missed]
    scale = abs(gain) or float(np.ptp(readings))
    return WindowFit(
        window_seconds=window,
        low_seconds=float(min([*alike, window])),
        high_seconds=float(max([*alike, window])),
        lag_seconds=lag,
        rest_watts=rest,
        load_watts=rest + gain,
        error=missed / scale,
        readings=int(at.size),
        curve=tuple((float(w), error / scale) for w, (error, _) in zip(_WINDOWS, profile, strict=True)),
    )


def _best_lag(at: Floats, readings: Floats, load: Load, window: float, lags: Floats) -> tuple[float, float]:
    """What the best lag misses, and which it is."""
    missed = [_line(load.share(at - lag, window), readings)[2] for lag in lags]
    best = int(np.argmin(missed))
    return missed[best], float(lags[best])


def _refined(at: Floats, readings: Floats, load: Load, window: float, lag: float) -> tuple[float, float]:
    """Search around the best, ever finer."""
    ratio, span = float(_WINDOWS[1] / _WINDOWS[0]), float(_LAGS[1] - _LAGS[0])
    for _ in range(_REFINEMENTS):
        windows = window * np.geomspace(1 / ratio, ratio, 2 * _FINER + 1)
        lags = lag + np.linspace(-span, span, 2 * _FINER + 1)
        tried = [(*_best_lag(at, readings, load, float(each), lags), float(each)) for each in windows]
        _, lag, window = min(tried)
        ratio, span = ratio ** (2 / _FINER), 2 * span / _FINER
    return window, lag


def _line(share: Floats, readings: Floats) -> tuple[float, float, float]:
    """Rest, gain, and root mean square of what the line misses."""
    centred = share - share.mean()
    square = float(centred @ centred)
    gain = float(centred @ readings) / square if square > 0.0 else 0.0
    rest = float(readings.mean() - gain * share.mean())
    return rest, gain, float(np.sqrt(np.mean((readings - rest - gain * share) ** 2)))
