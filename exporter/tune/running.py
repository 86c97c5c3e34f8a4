"""From the first trial to the verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.tune.objective import Objective
from exporter.tune.search import Search, next_setting
from exporter.tune.trial import Trial
from exporter.tune.trials import Bench


@dataclass(frozen=True, slots=True)
class Hooks:
    """Called as trials go on: with the number and setting that begins, with the trial that has ended."""

    begins: Callable[[int, int], None] = lambda _number, _setting: None
    ended: Callable[[Trial], None] = lambda _trial: None


async def run_trials(bench: Bench, search: Search, turn: Callable[[int], None], hooks: Hooks) -> list[Trial]:
    """Try settings until nothing more is to be learned; a baseline that is too thin ends it.

    Args:
        bench: where they are measured.
        search: what is searched.
        turn: sets a setting.
        hooks: who watches.

    Raises:
        TuneError: a setting cannot be set, or the exporter cannot be read.
    """
    trials: list[Trial] = []
    while (setting := next_setting(search, trials)) is not None:
        hooks.begins(len(trials) + 1, setting)
        trials.append(await bench.try_out(setting, turn, bearable(search.objective, search.default, trials)))
        hooks.ended(trials[-1])
        if trials[0].requests < bench.pace.least_requests:
            break
    return trials


def bearable(objective: Objective, default: int, trials: Sequence[Trial]) -> float | None:
    """The latency that users should not be kept beyond; None while unknown."""
    if objective.limit_seconds is not None:
        return objective.limit_seconds
    base = [one.latency_seconds for one in trials if one.setting == default and one.latency_seconds is not None]
    return base[-1] * (objective.slowdown or 1.0) if base else None
