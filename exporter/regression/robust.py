"""Non-negative least squares that one wrong row hardly moves, that follows a lasting change, and that knows its errors.

Theory of operation. A wrong row (a counter that jumped, a log that counted tokens twice) and the first row of a lasting
change (another power limit, another engine) look alike; nine rows later they do not. So the latest twelve rows are kept
beside the normal equations:

- A row is held against its prediction, made before the row is learned. One that misses by more than three times what
  is usual weighs only so much that it pulls like one that misses by just that (Huber 1964), and less still if its
  causes are far larger than usual: a long lever is let to pull no harder (in the manner of Schweppe). What is usual is
  the root mean square of these misses, clipped likewise (Huber's proposal 2), remembered as long as the rows are.
  Misses count relative to a size that both sides agree on, because a busy stretch is noisier than a quiet one.
- Once nine of the latest twelve rows are such misses, it is the past that is wrong: the fit begins again from these
  rows alone, by iterated reweighting, as it once began from its very first twelve. What was missed counts as usual from
  then on; so a fit that is surprised again and again, by a load that its terms cannot explain, gets used to it.
- Where it could not have told, because such causes were never seen, there is no surprise: the row counts in full.

Standard errors. Row i weighs w_i in the normal equations A = sum w x x': its belief times all that was forgotten since.
The solution misses the truth by A^-1 sum w x e for the rows' noise e. With independent noise of s times the row's size

    covariance = s^2 A^-1 C A^-1,        C = sum w^2 size^2 x x',        s^2 = sum w^2 e^2 l^2 / sum w^2 size^2 l^2

where the lever l is how large the row is, so that s is that of the rows that count; e is the miss before learning. This
is White's sandwich (1980) summed over directions, and to the letter so for one term; between directions the noise is
modelled, because one that a single row has shown leaves no residual. C and s are kept like A. That coefficients cannot
be negative is not made use of: an error is that of the coefficient as if it could be. A direction in which nothing ever
varied on its own has no finite error; what lies along the others has. Rows are not quite independent where the terms
miss something that lasts for minutes; then errors are too small, and the scores tell more than they do.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.regression.known import LEAST_SCALE, Known
from exporter.regression.median import median
from exporter.regression.nonnegative import NonNegativeFit
from exporter.regression.sound import check_fit, moments, numbers

Floats = NDArray[np.float64]

LATEST = 12
"""Rows it begins with, and from which it begins again."""
_LOST = 9
"""Misses among the latest rows from which on the past is wrong: too many to be a burst of bad luck, and enough to
learn four terms from."""
_GATE = 3.0
_LEAST_USUAL = 0.003
"""No meter and log agree better for long: without a floor, exact rows would make the next one a surprise."""
_ROUNDS = 40
_LARGEST = 1e50
"""What is larger is no measurement, and its fourth power would overflow."""


@dataclass(frozen=True, slots=True)
class _Row:
    causes: Floats
    y: float
    keep: float


class RobustFit:
    """Non-negative least squares of y on named terms. Nothing is known before `LATEST` rows, most of them not zero.

    Rows are learned one at a time: how they are bundled makes no difference. Rows that are not finite, or absurdly
    large, or in which no cause was at work, are left out.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = tuple(terms)
        self._latest: deque[_Row] = deque(maxlen=LATEST)
        self._fit = NonNegativeFit(self._terms)
        self._spread = np.zeros((len(terms), len(terms)))
        self._misses = 0.0
        self._told = 0.0
        self._squared_noise = 0.0
        self._squared_size = 0.0
        self._known: Known | None = None

    def add(self, row: Sequence[float] | Floats, y: float, keep: float = 1.0) -> None:
        """Take in one row; everything before it keeps the fraction `keep` of its weight."""
        causes = np.asarray(row, dtype=np.float64)
        if not (np.abs([*causes, y]) < _LARGEST).all() or not causes.any():
            return
        self._latest.append(_Row(causes, y, keep))
        if self._began:
            if self._learn(self._latest[-1]):
                self._follow()
        elif len(self._latest) == LATEST and sum(one.y != 0.0 for one in self._latest) >= _LOST:
            self._begin(np.ones(LATEST, dtype=np.bool_))

    def predict(self, rows: Floats) -> Floats:
        """Tell y of each row (rows, terms); NaN where it cannot.

        It cannot where two standard errors of the prediction reach down to zero: before enough was learned, where
        causes are at work that never were, or were only ever seen in one proportion to others. Whatever it can tell of
        two rows it can tell of their sum, because a standard error of a sum is no larger than the sum of theirs.
        """
        usable = (np.abs(rows) < _LARGEST).all(axis=1)
        said = np.full(len(rows), np.nan)
        if self._began and usable.any():
            rows = rows[usable]
            said[usable] = np.where(self._tells(rows), self._now().predict(rows), np.nan)
        return said

    @property
    def coefficients(self) -> dict[str, float]:
        """The solution by term; empty until it began."""
        return self._fit.coefficients

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors by term, infinite where a term never varied on its own; empty until it began."""
        if not self._began:
            return {}
        errors = self._noise * self._now().deviations(np.eye(len(self._terms)))
        return dict(zip(self._terms, errors.tolist(), strict=True))

    @property
    def _began(self) -> bool:
        return self._fit.windows > 0

    @property
    def _usual(self) -> float:
        """What rows usually miss their prediction by, relative to their size."""
        return max(float(np.sqrt(self._misses / self._told)), _LEAST_USUAL)

    @property
    def _noise(self) -> float:
        """Standard deviation of the noise of rows of size 1, those counting most that count most in the fit."""
        return max(float(np.sqrt(self._squared_noise / max(self._squared_size, LEAST_SCALE))), _LEAST_USUAL)

    def _now(self) -> Known:
        if self._known is None:
            self._known = Known.of(self._fit, self._spread)
        return self._known

    def _tells(self, rows: Floats) -> NDArray[np.bool_]:
        """Where a prediction would be more than a guess."""
        known = self._now()
        told: NDArray[np.bool_] = 2.0 * self._noise * known.deviations(rows) <= known.predict(rows)
        return told

    def _learn(self, row: _Row) -> bool:
        """Take in one row; whether it was a surprise."""
        rows, y, values = row.causes[None, :], np.array([row.y]), self._now().values
        sizes, surprise, belief = _sizes(self._fit, values, rows, y), False, 1.0
        self._squared_noise *= row.keep**2
        self._squared_size *= row.keep**2
        if self._tells(rows)[0]:
            gate, misses = _GATE * self._usual, _misses(self._fit, values, rows, y)
            belief, surprise = float(_beliefs(self._fit, values, self._usual, rows, y)[0]), bool(misses[0] > gate)
            self._misses = row.keep * self._misses + min(float(misses[0]), gate) ** 2
            self._told = row.keep * self._told + 1.0
            self._weigh_noise(np.minimum(misses, gate), belief * sizes, rows)
        self._fit.add(row.causes, row.y, row.keep, belief)
        self._spread = row.keep**2 * self._spread + (belief * sizes[0]) ** 2 * np.outer(row.causes, row.causes)
        self._known = None
        return surprise

    def _weigh_noise(self, misses: Floats, sizes: Floats, rows: Floats) -> None:
        """Take in the noise of rows by how much they count in the fit."""
        counts = (sizes * _levers(self._fit, rows)) ** 2
        self._squared_noise += float(counts @ misses**2)
        self._squared_size += float(counts.sum())

    def _follow(self) -> None:
        """Begin again from what surprised, where most of the latest rows did."""
        rows, y = self._latest_table()
        misses = _misses(self._fit, self._now().values, rows, y)
        surprising = (misses > _GATE * self._usual) & self._tells(rows)
        if np.count_nonzero(surprising) >= _LOST:
            self._misses += float(np.sum(np.minimum(misses[surprising], 1.0) ** 2))
            self._told += float(np.count_nonzero(surprising))
            self._begin(surprising)

    def _begin(self, chosen: NDArray[np.bool_]) -> None:
        """Begin, or begin again, from some of the latest rows alone."""
        rows, y = self._latest_table()
        count = np.count_nonzero(chosen)
        beliefs = self._reweighted(rows, y, chosen)
        self._fit, self._known = self._fit_to_latest(beliefs), None
        values = self._fit.solution
        misses = np.minimum(_misses(self._fit, values, rows, y), _GATE * _median_usual(self._fit, rows, y, chosen))
        misses *= np.sqrt(count / (count - np.linalg.matrix_rank(rows[chosen])))
        self._misses += float(np.sum(misses[chosen] ** 2))
        self._told += float(count)
        faded = beliefs * self._fading() * _sizes(self._fit, values, rows, y)
        self._spread = (rows * faded[:, None] ** 2).T @ rows
        self._squared_noise = self._squared_size = 0.0
        self._weigh_noise(misses, faded, rows)

    def _reweighted(self, rows: Floats, y: Floats, chosen: NDArray[np.bool_]) -> Floats:
        """How far each of the latest rows is believed by a fit that believes them as far; only those chosen.

        Squared beliefs side with most of the rows even where a quarter of them are of another kind. What is usual never
        grows here: else a long lever that drags all others from their places would free itself.
        """
        beliefs, usual = chosen * _short_levers(rows), np.inf
        for _ in range(_ROUNDS):
            fit = self._fit_to_latest(beliefs)
            usual = min(usual, _median_usual(fit, rows, y, chosen))
            before, beliefs = beliefs, chosen * _beliefs(fit, fit.solution, usual, rows, y) ** 2
            if np.allclose(beliefs, before, rtol=1e-3):
                break
        return beliefs

    def _fit_to_latest(self, beliefs: Floats) -> NonNegativeFit:
        fit = NonNegativeFit(self._terms)
        for row, belief in zip(self._latest, beliefs.tolist(), strict=True):
            fit.add(row.causes, row.y, row.keep, belief)
        return fit

    def _fading(self) -> Floats:
        """What is left of each of the latest rows' weight: all that came after it has faded it."""
        keeps = np.array([row.keep for row in self._latest])
        return np.append(np.cumprod(keeps[:0:-1])[::-1], 1.0)

    def _latest_table(self) -> tuple[Floats, Floats]:
        return np.stack([row.causes for row in self._latest]), np.array([row.y for row in self._latest])

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {
            "fit": self._fit.snapshot(),
            "latest": [[*row.causes.tolist(), row.y, row.keep] for row in self._latest],
            "spread": self._spread.tolist(),
            "usual": [self._misses, self._told],
            "noise": [self._squared_noise, self._squared_size],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot; one that does not fit is as good as none."""
        size, fit = len(self._terms), NonNegativeFit(self._terms)
        try:
            latest = numbers(snapshot["latest"], size + 2)
            spread = moments(snapshot["spread"], size)
            misses, told = numbers([snapshot["usual"]], 2)[0].tolist()
            noise, sizes = numbers([snapshot["noise"]], 2)[0].tolist()
            check_fit(snapshot["fit"], self._terms)
            fit.restore(snapshot["fit"])
        except (KeyError, TypeError, ValueError):
            return
        begun = fit.windows > 0
        sound = not begun or (len(latest) == LATEST and told > 0.0 <= misses and noise >= 0.0 <= sizes)
        if sound and (np.abs(latest) < _LARGEST).all():
            self._fit, self._spread, self._misses, self._told = fit, spread, misses, told
            self._squared_noise, self._squared_size = noise, sizes
            self._latest = deque((_Row(row[:-2], float(row[-2]), float(row[-1])) for row in latest), LATEST)
            self._known = None


def _sizes(fit: NonNegativeFit, values: Floats, rows: Floats, y: Floats) -> Floats:
    """What each row's noise grows with: what both the fit and the row say is there, on top of what usually is."""
    sizes: Floats = np.minimum(np.abs(rows @ values), np.abs(y)) + fit.typical_y
    return sizes


def _misses(fit: NonNegativeFit, values: Floats, rows: Floats, y: Floats) -> Floats:
    """How far each row is from what the fit says, relative to its size."""
    misses: Floats = np.abs(y - rows @ values) / np.maximum(_sizes(fit, values, rows, y), LEAST_SCALE)
    return misses


def _beliefs(fit: NonNegativeFit, values: Floats, usual: float, rows: Floats, y: Floats) -> Floats:
    """How far each row is believed, from 1 down: one that misses by more pulls no harder than one at the gate."""
    pulls = _misses(fit, values, rows, y) * np.maximum(_levers(fit, rows) / _GATE, 1.0)
    beliefs: Floats = np.minimum(1.0, _GATE * usual / np.maximum(pulls, LEAST_SCALE))
    return beliefs


def _levers(fit: NonNegativeFit, rows: Floats) -> Floats:
    """How large each row's largest cause is, against what that cause usually is."""
    levers: Floats = np.max(np.abs(rows) / np.maximum(fit.typical_row, LEAST_SCALE), axis=1)
    return levers


def _median_usual(fit: NonNegativeFit, rows: Floats, y: Floats, chosen: NDArray[np.bool_]) -> float:
    """What most of the chosen rows miss by, as a standard deviation."""
    return max(1.4826 * median(_misses(fit, fit.solution, rows, y)[chosen]), _LEAST_USUAL)


def _short_levers(rows: Floats) -> Floats:
    """Beliefs to begin with: nothing is known yet but which rows would decide the fit alone."""
    typical = np.array([median(np.abs(column[column != 0.0])) if column.any() else 1.0 for column in rows.T])
    levers = np.max(np.abs(rows) / typical, axis=1)
    beliefs: Floats = 1.0 / np.maximum(levers / _GATE, 1.0) ** 4
    return beliefs
