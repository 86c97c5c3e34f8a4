"""Over how long a power reading is a mean, and how late it comes. Pure.

Theory of operation. The load is switched on and off, and when is known. If the board draws one power while it is on and
another while it is off, a reading that is the mean over a window w before it and comes a lag d late is

    rest + (load - rest) x (share of [t - d - w, t - d] in which the load was on)

at the moment t of its renewal. The share follows from the load's edges alone, exactly. So for every w and d the two
watts are a straight-line fit, and w and d are those whose line misses the readings least. The load's periods must not
be multiples of the sensor's, or its renewals would always fall on the same moments of the load.

A real board's power is not that square. Where the window is longer than the energy counter's steps, the counter tells
the true mean over any window as well, whatever the power did in it: the same fit, with that mean in place of the share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from validation.sensor.polling import Floats, Samples
from validation.sensor.steps import changes

SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 2.0
_WINDOWS = np.geomspace(SHORTEST_SECONDS, LONGEST_SECONDS, 61)
_LAGS = np.linspace(-0.03, 0.4, 44)
"""A little below zero as well: the load's edges are known to some milliseconds only."""
_REFINEMENTS = 4
_FINER = 7

FEWEST_READINGS = 12
WORST_ERROR = 0.25
"""Of the readings' range: with more the readings are no mean of this load."""
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
        rest_watts, load_watts: the two levels, in the readings' unit: where the cause is 0 and where it is 1.
        error: root mean square of what is missed, of the readings' range from 5th to 95th percentile.
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

    def expected(self, at: Floats, cause: "Cause") -> Floats:
        """What such a sensor would say at these moments."""
        share = cause.mean(at - self.lag_seconds, self.window_seconds)
        return self.rest_watts + (self.load_watts - self.rest_watts) * share


class Cause(Protocol):
    """What the readings follow."""

    def mean(self, ends: Floats, window: float) -> Floats:
        """Over the windows of this length that end at these moments."""
        ...


class Load:
    """A load that is on, 1, or off, 0."""

    def __init__(self, edges: Edges) -> None:
        self._knots = np.array([moment for pair in edges for moment in pair])
        on = np.array([end - start for start, end in edges])
        self._seconds = np.repeat(np.cumsum(on), 2) - np.stack([on, np.zeros_like(on)], axis=1).ravel()

    def mean(self, ends: Floats, window: float) -> Floats:
        """The share of each window in which the load was on."""
        share: Floats = (self._until(ends) - self._until(ends - window)) / window
        return share

    def _until(self, moments: Floats) -> Floats:
        """Seconds with the load on; linear between edges."""
        return np.asarray(np.interp(moments, self._knots, self._seconds), dtype=np.float64)


class Counted:
    """The power that an energy counter tells, in mW, on a straight line between its steps."""

    def __init__(self, counter: Samples) -> None:
        self._steps = changes(counter)

    def mean(self, ends: Floats, window: float) -> Floats:
        """Its mean in each window."""
        power: Floats = (self._until(ends) - self._until(ends - window)) / window
        return power

    def _until(self, moments: Floats) -> Floats:
        return np.asarray(np.interp(moments, self._steps.at, self._steps.value), dtype=np.float64)


def fit(at: Floats, readings: Floats, cause: Cause) -> WindowFit | None:
    """Find the window.

    Args:
        at: when the readings were new.
        readings: what they said then, in any unit.
        cause: on the same clock.

    Returns:
        None where the readings are too few, or never change.
    """
    low, high = np.percentile(readings, (5, 95)) if at.size else (0.0, 0.0)
    if at.size < FEWEST_READINGS or high <= low:
        return None
    profile = [_best_lag(at, readings, cause, window, _LAGS) for window in _WINDOWS]
    best = int(np.argmin([missed for missed, _ in profile]))
    window, lag = _refined(at, readings, cause, float(_WINDOWS[best]), profile[best][1])
    rest, gain, missed = _line(cause.mean(at - lag, window), readings)
    alike = [w for w, (error, _) in zip(_WINDOWS, profile, strict=True) if error <= _ALIKE * missed]
    scale = float(high - low)
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


def _best_lag(at: Floats, readings: Floats, cause: Cause, window: float, lags: Floats) -> tuple[float, float]:
    """What the best lag misses, and which it is."""
    missed = [_line(cause.mean(at - lag, window), readings)[2] for lag in lags]
    best = int(np.argmin(missed))
    return missed[best], float(lags[best])


def _refined(at: Floats, readings: Floats, cause: Cause, window: float, lag: float) -> tuple[float, float]:
    """Search around the best, ever finer; a longer window is tried at a shorter lag, for its middle is known best."""
    ratio, span = float(_WINDOWS[1] / _WINDOWS[0]), float(_LAGS[1] - _LAGS[0])
    for _ in range(_REFINEMENTS):
        windows = window * np.geomspace(1 / ratio, ratio, 2 * _FINER + 1)
        lags = lag + window / 2 + np.linspace(-span, span, 2 * _FINER + 1)
        tried = [(*_best_lag(at, readings, cause, each, lags - each / 2), each) for each in windows.tolist()]
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
