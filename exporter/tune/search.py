"""Which setting to try next. Pure: settings and trials in, a setting out.

Theory of operation. The default comes first, then a few rungs of a ladder downwards, for users feel what is tried: it
ends where latency breaks its objective or tokens have become clearly dearer. Between the rungs a curve (curve.py) says
where a trial is likely to gain most; that setting comes next, as long as there is something to gain. What looks best
is then measured again, in turns with the default. The default comes at least every fifth time anyway: what it costs now
is what everything else is held against.

A power limit far above what is drawn changes nothing, and one below it changes much. So the ladder and the curve of
power limits are drawn out below the power that the default draws, and pressed together above.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import hypot, log

import numpy as np

from exporter.tune.curve import Curve, Sightings, Vector, expected_gain, fit
from exporter.tune.knob import KnobRange, Unit
from exporter.tune.objective import Objective
from exporter.tune.trial import Trial

MOST_TRIALS = 15
MOST_SETTINGS = 16
WORTHWHILE = 0.01
"""A saving below this is none: nobody's load stays the same to within a percent."""

_RUNGS = 4
_BASELINE_EVERY = 5
_CONFIRMING = 4
"""Trials kept for measuring again what looks best, and the default in between."""

_CURIOUS = 0.0015
"""An expected gain below this is not worth a trial."""

_DEAR = 0.05
"""So much above the best, a token is dear enough to go no lower."""

_LIKELY, _HOPELESS = 0.75, 0.25
_OFTEN = 2
"""So many times a setting is tried out of curiosity."""

_OUT_OF_REACH = 0.25
"""To what part the range of power limits above what is drawn is pressed together: the mean hides peaks."""

_UNSTEADY_ERROR = 0.03


