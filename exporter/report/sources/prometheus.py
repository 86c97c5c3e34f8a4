"""A Prometheus, asked what exporters booked in a period.

How counters become joules stands in `incarnations.py`. First a few series of every exporter tell who was there, and who
began new books when (`period.py`). Then exporters are asked for all they have, a group at a time and several groups at
once: how they stood at both edges, and how those stood that came, went or began anew in between (`standing.py`). So no
answer grows with the fleet but the first few, and nothing but a few series is read over the whole period.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from exporter.domain.errors import ReportError
from exporter.metrics.catalogue import budgets, itself
from exporter.report.account import Account, DeviceBook, Usage
from exporter.report.sources.booked import books_on, usages_on
from exporter.report.sources.cautions import cautions_on, named
from exporter.report.sources.groups import groups
from exporter.report.sources.incarnations import grown
from exporter.report.sources.period import LOOKBACK_SECONDS, Exporter, Period
from exporter.report.sources.queries import Api, selector
from exporter.report.sources.series import Page, Target
from exporter.report.sources.standing import Standing, standing
from exporter.web import OPEN, Access, Web

_JOULES_PER_KWH = 3.6e6
_TWICE_SECONDS = 1e-3
_GROUP = 200
"""So many exporters are asked about at a time: some 5 MB an answer. Prometheus is given few questions at once."""
_AT_ONCE = 3
_BRACES = re.compile(r",?\s*\}\s*,\s*\{")


def account(  # noqa: PLR0913 - who is asked, what, and how; each has a plain default
    url: str,
    begin: float,
    end: float,
    *,
    matchers: str = "",
    access: Access = OPEN,
    name: str = "",
    watch: Callable[[float], None] = lambda _: None,
) -> Account:
    """What was booked in a period, by all exporters that this Prometheus scrapes.

    Args:
        url: of the Prometheus (`http://prometheus:9090`), or of whatever speaks its HTTP API under this prefix.
        begin: of the period, in Unix seconds.
        end: of the period, likewise.
        matchers: which exporters: label matchers, with braces or without (`namespace="x",cluster=~"a|b"`).
        access: how to be let in.
        name: of the account; the URL without one.
        watch: told which part of the exporters has been asked.

    Raises:
        ReportError: it cannot be asked, or knows no such metrics, or none in this period.
        UsageError: the URL is none.
    """
    if not begin < end:
        raise ReportError(f"the period from {_day(begin)} to {_day(end)} has no length")
    chosen = _BRACES.sub(",", matchers).strip(" {},")
    period = Period(Api(Web(url, access)), begin, end, chosen)
    seen = period.exporters()
    if not seen:
        raise ReportError(_nothing(period))
    alone = _once(seen)
    places = _places([one.target for one in alone])
    pages = [each for some in _pages(period, alone, places, watch) for each in some]
    books = tuple(book for page in pages for book in page.books)
    usages = tuple(usage for page in pages for usage in page.usages)
    missed = {one.target for one in alone if one.missed} | {page.target for page in pages if page.missed}
    intensity = _agreed(page.intensity for page in pages)
    where = f"Prometheus at {period.api.web.url}"
    return Account(
        name=name or period.api.web.url,
        origin=f"{where}, {{{chosen}}}" if chosen else where,
        begin=begin,
        end=end,
        books=books,
        usages=usages,
        intensity_grams_per_kwh=None if intensity is None else intensity * _JOULES_PER_KWH,
        pue=_agreed(page.pue for page in pages),
        cautions=(
            *_known(alone, places, period),
            *_missed(missed, places),
            *_doubled(len(seen) - len(alone)),
            *_different(pages),
            *(f"Prometheus warns: {warning:.200}." for warning in period.api.warnings),
            *cautions_on(books, usages),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What one exporter's page comes to."""

    target: Target
    books: tuple[DeviceBook, ...]
    usages: tuple[Usage, ...]
    intensity: float | None
    pue: float | None
    missed: bool


def _pages(
    period: Period, alone: Sequence[Exporter], places: Mapping[Target, str], watch: Callable[[float], None]
) -> Iterator[list[_Told]]:
    """What each exporter tells, some exporters at a time: while one answer is read the next ones are made."""
    by_target = {one.target: one for one in alone}
    some = list(groups(by_target, _GROUP))

    def told(group: tuple[Sequence[Target], str]) -> list[_Told]:
        targets, those = group
        stood = standing(period, [by_target[target] for target in targets], those)
        return [_told(target, places[target], one) for target, one in stood.items()]

    with ThreadPoolExecutor(min(_AT_ONCE, len(some))) as pool:
        for number, pages in enumerate(pool.map(told, some), 1):
            watch(number / len(some))
            yield pages


