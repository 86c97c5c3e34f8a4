"""How some exporters stood in a period, with all they have: what `incarnations.py` makes growth of.

Theory of operation. To look back over a whole period for how something stood last makes Prometheus read every sample
in it; to look back five minutes from its end finds the same, nearly always. So what is near is asked for first: near
the end, near the last sign of an exporter that went, near the beginning of the next books. What is found by looking
back from there is the last by that; around a last sign, it must be of that very instant. Then what was found is held
against the few series that are known of the whole period: where one of them is not there, a device or a model went
before its exporter did, and this exporter is asked for the whole after all.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from exporter.metrics.catalogue import itself
from exporter.report.sources.groups import groups
from exporter.report.sources.incarnations import Incarnation, with_unsettled
from exporter.report.sources.period import BEGAN, LOOKBACK_SECONDS, MADE, TELLING, Exporter, Period, stood_of
from exporter.report.sources.queries import Found, exactly, instant, span
from exporter.report.sources.series import COUNTERS, LABELS, Stood, Target, Values

_FIRST = sorted({*COUNTERS, itself.SNAPSHOT_TIME.name})
_MOST_TERMS = 40
"""In one query: Prometheus holds each against all before it."""
_NOTHING: Values = {}


class Standing(NamedTuple):
    """All of one exporter. `missed`: it had other books than were thought."""

    incarnations: Sequence[Incarnation]
    missed: bool


class _Stretch(NamedTuple):
    """When some books of an exporter can have been seen. `made`: when they were last; None where not known."""

    target: Target
    since: float
    until: float
    made: float | None = None

    @property
    def near(self) -> "_Stretch":
        """The part in which their last is looked for first."""
        if self.made is None:
            return self._replace(since=max(self.since, self.until - LOOKBACK_SECONDS))
        since, until = self.made - LOOKBACK_SECONDS, self.made + LOOKBACK_SECONDS
        return self._replace(since=max(self.since, since), until=max(min(self.until, until), self.since))

    def holds(self, values: Values) -> bool:
        """Whether these, found in the near part, are the last of all."""
        return bool(values) and self.made in {None, values.get(MADE)}


def standing(period: Period, exporters: Sequence[Exporter], those: str) -> Mapping[Target, Standing]:
    """How a group of exporters stood. Asks some times for the whole group, more often only for those that went.

    Args:
        period: of which they are.
        exporters: the group.
        those: matchers that find it.

    Raises:
        ReportError: nobody answers.
    """
    base = _before(period, exporters, those)
    lasts = _lasts(period, exporters, _looking_back(period, those, period.end))
    return {
        one.target: Standing(
            [Incarnation({} if number else base.get(one.target, {}), part) for number, part in enumerate(parts)],
            missed=any(part.get(BEGAN, at) != at for part, at in zip(parts, one.begun, strict=False)),
        )
        for one, parts in zip(exporters, lasts, strict=True)
    }


def _looking_back(period: Period, those: str, at: float) -> Stood:
    term = f"last_over_time({period.series(LABELS, those)}[{span(LOOKBACK_SECONDS)}])"
    return stood_of(period.api.query(term, at))


# --- before ----------------------------------------------------------------------------------------------------------


def _before(period: Period, exporters: Sequence[Exporter], those: str) -> Stood:
    """Where they stood when the period began; those that were seen later, at their first sample."""
    first = _first(period, [one for one in exporters if one.late])
    if all(one.late or one.young for one in exporters):
        return first
    found = _looking_back(period, those, period.begin)
    return {**{one.target: found.get(one.target, _NOTHING) for one in exporters if not one.young}, **first}


def _first(period: Period, late: Sequence[Exporter]) -> Stood:
    """A counter's first value is its least."""
    asked = [(those, period.end) for _, those in groups((one.target for one in late if not one.begun), len(late))]
    asked += [(exactly(one.target), one.begun[1]) for one in late if one.begun]
    terms = [
        (name, f"min_over_time({period.series([name], which)}[{span(until - period.begin)}] @ {instant(until)})")
        for which, until in asked
        for name in _FIRST
    ]
    answers = zip(terms, _each(period, [term for _, term in terms]), strict=True)
    found = (Found({**one.labels, "__name__": name}, one.values) for (name, _), answer in answers for one in answer)
    stood = stood_of(found)
    return {one.target: with_unsettled(stood.get(one.target, {})) for one in late}