def settings_to_try(range_: KnobRange) -> tuple[int, ...]:
    """Ascending, the last is the default: what is above it costs more than what is there now.

    No more than can be told apart: neighbours differ by a fifteenth of the range, or by the knob's own step.
    """
    below = [setting for setting in range_.settings if setting < range_.default]
    if len(below) < MOST_SETTINGS:
        return (*below, range_.default)
    kept = np.linspace(0, len(below), MOST_SETTINGS).round().astype(int).tolist()
    return (*(below[index] for index in kept[:-1]), range_.default)


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched.

    Attributes:
        settings: ascending, the last is the default. unit: theirs.
        objective: what latency must stay. most_trials: in all.
    """

    settings: tuple[int, ...]
    unit: Unit
    objective: Objective
    most_trials: int = MOST_TRIALS

    @property
    def default(self) -> int:
        """What everything is held against."""
        return self.settings[-1]

    def places(self, trials: Sequence[Trial]) -> Vector:
        """The settings from 0 to 1: evenly by their ratio, but for power limits that are out of reach."""
        settings = np.array(self.settings, dtype=np.float64)
        logs = np.log(settings)
        if self.unit == "W":
            drawn = log(max(_drawn_watts(trials, self.default), 1.0))
            logs = np.minimum(logs, drawn) + _OUT_OF_REACH * np.maximum(logs - drawn, 0.0)
        reach = logs[-1] - logs[0]
        places: Vector = (logs - logs[0]) / reach if reach else np.zeros(len(logs))
        return places


class Standing:
    """What the trials say so far."""

    def __init__(self, search: Search, trials: Sequence[Trial]) -> None:
        self._search = search
        self._trials = trials
        self._places = search.places(trials)

    @cached_property
    def cost(self) -> Curve | None:
        """Logarithm of the joules per token; None while none was measured."""
        told = [(one, one.joules_per_token) for one in self._trials]
        return self._fit([(one, value, _error(one)) for one, value in told if value is not None and value > 0.0])

    @cached_property
    def latency(self) -> Curve | None:
        """Logarithm of the latency; None while none was measured."""
        told = [(one, one.latency_seconds) for one in self._trials]
        return self._fit([(one, value, 0.0) for one, value in told if value is not None and value > 0.0])

    @cached_property
    def feasible(self) -> Vector:
        """The probability of each setting that it meets the objective."""
        return np.array([self._feasible(index) for index in range(len(self._places))])

    def best(self, sure: float = _LIKELY) -> int | None:
        """Index of the cheapest setting that, this sure, meets the objective; None: there is none.

        Nothing below what was tried; what lies between tried settings the curve knows.
        """
        lowest = self._search.settings.index(min(one.setting for one in self._trials))
        return self._cheapest([index for index in self._meeting(sure) if index >= lowest])

    def promising(self, sure: float = 0.5) -> int | None:
        """The same, tried or not."""
        return self._cheapest(self._meeting(sure))

    def nearest(self, place: float) -> int:
        """Index of the setting next to a place."""
        return int(np.abs(self._places - place).argmin())

    def _meeting(self, sure: float) -> list[int]:
        return [index for index, chance in enumerate(self.feasible.tolist()) if chance >= sure]

    def _cheapest(self, indices: Sequence[int]) -> int | None:
        curve = self.cost
        return None if curve is None else min(indices, key=lambda index: float(curve.mean[index]), default=None)

    def _feasible(self, index: int) -> float:
        bound, last = self._search.objective, len(self._places) - 1
        if self.latency is None:
            return 0.0
        if bound.limit_seconds is not None:
            return self.latency.level(index).below(log(bound.limit_seconds))
        assert bound.slowdown is not None, "an objective has a limit or a slowdown"
        return 1.0 if index == last else self.latency.change(index, last).below(log(bound.slowdown))

    def _fit(self, told: Sequence[tuple[Trial, float, float]]) -> Curve | None:
        if not told:
            return None
        begin = self._trials[0].at_seconds
        typical = _typical_gap(self._trials)
        index = {setting: number for number, setting in enumerate(self._search.settings)}
        seen = Sightings(
            x=np.array([self._places[index[one.setting]] for one, _, _ in told]),
            t=np.array([(one.at_seconds - begin) / typical for one, _, _ in told]),
            y=np.array([log(value) for _, value, _ in told]),
            error=np.array([error for _, _, error in told]),
        )
        return fit(seen, self._places)


def next_setting(search: Search, trials: Sequence[Trial]) -> int | None:
    """What to try next; None once nothing more is to be learned, or all trials are used up."""
    if not trials:
        return search.default
    standing = Standing(search, trials)
    if len(trials) >= search.most_trials or standing.cost is None or len(search.settings) == 1:
        return None
    if _since(trials, search.default) >= _BASELINE_EVERY - 1:
        return search.default
    rung = _rung(search, trials, standing)
    if rung is not None:
        return rung
    curious = _curious(search, trials, standing)
    if curious is not None and len(trials) < search.most_trials - _CONFIRMING:
        return curious
    return _confirmation(search, trials, standing) or curious


def _rung(search: Search, trials: Sequence[Trial], standing: Standing) -> int | None:
    """The next one down; None where the ladder ends."""
    rungs = [search.settings[standing.nearest(1.0 - (number + 1) / _RUNGS)] for number in range(_RUNGS)]
    lowest = min(one.setting for one in trials)
    below = [rung for rung in rungs if rung < lowest]
    if not below or (lowest != search.default and _too_low(search.settings.index(lowest), standing)):
        return None
    return below[0]


def _too_low(index: int, standing: Standing) -> bool:
    """Whether it is not worth going below this setting: too slow, or clearly dearer than the best."""
    if standing.feasible[index] < _HOPELESS:
        return True
    best = standing.promising()
    if best is None or standing.cost is None:
        return False
    return standing.cost.change(index, best).interval()[0] > _DEAR


def _curious(search: Search, trials: Sequence[Trial], standing: Standing) -> int | None:
    """Where a trial is likely to gain most on what would be recommended now; None where it would not be much."""
    best, cost = standing.best(), standing.cost
    assert cost is not None, "there are trials"
    if best is None:
        best = len(search.settings) - 1
    lowest = search.settings.index(min(one.setting for one in trials))
    gains = {
        index: standing.feasible[index] * expected_gain(cost.change(index, best))
        for index in range(lowest, len(search.settings))
        if index != best and _times(trials, search.settings[index]) < _OFTEN and _may_be_worthwhile(index, standing)
    }
    most = max(gains, key=lambda index: gains[index], default=None)
    return search.settings[most] if most is not None and gains[most] > _CURIOUS else None


def _may_be_worthwhile(index: int, standing: Standing) -> bool:
    """Whether a setting may yet turn out to save something to speak of."""
    assert standing.cost is not None, "there are trials"
    return standing.cost.change(index, len(standing.feasible) - 1).interval()[0] < -WORTHWHILE


def _confirmation(search: Search, trials: Sequence[Trial], standing: Standing) -> int | None:
    """What looks best, in turns with the default, until each was measured often enough to be sure."""
    best, last = standing.best(), len(search.settings) - 1
    if best is None or best == last or not _may_be_worthwhile(best, standing):
        return search.default if _times(trials, search.default) < 2 else None
    assert standing.cost is not None, "there is a best one"
    setting = search.settings[best]
    change = standing.cost.change(best, last)
    often = _times(trials, setting) >= 2 and _times(trials, search.default) >= 3
    if often and not change.interval()[0] < -WORTHWHILE < change.interval()[1]:
        return None
    return search.default if trials[-1].setting == setting else setting


def _times(trials: Sequence[Trial], setting: int) -> int:
    return sum(one.setting == setting for one in trials)


def _since(trials: Sequence[Trial], setting: int) -> int:
    """How many trials ago this setting was measured."""
    return next((ago for ago, one in enumerate(reversed(trials)) if one.setting == setting), len(trials))


def _drawn_watts(trials: Sequence[Trial], setting: int) -> float:
    """What the device drew on average at a setting."""
    mine = [one.watts for one in trials if one.setting == setting]
    return float(np.mean(mine)) if mine else float(setting)


def _typical_gap(trials: Sequence[Trial]) -> float:
    """Seconds from one trial to the next."""
    gaps = np.diff([one.at_seconds for one in trials])
    return max(float(np.median(gaps)), 1e-9) if len(gaps) else 1.0


def _error(trial: Trial) -> float:
    return hypot(trial.error or 0.0, 0.0 if trial.steady else _UNSTEADY_ERROR)