def _told(target: Target, place: str, stood: Standing) -> _Told:
    page = Page(place, grown(stood.incarnations))
    intensity, pue = page.latest(budgets.CARBON_INTENSITY), page.latest(budgets.PUE)
    return _Told(target, tuple(books_on(page)), tuple(usages_on(page)), intensity, pue, stood.missed)


# --- who is who ------------------------------------------------------------------------------------------------------


def _once(seen: Sequence[Exporter]) -> list[Exporter]:
    """Every exporter once: the same books, known at the same time under two names, are scraped twice."""
    alone: list[Exporter] = []
    by_begin: dict[int, list[Exporter]] = {}
    for one in sorted(seen, key=lambda each: (each.first, -each.latest, sorted(each.target))):
        at = -1 if one.began is None else round(one.began / _TWICE_SECONDS)
        if not any(_same(one, other) for near in (at - 1, at, at + 1) for other in by_begin.get(near, ())):
            alone.append(one)
            by_begin.setdefault(at, []).append(one)
    return alone


def _same(one: Exporter, other: Exporter) -> bool:
    if one.began is None or other.began is None or abs(one.began - other.began) > _TWICE_SECONDS:
        return False
    return one.first < other.latest and other.first < one.latest


def _places(targets: Sequence[Target]) -> Mapping[Target, str]:
    """What to call exporters: the instance, and where that is not enough all that is not common to all."""
    instances = Counter(dict(target).get("instance", "") for target in targets)
    common = frozenset.intersection(*targets)
    return {
        target: instance
        if (instance := dict(target).get("instance", "")) and instances[instance] == 1
        else ", ".join(f"{label}={value}" for label, value in sorted(target - common))
        for target in targets
    }


# --- what must be known ----------------------------------------------------------------------------------------------


def _known(seen: Sequence[Exporter], places: Mapping[Target, str], period: Period) -> Iterator[str]:
    late = {one.target: one.first for one in seen if one.late}
    early = {one.target: one.latest for one in seen if one.latest < period.end - LOOKBACK_SECONDS}
    if late:
        yield (
            f"{_named(late, places)}: known only from {_day(max(late.values()))} on; what was booked before that, in "
            "books that began before this period, is missing."
        )
    if early:
        yield f"{_named(early, places)}: not known after {_day(min(early.values()))}."


def _missed(targets: Collection[Target], places: Mapping[Target, str]) -> Iterator[str]:
    if targets:
        yield f"{_named(list(targets), places)}: began new books so often or so fast that some of them were missed."


def _named(targets: Mapping[Target, float] | Sequence[Target], places: Mapping[Target, str]) -> str:
    return named(places[target] or "the exporter" for target in targets)


def _doubled(count: int) -> Iterator[str]:
    if count:
        yield f"Prometheus knows {count} exporter{'s' if count > 1 else ''} under two names; each is counted once."


def _different(pages: Sequence[_Told]) -> Iterator[str]:
    told = {"intensities of the grid": [page.intensity for page in pages], "PUEs": [page.pue for page in pages]}
    for words, values in told.items():
        if len({*values} - {None}) > 1:
            yield f"Exporters are configured with different {words}: none of them is used for all."


def _agreed(values: Iterable[float | None]) -> float | None:
    """What all exporters say that say anything; None where they differ."""
    told = {value for value in values if value is not None}
    return told.pop() if len(told) == 1 else None


def _nothing(period: Period) -> str:
    """Why nothing was found, as far as one more question tells."""
    where, when = f"Prometheus at {period.api.web.url}", f"from {_day(period.begin)} to {_day(period.end)}"
    known = period.api.query(f"last_over_time({selector([itself.BUILD.name])}[30d])", period.end)
    if not known:
        return (
            f"{where} has no metrics of llm-energy-exporter, {when} or in 30 days before: does it scrape an exporter?"
        )
    places = named({one.labels.get("instance", "?") for one in known})
    which = f"that fit {{{period.matchers}}}, " if period.matchers else ""
    return f"{where} has no metrics of exporters {which}{when}; it knows {places}: other matchers, another period?"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
