"""Plans, trials and verdicts as text and as JSON. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import expm1
from typing import Any

from exporter.tune.knob import KnobName, Unit
from exporter.tune.objective import Measure, Objective
from exporter.tune.search import Search, Standing
from exporter.tune.trial import Trial
from exporter.tune.verdict import Verdict

_BAR = 40
_LATENCY: Mapping[Measure, str] = {"pace": "s/token", "duration": "duration", "ttft": "TTFT"}
_WIDTHS = (5, 10, 10, 7, 10, 9, 8, 9, 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done.

    Attributes:
        knob: what is turned. devices: of which boards. settings: from which, ascending, the last is there now.
        servers: whose requests are counted. exporter: by whose books. load: in words.
        permission: whether it may be set, in words. most_seconds: how long at most.
        notes: what to know before, a sentence each.
    """

    knob: KnobName
    devices: str
    unit: Unit
    settings: Sequence[int]
    objective: Objective
    servers: Sequence[str]
    exporter: str
    load: str
    permission: str
    most_trials: int
    most_seconds: float
    applies: bool
    notes: Sequence[str]

    def lines(self) -> Iterator[str]:
        """As text."""
        what = {"power_limit": "power limit of {}", "clocks": "highest graphics clock of {}, locked"}[self.knob]
        yield f"knob        {what.format(self.devices)}"
        yield f"settings    {', '.join(map(str, self.settings))} {self.unit} (the last is the default)"
        yield f"permission  {self.permission}"
        yield f"objective   {self.objective}"
        yield f"counted     requests of {', '.join(self.servers)}, by the books of {self.exporter}"
        yield f"load        {self.load}"
        yield f"takes       {self._how_long()}"
        for note in self.notes:
            yield f"note        {note}"

    def _how_long(self) -> str:
        most = f"at most {self.most_trials} trials and {_minutes(self.most_seconds)}"
        one = _minutes(self.most_seconds / self.most_trials)
        return most if self.applies else f"one trial, at most {one}; with --apply {most}"

    def document(self) -> Mapping[str, Any]:
        """As JSON values."""
        return {**asdict(self), "objective": str(self.objective)}


def table(trials: Sequence[Trial], search: Search) -> Iterator[str]:
    """A line a trial, in the order of time."""
    latency = _LATENCY[search.objective.measure]
    yield _row(("trial", "setting", "J/token", "+-", latency, "tokens/s", "drawn", "requests", ""))
    for number, one in enumerate(trials, start=1):
        yield row(number, one, search.unit)


def row(number: int, one: Trial, unit: Unit) -> str:
    """One trial."""
    cost = one.joules_per_token
    return _row(
        (
            str(number),
            f"{one.setting} {unit}",
            "-" if cost is None else f"{cost:.4g}",
            "-" if one.error is None else f"{100 * one.error:.1f} %",
            "-" if one.latency_seconds is None else f"{one.latency_seconds:.3g} s",
            f"{one.tokens_per_second:.0f}",
            f"{one.watts:.0f} W",
            str(one.requests),
            "" if one.steady else "  unsteady",
        )
    )


def curve(search: Search, trials: Sequence[Trial]) -> Iterator[str]:
    """Joules per token at each setting that was tried, against the default, as the curve through all trials has it."""
    standing, last = Standing(search, trials), len(search.settings) - 1
    if standing.cost is None:
        return
    tried = {one.setting for one in trials}
    changes = {
        index: standing.cost.change(index, last) for index, setting in enumerate(search.settings) if setting in tried
    }
    most = max(expm1(change.mean) for change in changes.values())
    yield "joules per token against the default, by the curve through all trials (95 % interval)"
    for index, change in sorted(changes.items()):
        low, high = change.interval()
        meets = "" if standing.feasible[index] >= 0.5 else "  misses the objective"
        value = expm1(change.mean)
        bar = "#" * max(1, round(_BAR * (1.0 + value) / (1.0 + most)))
        interval = f"({100 * expm1(low):+.1f} to {100 * expm1(high):+.1f})" if index != last else "(the default)"
        yield f"{search.settings[index]:>6} {search.unit:<3} {bar:<{_BAR}} {100 * value:+6.1f} % {interval}{meets}"


def document(plan: Plan, trials: Sequence[Trial], verdict: Verdict | None, methods: Sequence[str]) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "plan": plan.document(),
        "energy": list(methods),
        "trials": [_trial_document(one) for one in trials],
        "verdict": None if verdict is None else asdict(verdict),
    }


def _trial_document(one: Trial) -> Mapping[str, Any]:
    return {**asdict(one), "joules_per_token": one.joules_per_token, "watts": one.watts}


def _row(cells: Sequence[str]) -> str:
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120.0 else f"{seconds / 60.0:.0f} min"
