"""What the trials amount to: a recommendation, or that there is nothing to recommend, and how sure that is. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Literal

from exporter.tune.curve import Change
from exporter.tune.search import WORTHWHILE, Search, Standing
from exporter.tune.trial import Trial

Kind = Literal["recommend", "no gain", "infeasible", "not enough load"]

_BINDING_SHARE = 0.9
"""A power limit that is drawn to less than this, on average, hardly binds."""

_STRETCH = 1.15
"""A spread of the default's cost over the trials, highest over lowest, beyond which the load is called drifting."""


@dataclass(frozen=True, slots=True)
class Share:
    """A relative change with the interval that holds it with a probability of 95 %; 0.1 is a tenth."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % (95 % interval {100 * self.low:.1f} to {100 * self.high:.1f} %)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it.

    Attributes:
        kind: in a word. text: in a sentence or two.
        setting: recommended; None where none is. best: what the curve has as cheapest, recommended or not.
        saving: of joules per output token at `best`, against the default. slower: latency there likewise.
        cautions: what to bear in mind, a sentence each.
    """

    kind: Kind
    text: str
    setting: int | None = None
    best: int | None = None
    saving: Share | None = None
    slower: Share | None = None
    cautions: Sequence[str] = field(default_factory=tuple)


def judge(search: Search, trials: Sequence[Trial], least_requests: int) -> Verdict:
    """The verdict.

    Args:
        search: what was searched.
        trials: what was measured.
        least_requests: with fewer than these a trial says nothing.
    """
    thin = _too_thin(trials, least_requests)
    if thin:
        return Verdict("not enough load", thin)
    standing, last = Standing(search, trials), len(search.settings) - 1
    best = standing.best()
    cautions: Sequence[str] = tuple(_cautions(search, trials))
    if best is None:
        return Verdict("infeasible", _infeasible(search, trials), cautions=cautions)
    cost, latency = standing.cost, standing.latency
    assert cost is not None, "enough load has joules and tokens"
    assert latency is not None, "what meets an objective has a latency"
    setting = search.settings[best]
    saving, slower = _saving(cost.change(best, last)), _slower(latency.change(best, last))
    if best == last or saving.low <= 0.0 or saving.value < WORTHWHILE:
        return Verdict("no gain", _no_gain(search, trials, saving), None, setting, saving, slower, cautions)
    if setting not in {one.setting for one in trials}:
        cautions = (
            f"{_named(search, setting)} itself was not measured: the curve between its neighbours has it.",
            *cautions,
        )
    text = f"{_named(search, setting)} instead of {_named(search, search.default)} saves {saving} of joules per token"
    return Verdict("recommend", f"{text}; latency rises by {slower}.", setting, setting, saving, slower, cautions)


def _too_thin(trials: Sequence[Trial], least_requests: int) -> str:
    """Why the load was not enough; empty where it was."""
    if not trials:
        return "Nothing was measured."
    base = trials[0]
    if base.requests < least_requests:
        return (
            f"Only {base.requests} requests settled in {base.seconds:.0f} s at the default, fewer than "
            f"{least_requests}: measure longer (--seconds), when there is more to do, or bring a load (--load)."
        )
    if not base.output_tokens or base.joules <= 0.0:
        missing = "output tokens" if not base.output_tokens else "energy"
        return (
            f"{base.requests} requests settled at the default and nobody told of their {missing}: "
            "`llm-energy-exporter doctor` says what the source lacks."
        )
    return ""


def _infeasible(search: Search, trials: Sequence[Trial]) -> str:
    told = [(one.latency_seconds, one.setting) for one in trials if one.latency_seconds is not None]
    if not told:
        return f"No trial could tell the latency: {search.objective} cannot be judged."
    seconds, setting = min(told)
    return (
        f"No setting meets the objective, {search.objective}: the best that was measured is {seconds:.3g} s at "
        f"{_named(search, setting)}. Nothing is recommended."
    )


def _no_gain(search: Search, trials: Sequence[Trial], saving: Share) -> str:
    tried = len({one.setting for one in trials})
    if tried == 1 and len(search.settings) > 1:
        return "Only the default was measured: nothing was compared."
    if saving.value < WORTHWHILE:
        text = f"Of {tried} settings none saves {100 * WORTHWHILE:g} % or more within the objective"
    else:
        text = f"The best of {tried} settings saves {saving}, which may be nothing"
    return f"{text}. Stay at {_named(search, search.default)}.{_unbound(search, trials)}"


def _unbound(search: Search, trials: Sequence[Trial]) -> str:
    """That limits did not bind, where so."""
    if search.unit != "W":
        return ""
    drawn = max(one.watts for one in trials if one.setting == search.default)
    free = [one.setting for one in trials if one.watts < _BINDING_SHARE * one.setting]
    if not free or drawn > _BINDING_SHARE * search.default:
        return ""
    text = f" At the default it draws {drawn:.0f} W on average, so limits down to {min(free)} W did not bind"
    return text + ": decode seldom reaches its cap. Locked clocks act there: try --knob clocks."


def _cautions(search: Search, trials: Sequence[Trial]) -> Iterator[str]:
    unsteady = sum(not one.steady for one in trials)
    if unsteady:
        yield f"{unsteady} of {len(trials)} trials never became steady: they count for less, and intervals are wider."
    base = [one.joules_per_token for one in trials if one.setting == search.default]
    costs = [cost for cost in base if cost]
    if len(costs) > 1 and max(costs) > _STRETCH * min(costs):
        yield (
            f"The load drifted: the default cost {min(costs):.3g} to {max(costs):.3g} J a token while it was repeated. "
            "Settings are held against the default of about the same time."
        )
    yield "Measured on this load: another mix, batch or model may have its optimum elsewhere."


def _named(search: Search, setting: int) -> str:
    return f"{setting} {search.unit}" + (" (the default)" if setting == search.default else "")


def _saving(change: Change) -> Share:
    low, high = change.interval()
    return Share(1.0 - exp(change.mean), 1.0 - exp(high), 1.0 - exp(low))


def _slower(change: Change) -> Share:
    low, high = change.interval()
    return Share(exp(change.mean) - 1.0, exp(low) - 1.0, exp(high) - 1.0)
