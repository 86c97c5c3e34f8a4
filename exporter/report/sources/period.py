"""Who was there in a period, told by a few series of each exporter: before any of them is asked for all it has."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.domain.errors import ReportError
from exporter.metrics.catalogue import energy, itself, requests
from exporter.report.sources.groups import groups
from exporter.report.sources.queries import Api, Found, selector, span
from exporter.report.sources.series import Series, Stood, Target, series_of, target_of

LOOKBACK_SECONDS = 300.0
"""How old a sample may be and still say how things stood; Prometheus' own default."""
BEGAN, MADE = Series(itself.BOOKS_START.name, ()), Series(itself.SNAPSHOT_TIME.name, ())
TELLING = (energy.DEVICE_ENERGY.name, requests.REQUESTS.name, f"{requests.REQUEST_ENERGY.name}_sum")
"""Where a device, a server, a model or a method is gone, a series of one of these names is gone."""
_STEPS = 5000
_MOST_POINTS = 2_000_000
"""In one answer over time; Prometheus holds three times as many then, and 50 million are what it allows."""
_MOST_RESTARTS = 20_000
_ROLL = (*TELLING, BEGAN.name, MADE.name)


@dataclass(frozen=True, slots=True)
class Exporter:
    """One target in the period.

    Attributes:
        begun: when its books began that were there in the period, in order; empty where it had only one kind.
        known: the few series by which it is told who was there, at any time in the period, and their last values.
        first, latest: between which instants it is known, by its own clock.
        late: whether its books are older than the period, and it is known only from some time within.
        young: whether its first books began within the period: at zero.
        missed: whether it began new books more often than can be told apart.
    """

    target: Target
    begun: tuple[float, ...]
    known: Mapping[Series, float]
    first: float
    latest: float
    late: bool
    young: bool
    missed: bool

    @property
    def began(self) -> float | None:
        """When its latest books began; None where it does not say."""
        return self.known.get(BEGAN)


@dataclass(frozen=True, slots=True)
class Period:
    """A period, and who is asked about it.

    Attributes:
        matchers: which exporters, as label matchers without braces; all of them where this is empty.
    """

    api: Api
    begin: float
    end: float
    matchers: str

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.begin

    def series(self, names: Iterable[str], *more: str) -> str:
        """A selector of these names among these exporters."""
        return selector(names, self.matchers, *more)

    def exporters(self) -> list[Exporter]:
        """Every exporter that was seen, in no order.

        Raises:
            ReportError: nobody answers, or too much happened to be told.
        """
        last = stood_of(self.api.query(f"last_over_time({self.series(_ROLL)}[{span(self.seconds)}])", self.end))
        base = stood_of(self.api.query(f"last_over_time({self.series(_ROLL)}[{span(LOOKBACK_SECONDS)}])", self.begin))
        changed = self._changed()
        begun = self._begun(last, base, changed)
        fresh = last.keys() - base.keys()
        young = {one for one in fresh if min((*begun.get(one, ()), last[one].get(BEGAN, 0.0))) >= self.begin}
        first = self._first(fresh - young)
        return [
            Exporter(
                target=target,
                begun=begun[target] if len(begun.get(target, ())) > 1 else (),
                known=known,
                first=first.get(target, self.begin),
                latest=known.get(MADE, self.end),
                late=target in fresh - young,
                young=target in young,
                missed=target in begun and len(begun[target]) <= changed.get(target, 0),
            )
            for target, known in last.items()
        ]

    def _changed(self) -> Mapping[Target, int]:
        """How often those began new books that did."""
        changes = self.api.query(f"changes({self.series([BEGAN.name])}[{span(self.seconds)}]) > 0", self.end)
        return {target_of(BEGAN.name, one.labels): round(one.value) for one in changes}

    def _begun(self, last: Stood, base: Stood, changed: Mapping[Target, int]) -> Mapping[Target, tuple[float, ...]]:
        """When the books of those began that had several, in order."""
        other = {one for one in last.keys() & base.keys() if base[one].get(BEGAN) != last[one].get(BEGAN)}
        several = (changed.keys() & last.keys()) | other
        values: dict[Target, set[float]] = defaultdict(set)
        for one in self._beginnings(several):
            values[target_of(BEGAN.name, one.labels)] |= {value for _, value in one.values}
        for target in several:
            values[target] |= {one[target][BEGAN] for one in (base, last) if BEGAN in one.get(target, {})}
        times = sum(len(values[target]) - 1 for target in several)
        if times > _MOST_RESTARTS:
            raise ReportError(
                f"exporters began new books {times} times in this period, too often to be told: choose a shorter "
                "period or fewer exporters, and give exporters a state_dir"
            )
        return {target: tuple(sorted(values[target])) for target in several}

    def _beginnings(self, targets: Iterable[Target]) -> Iterator[Found]:
        """When books began, at each step at which that was something else than a step before."""
        step = max(self.seconds / _STEPS, 1.0)
        for _, those in groups(targets, _MOST_POINTS // _STEPS):
            began = self.series([BEGAN.name], those)
            fresh = f"{began} unless ({began} == ({began} offset {span(step)}))"
            yield from self.api.over(fresh, self.begin, self.end, step)

    def _first(self, late: Iterable[Target]) -> Mapping[Target, float]:
        """When those were seen first that were not there at the beginning."""
        found: dict[Target, float] = {}
        for _, those in groups(late, _MOST_POINTS // _STEPS):
            made = f"min_over_time({self.series([MADE.name], those)}[{span(self.seconds)}])"
            found |= {target_of(MADE.name, one.labels): one.value for one in self.api.query(made, self.end)}
        return found


def stood_of(found: Iterable[Found]) -> Stood:
    """Where everybody's series stood, as they were found with their names. What is equal is kept once."""
    stood: dict[Target, dict[Series, float]] = {}
    alike: dict[Series, Series] = {}
    for one in found:
        name = one.labels["__name__"]
        series = series_of(name, one.labels)
        stood.setdefault(target_of(name, one.labels), {})[alike.setdefault(series, series)] = one.value
    return stood
