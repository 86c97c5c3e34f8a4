"""What came of a tuning, told to whoever asked for it."""

import json as json_
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from exporter.tune import rendering
from exporter.tune.search import Search
from exporter.tune.trial import Trial
from exporter.tune.verdict import Verdict, judge


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured. `methods`: how energy came to be known."""

    plan: rendering.Plan
    search: Search
    trials: Sequence[Trial]
    methods: Sequence[str]
    cautions: Sequence[str]


def baseline(outcome: Outcome, least_requests: int, out: TextIO, *, json: bool) -> int:
    """Tell what a dry run measured; the exit code."""
    few = outcome.trials[0].requests < least_requests
    if json:
        _print_json(rendering.document(outcome.plan, outcome.trials, None, outcome.methods), outcome, (), out)
        return int(few)
    print(*rendering.table(outcome.trials, outcome.search), sep="\n", file=out)
    print(*_energy(outcome), *outcome.cautions, _next_step(outcome, least_requests), sep="\n", file=out)
    return int(few)


def _next_step(outcome: Outcome, least_requests: int) -> str:
    verdict = judge(outcome.search, outcome.trials, least_requests)
    if verdict.kind == "not enough load":
        return f"{verdict.kind}: {verdict.text}"
    return "This is the default. --apply tries the other settings, and puts everything back."


def all_of(outcome: Outcome, verdict: Verdict, undo: Sequence[str], out: TextIO, *, json: bool) -> None:
    """Tell everything. `undo`: commands that put back what was kept; empty: nothing was."""
    if json:
        _print_json(rendering.document(outcome.plan, outcome.trials, verdict, outcome.methods), outcome, undo, out)
        return
    drawn = rendering.curve(outcome.search, outcome.trials)
    print(*rendering.table(outcome.trials, outcome.search), "", *drawn, "", sep="\n", file=out)
    print(f"{verdict.kind}: {verdict.text}", file=out)
    print(*(f"  {line}" for line in (*_energy(outcome), *verdict.cautions, *outcome.cautions)), sep="\n", file=out)
    if undo:
        print(f"{verdict.setting} {outcome.search.unit} is set and stays. To undo it:", *undo, sep="\n  ", file=out)
    else:
        print("Everything was put back.", file=out)


def restored(lines: Sequence[str], out: TextIO) -> None:
    """What became of that which killed tuners had left, as JSON."""
    print(json_.dumps({"restored": list(lines)}, indent=1), file=out)


def _print_json(document: dict[str, object], outcome: Outcome, undo: Sequence[str], out: TextIO) -> None:
    whole = {**document, "cautions": list(outcome.cautions), "undo": list(undo)}
    print(json_.dumps(whole, indent=1), file=out)


def _energy(outcome: Outcome) -> Sequence[str]:
    other = [method for method in outcome.methods if method != "measured"]
    return [f"The energy is {' and '.join(other)}, not measured."] if other else []
