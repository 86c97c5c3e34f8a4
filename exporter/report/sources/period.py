"""The questions that are asked about a period, and how each exporter stood: what `incarnations.py` makes growth of."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.domain.errors import ReportError
from exporter.metrics.catalogue import itself
from exporter.report.sources.incarnations import Incarnation, with_unsettled
from exporter.report.sources.queries import Api, Found, exactly, instant, selector, span
from exporter.report.sources.series import COUNTERS, LABELS, Series, Values, series_of, target_of

LOOKBACK_SECONDS = 300.0
"""How old a sample may be and still say how things stood; Prometheus' own default."""
_MOST_RESTARTS = 200
_STEPS = 5000
_BEGAN, _MADE = Series(itself.BOOKS_START.name, ()), Series(itself.SNAPSHOT_TIME.name, ())
_FIRST = sorted({*COUNTERS, itself.SNAPSHOT_TIME.name})

Target = frozenset[tuple[str, str]]
Stood = dict[Target, Values]
"""Where the books of exporters stood."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """One target in the period.

    Attributes:
        incarnations: of its books.
        first, latest: between which instants it is known, by its own clock.
        late: whether its books are older than the period, and it is known only from some time within.
        missed: whether it began new books more often than can be told apart.
    """

    target: Target
    incarnations: Sequence[Incarnation]
    first: float
    latest: float
    late: bool
    missed: bool

    @property
    def began(self) -> float | None:
        """When its latest books began; None where it does not say."""
        return self.incarnations[-1].last.get(_BEGAN)


@dataclass(slots=True)
class Period:
    """A period, and who is asked about it.

    Attributes:
        matchers: which exporters, as label matchers without braces; all of them where this is empty.
    """

    api: Api
    begin: float
    end: float
    matchers: str
    _missed: set[Target] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.begin

    def exporters(self) -> Iterator[Exporter]:
        """Every exporter that was seen.

        Raises:
            ReportError: none was; or too much happened to be told.
        """
        last = _by_target(self.api.query(f"last_over_time({self._all()}[{span(self.seconds)}])", self.end))
        base = _by_target(self.api.query(f"last_over_time({self._all()}[{span(LOOKBACK_SECONDS)}])", self.begin))
        begun = self._begun(last, base)
        stood = self._stood(begun)
        late = {one for one in last.keys() - base.keys() if not self._young(begun.get(one), last[one])}
        first = self._first(late, begun)
        for target, values in last.items():
            before = first.get(target, {}) if target in late else base.get(target, {})
            parts = stood.get(target, [values])
            incarnations = [Incarnation({} if number else before, part) for number, part in enumerate(parts)]
            yield Exporter(
                target=target,
                incarnations=incarnations,
                first=before.get(_MADE, self.begin) if target in late else self.begin,
                latest=values.get(_MADE, self.end),
                late=target in late,
                missed=target in self._missed,
            )

    def _all(self, *more: str) -> str:
        return selector(LABELS, self.matchers, *more)

    def _young(self, begun: Sequence[float] | None, values: Values) -> bool:
        """Whether its first books began within the period: at zero."""
        began = begun[0] if begun else values.get(_BEGAN)
        return began is not None and began >= self.begin

    # --- new books ---------------------------------------------------------------------------------------------------

    def _begun(self, last: Stood, base: Stood) -> dict[Target, list[float]]:
        """When the books of those began that had several, in order."""
        began = selector([_BEGAN.name], self.matchers)
        changes = self.api.query(f"changes({began}[{span(self.seconds)}]) > 0", self.end)
        changed = {target_of(_BEGAN.name, one.labels): round(one.value) for one in changes}
        other = {one for one in last.keys() & base.keys() if base[one].get(_BEGAN) != last[one].get(_BEGAN)}
        several = (changed.keys() & last.keys()) | other
        if not several:
            return {}
        values: dict[Target, set[float]] = defaultdict(set)
        for one in self.api.over(began, self.begin, self.end, max(self.seconds / _STEPS, 1.0)):
            values[target_of(_BEGAN.name, one.labels)] |= {value for _, value in one.values}
        for target in several:
            values[target] |= {one[target][_BEGAN] for one in (base, last) if _BEGAN in one.get(target, {})}
            if len(values[target]) <= changed.get(target, 0):
                self._missed.add(target)
        return {target: sorted(values[target]) for target in several if len(values[target]) > 1}

    def _stood(self, begun: Mapping[Target, Sequence[float]]) -> dict[Target, list[Values]]:
        """Where each of the books of those that had several stood when they were last seen."""
        asked = [
            (target, f"last_over_time({self._all(exactly(target))}[{span(until - since)}] @ {instant(until)})")
            for target, instants in begun.items()
            for since, until in self._stretches(instants)
        ]
        if len(asked) - len(begun) > _MOST_RESTARTS:
            raise ReportError(
                f"exporters began new books {len(asked) - len(begun)} times in this period, too often to be told: "
                "choose a shorter period or fewer exporters, and give exporters a state_dir"
            )
        found: dict[Target, list[Values]] = defaultdict(list)
        for (target, _), answer in zip(asked, self._each([term for _, term in asked]), strict=True):
            found[target].append(_by_target(answer).get(target, {}))
        for target, parts in found.items():
            if any(part.get(_BEGAN, one) != one for part, one in zip(parts, begun[target], strict=True)):
                self._missed.add(target)
        return found

    def _stretches(self, begun: Sequence[float]) -> Iterator[tuple[float, float]]:
        """Between which instants each of these books can have been seen."""
        for since, until in zip(begun, [*begun[1:], self.end], strict=True):
            yield max(since, self.begin - LOOKBACK_SECONDS), max(until, self.begin)

    # --- first samples -----------------------------------------------------------------------------------------------

    def _first(self, late: set[Target], begun: Mapping[Target, Sequence[float]]) -> Stood:
        """Where those stood at their first sample in the period. A counter's first value is its least."""
        asked = [("", self.end)] if late - begun.keys() else []
        asked += [(exactly(one), begun[one][1]) for one in late if one in begun]
        terms = [
            (name, f"min_over_time({selector([name], self.matchers, place)}{when})")
            for place, until in asked
            for when in [f"[{span(until - self.begin)}] @ {instant(until)}"]
            for name in _FIRST
        ]
        answers = zip(terms, self._each([term for _, term in terms]), strict=True)
        found = (Found({**one.labels, "__name__": name}, one.values) for (name, _), answer in answers for one in answer)
        stood = _by_target(found)
        return {target: with_unsettled(stood.get(target, {})) for target in late}

    def _each(self, terms: Sequence[str]) -> Sequence[Sequence[Found]]:
        """The answer to each of these terms, in one query."""
        if not terms:
            return []
        marked = (
            f'label_replace({term}, "report_term", "{number}", "__name__", ".*")' for number, term in enumerate(terms)
        )
        answers: list[list[Found]] = [[] for _ in terms]
        for one in self.api.query(" or ".join(marked), self.end):
            labels = {name: value for name, value in one.labels.items() if name != "report_term"}
            answers[int(one.labels["report_term"])].append(Found(labels, one.values))
        return answers


def _by_target(found: Iterable[Found]) -> Stood:
    stood: dict[Target, dict[Series, float]] = defaultdict(dict)
    for one in found:
        name = one.labels["__name__"]
        stood[target_of(name, one.labels)][series_of(name, one.labels)] = one.value
    return dict(stood)