# --- last ------------------------------------------------------------------------------------------------------------


def _lasts(period: Period, exporters: Sequence[Exporter], end: Stood) -> list[list[Values]]:
    """Of each exporter, where each of its books stood when they were last seen."""
    stretches = [_stretches(period, one, there=one.target in end) for one in exporters]
    parts = _in_turn(stretches, _found(period, [each for some in stretches for each in some]))
    for one, known in zip(exporters, parts, strict=True):
        known.extend([end[one.target]] if one.target in end else [])
    gone = [number for number, one in enumerate(exporters) if _lacks(one, parts[number])]
    whole = [_stretches(period, exporters[number], there=False) for number in gone]
    asked = _in_turn(whole, _asked(period, [each for some in whole for each in some]))
    for number, some in zip(gone, asked, strict=True):
        parts[number] = some
    return parts


def _stretches(period: Period, one: Exporter, *, there: bool) -> list[_Stretch]:
    """Of all its books; of those at the end only where it is not there then."""
    begun = one.begun or (period.begin,)
    made = one.known.get(MADE)
    some = [
        _Stretch(one.target, max(since, period.begin - LOOKBACK_SECONDS), max(until, period.begin))
        for since, until in pairwise(begun)
    ]
    last = _Stretch(one.target, max(begun[-1], period.begin - LOOKBACK_SECONDS), period.end, made)
    return some if there else [*some, last]


def _lacks(one: Exporter, parts: Sequence[Values]) -> bool:
    """Whether something that was seen of it within the period is in none of these."""
    told = (series for series in one.known if series.name in TELLING)
    return not all(any(series in part for part in parts) for series in told)


def _found(period: Period, stretches: Sequence[_Stretch]) -> list[Values]:
    """The last of each, looked for nearby first."""
    found = _asked(period, [one.near for one in stretches])
    far = [number for number, one in enumerate(stretches) if not one.holds(found[number])]
    for number, values in zip(far, _asked(period, [stretches[number] for number in far]), strict=True):
        found[number] = values
    return found


def _asked(period: Period, stretches: Sequence[_Stretch]) -> list[Values]:
    terms = [
        f"last_over_time({period.series(LABELS, exactly(one.target))}[{span(one.until - one.since)}] "
        f"@ {instant(one.until)})"
        for one in stretches
    ]
    answers = zip(stretches, _each(period, terms), strict=True)
    return [stood_of(answer).get(one.target, _NOTHING) for one, answer in answers]


def _in_turn(shape: Sequence[Sequence[_Stretch]], flat: Sequence[Values]) -> list[list[Values]]:
    """As many to each as it has stretches."""
    rest = iter(flat)
    return [[next(rest) for _ in some] for some in shape]


def _each(period: Period, terms: Sequence[str]) -> list[list[Found]]:
    """The answer to each of these terms, many in a query."""
    answers: list[list[Found]] = [[] for _ in terms]
    for begin in range(0, len(terms), _MOST_TERMS):
        marked = (
            f'label_replace({term}, "report_term", "{number}", "__name__", ".*")'
            for number, term in enumerate(terms[begin : begin + _MOST_TERMS], begin)
        )
        for one in period.api.query(" or ".join(marked), period.end):
            labels = {name: value for name, value in one.labels.items() if name != "report_term"}
            answers[int(one.labels["report_term"])].append(Found(labels, one.values))
    return answers
