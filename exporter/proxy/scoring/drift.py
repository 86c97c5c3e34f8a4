"""Drift: recent errors that have left their own history.

Theory of operation. An error is the logarithm of predicted over actual, so that half and double are equally wrong. It
is judged against a history of such errors that does not hold the latest stretch, or a drift would excuse itself.
History learns slowly and forgets slowly: what has lasted long enough is the new normal, and the alarm ends by itself.

The test is Page's cumulative sum, one upwards and one downwards (Page, Biometrika 41, 1954): each sums what errors
exceed an allowance by, in standard deviations, never below zero; past a limit it is no chance. Small shifts that last
are found as well as large ones, and there is no window to choose. Three things that Page could take for granted are not
so here, and each would raise false alarms:

- mean and deviation are estimates, poor at first: the allowance is larger while history is short;
- errors come in spells, as load does: the deviation is that of sums of such errors, whose square is larger than that of
  single ones by (1 + r) / (1 - r), r being the correlation of neighbours, taken one standard error too high;
- single errors can be wild: each counts for no more than three deviations, and enters history no further out than four.

Errors that never vary have no deviation to be judged by. A deviation of less than a percent is taken for a percent, no
more than what a good meter is worth.

The tests hold it to this, on simulated errors: fewer than one false alarm in 10,000 samples, be they normal, with heavy
tails or correlated by 0.5; a step of 30 % is found, in 19 of 20 cases, within 10 samples where errors scatter by 10 %
and within 40 where by 20 %; 600 samples after it, the new level is normal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.proxy.proxy import Floats
from exporter.proxy.scoring.packed import numbers, packed, realigned, unpacked

_STRETCH = 16
"""Errors enter history in stretches of so many samples, each only after the next is complete."""
_MEMORY_SAMPLES = 256
_MOST_AT_ONCE = 4 * _MEMORY_SAMPLES
_LEAST_SAMPLES = 32
_LEAST_DEVIATION = 0.01
_ALLOWANCE = 0.5
_ALLOWANCE_WHILE_SHORT = 1.5
_LIMIT = 10.0
_LATEST = 8
"""How far errors have left is told by the mean of so many."""
_WILD = 3.0
_WILD_IN_HISTORY = 4.0
_FAR = float(np.log(1000.0))
_STRONGEST = 0.9
"""A correlation of neighbours above this is no spell: it is a trend."""


class Drift:
    """Watches the errors of several proxies on one ground."""

    def __init__(self, proxies: int) -> None:
        self._samples, self._mean, self._variance, self._covariance = np.zeros((4, proxies))
        self._above, self._below = np.zeros((2, proxies))
        self._recent: Floats = np.empty((proxies, 0))

    def add(self, ratios: Floats) -> None:
        """Take in predicted over actual, of shape (proxies, samples), oldest first; NaN where none was predicted.

        Of very many at once only the latest count: history would have forgotten the others by the end.
        """
        with np.errstate(divide="ignore"):
            errors = np.clip(np.log(ratios[:, -_MOST_AT_ONCE:]), -_FAR, _FAR)
        while errors.shape[1]:
            room = _STRETCH - self._recent.shape[1] % _STRETCH
            self._test(errors[:, :room])
            self._recent = np.concatenate((self._recent, errors[:, :room]), axis=1)
            errors = errors[:, room:]
            if self._recent.shape[1] == 2 * _STRETCH:
                self._remember(self._recent[:, :_STRETCH])
                self._recent = self._recent[:, _STRETCH:]

    def _test(self, errors: Floats) -> None:
        strange = np.clip((errors - self._mean[:, None]) / self._deviation_of_sums()[:, None], -_WILD, _WILD)
        allowance = _ALLOWANCE + _ALLOWANCE_WHILE_SHORT / np.sqrt(np.maximum(self._samples, 1.0))
        judged = self._known[:, None] & ~np.isnan(strange)
        self._above = _page(self._above, np.where(judged, strange - allowance[:, None], 0.0))
        self._below = _page(self._below, np.where(judged, -strange - allowance[:, None], 0.0))

    def _remember(self, errors: Floats) -> None:
        """Merge a stretch into history, about the mean of both. Sums are bounded here, so that an alarm can end."""
        self._above, self._below = (np.minimum(one, 2.0 * _LIMIT) for one in (self._above, self._below))
        reach = np.where(self._known, _WILD_IN_HISTORY * self._deviation(), np.inf)
        errors = np.clip(errors, (self._mean - reach)[:, None], (self._mean + reach)[:, None])
        said = ~np.isnan(errors)
        count = said.sum(axis=1)
        total = np.maximum(self._samples + count, 1.0)
        old, new = self._samples / total, count / total
        mean = old * self._mean + new * _mean(errors, said)
        off = errors - mean[:, None]
        moved = (self._mean - mean) ** 2
        pairs = off[:, 1:] * off[:, :-1]
        self._variance = old * (self._variance + moved) + new * _mean(off * off, said)
        self._covariance = old * (self._covariance + moved) + new * _mean(pairs, ~np.isnan(pairs))
        self._mean = mean
        self._samples = np.minimum(self._samples + count, _MEMORY_SAMPLES)

    @property
    def _known(self) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = self._samples >= _LEAST_SAMPLES
        return known

    def _deviation(self) -> Floats:
        return np.maximum(np.sqrt(self._variance), _LEAST_DEVIATION)

    def _deviation_of_sums(self) -> Floats:
        alike = self._covariance / np.maximum(self._variance, _LEAST_DEVIATION**2)
        alike = np.clip(alike + 1.0 / np.sqrt(np.maximum(self._samples, 1.0)), 0.0, _STRONGEST)
        spread: Floats = self._deviation() * np.sqrt((1.0 + alike) / (1.0 - alike))
        return spread

    def deviations(self) -> list[float | None]:
        """How far the latest errors are from history, in its standard deviations; None while unknown.

        Above 0: it predicts more than it used to.
        """
        said = ~np.isnan(self._recent)
        latest = said & (said[:, ::-1].cumsum(axis=1)[:, ::-1] <= _LATEST)
        away = (_mean(self._recent, latest) - self._mean) / self._deviation()
        known = self._known & latest.any(axis=1)
        return [one if sure else None for one, sure in zip(away.tolist(), known.tolist(), strict=True)]

    def drifting(self) -> list[bool]:
        """Whether that is too far, or has lasted too long, to be chance."""
        found: list[bool] = (np.maximum(self._above, self._below) > _LIMIT).tolist()
        return found

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        history = (self._samples, self._mean, self._variance, self._covariance, self._above, self._below)
        return {"history": np.stack(history).tolist(), "recent": packed(self._recent, "<f4")}

    def restore(self, snapshot: Mapping[str, Any], rows: Sequence[int], saved: int) -> None:
        """Go on from a snapshot of this many proxies; `rows` as in exporter/proxy/scoring/packed.py.

        Raises:
            ArithmeticError, LookupError, TypeError, ValueError: it does not fit; nothing has changed then.
        """
        history = realigned(numbers(snapshot["history"], 6, saved).T, rows, 0.0).T
        recent = realigned(unpacked(snapshot["recent"], "<f4", saved), rows, np.nan)
        if recent.shape[1] >= 2 * _STRETCH or np.isinf(recent).any() or (history[[0, 2, 4, 5]] < 0.0).any():
            raise ValueError("errors that cannot have been")
        self._samples, self._mean, self._variance, self._covariance, self._above, self._below = history
        self._recent = recent


def _page(start: Floats, steps: Floats) -> Floats:
    """Page's sums after these steps, of shape (proxies, samples): the path less its lowest point, or zero."""
    path = start[:, None] + steps.cumsum(axis=1)
    lowest = np.minimum(path.min(axis=1), 0.0)
    end: Floats = path[:, -1] - lowest
    return end


def _mean(values: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Mean of the chosen of each row; 0 where none is."""
    mean: Floats = np.where(chosen, values, 0.0).sum(axis=1) / np.maximum(chosen.sum(axis=1), 1)
    return mean
