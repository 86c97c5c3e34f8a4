"""What all proxies here have in common: joules are coefficients, none of them negative, times named causes.

Stretches of metered time teach the coefficients by regression (exporter/regression/robust.py). Nothing is said before
twelve busy stretches, nor of a row about which the regression could only guess, for example because prefill tokens are
at work in it that never were while there was a meter: a made-up zero would be taken for knowledge. What is left unsaid
is counted by the scorer, and whatever can be said of rows can be said of their sum.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exporter.proxy.proxy import Coefficient, Features, Floats, Term
from exporter.regression import RobustFit

_MEMORY_SECONDS = 1800.0
"""Time constant of forgetting, counted in stretches in which something was at work, so that a quiet night forgets
nothing. As long as the attribution policy `steps` remembers: long enough to have seen the load vary, which tells the
terms apart, short enough that a warm server is not predicted from its cold morning. Sudden changes do not wait for it;
the regression notices them within nine stretches."""


class LinearProxy:
    """A proxy that learns the coefficients of its terms."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = tuple(terms)
        self._fit = RobustFit([term.name for term in self._terms])

    def predict(self, seen: Features) -> Floats:
        """Joules of each row; NaN where a cause is not known or it has not learned enough to tell."""
        return self._fit.predict(causes(self._terms, seen))

    def learn(self, seen: Features, joules: Floats, seconds: float) -> None:
        """Take in stretches of time of this length, one after the other, with the busy energy metered in each.

        Energy is net of idle power where requests do not bear that, and may then be zero or less; it is taken as it
        comes, because to clip it would be a bias. Stretches in which no cause was at work teach and fade nothing.
        """
        keep = float(np.exp(-seconds / _MEMORY_SECONDS))
        for row, energy in zip(causes(self._terms, seen), joules.tolist(), strict=True):
            self._fit.add(row, energy, keep)

    @property
    def coefficients(self) -> Mapping[str, Coefficient]:
        """What it has learned, by term; empty until it can predict anything at all."""
        values, errors = self._fit.coefficients, self._fit.errors
        return {name: Coefficient(value, errors[name]) for name, value in values.items()}

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return self._fit.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot; one that does not fit is as good as none."""
        self._fit.restore(snapshot)


class GivenProxy:
    """A proxy of one term whose coefficient is given, once and for all, or not known."""

    def __init__(self, terms: Sequence[Term], value: float | None) -> None:
        (self._term,) = terms
        self._value = value

    def predict(self, seen: Features) -> Floats:
        """Joules of each row; NaN throughout where the coefficient is not known."""
        return times(causes((self._term,), seen), [np.nan if self._value is None else self._value])

    def learn(self, seen: Features, joules: Floats, seconds: float) -> None:
        """Nothing to learn."""

    @property
    def coefficients(self) -> Mapping[str, Coefficient]:
        """What was given; empty where nothing was."""
        return {} if self._value is None else {self._term.name: Coefficient(self._value, 0.0)}

    def snapshot(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Nothing to go on from."""


def causes(terms: Sequence[Term], seen: Features) -> Floats:
    """How much of each cause was at work, of shape (rows, terms)."""
    return np.stack([term.cause(seen) for term in terms], axis=1)


def times(amounts: Floats, coefficients: Sequence[float]) -> Floats:
    """Joules of each row; NaN where an amount is not known. Row by row, so that company makes no difference."""
    with np.errstate(over="ignore", invalid="ignore"):
        joules: Floats = (amounts * np.asarray(coefficients, dtype=np.float64)).sum(axis=1)
    return np.where((joules >= 0.0) & (joules < np.inf), joules, np.nan)
