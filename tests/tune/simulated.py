"""Trials out of simulated physics: what a search is told, with noise and a load that drifts."""

import math
import random
from collections.abc import Callable

from exporter.tune.knob import KnobName, KnobRange
from exporter.tune.objective import Objective
from exporter.tune.search import MOST_TRIALS, Search, next_setting, settings_to_try
from exporter.tune.trial import Trial
from tests.fakes.serving import CLOCKS, LIMITS, Operation, Profile

SECONDS = 60.0
Drift = Callable[[int], float]
"""Of the logarithm of everything a token costs, by the number of the trial."""

STILL: Drift = lambda _: 0.0  # noqa: E731 - an example among its likes
RAMP: Drift = lambda number: 0.015 * number  # noqa: E731
TIDE: Drift = lambda number: 0.12 * math.sin(number / 4.0)  # noqa: E731


def search_of(knob: KnobName, objective: Objective, most_trials: int = MOST_TRIALS) -> Search:
    """All settings of the simulated knob."""
    range_ = KnobRange("W", LIMITS, LIMITS[-1]) if knob == "power_limit" else KnobRange("MHz", CLOCKS, CLOCKS[-1])
    return Search(settings_to_try(range_), range_.unit, objective, most_trials)


def operation(profile: Profile, search: Search, setting: int) -> Operation:
    """The truth at a setting."""
    if search.unit == "W":
        return profile.operate(limit_watts=setting)
    return profile.operate(locked_mhz=setting)


def latency(profile: Profile, search: Search, setting: int) -> float:
    """The true latency that the objective is about."""
    truth = operation(profile, search, setting)
    pace = truth.latency_seconds / profile.load.output_tokens
    return pace if search.objective.measure == "pace" else truth.latency_seconds


def optimum(profile: Profile, search: Search) -> int | None:
    """The cheapest setting that truly meets the objective; None: none does."""
    bound = search.objective.limit_seconds
    if bound is None:
        bound = (search.objective.slowdown or 1.0) * latency(profile, search, search.default)
    meeting = [one for one in search.settings if latency(profile, search, one) <= bound * (1.0 + 1e-9)]
    return min(meeting, key=lambda one: operation(profile, search, one).joules_per_token, default=None)


def truth_change(profile: Profile, search: Search, setting: int) -> float:
    """True saving of joules per token against the default, as a share."""
    cost, base = (operation(profile, search, one).joules_per_token for one in (setting, search.default))
    return 1.0 - cost / base


def searched(
    profile: Profile, search: Search, *, noise: float = 0.01, seed: int = 1, drift: Drift = STILL
) -> list[Trial]:
    """All trials of a search."""
    chance = random.Random(f"{seed}/{noise}")  # noqa: S311 - noise, not secrets
    trials: list[Trial] = []
    while (setting := next_setting(search, trials)) is not None:
        trials.append(trial(profile, search, setting, len(trials), noise=noise, chance=chance, drift=drift))
    return trials


def trial(
    profile: Profile,
    search: Search,
    setting: int,
    number: int,
    *,
    noise: float,
    chance: random.Random,
    drift: Drift = STILL,
) -> Trial:
    """One of them."""
    truth = operation(profile, search, setting)
    level = math.exp(drift(number))
    tokens = round(truth.output_tokens_per_second * SECONDS)
    joules = truth.watts * SECONDS * level * math.exp(chance.gauss(0.0, noise))
    return Trial(
        setting=setting,
        seconds=SECONDS,
        joules=joules,
        output_tokens=tokens,
        requests=round(truth.requests_per_second * SECONDS),
        latency_seconds=latency(profile, search, setting) * level * math.exp(chance.gauss(0.0, noise)),
        device_joules=truth.watts * SECONDS,
        at_seconds=100.0 * number,
        error=noise * chance.uniform(0.5, 1.5),
    )
