"""What a page says was booked. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, TypeVar, cast, get_args

from exporter.domain.errors import ReportError
from exporter.domain.events import Outcome
from exporter.domain.readings import Device, DeviceKind, Method
from exporter.domain.snapshot import Direction, HistogramValue, Share
from exporter.metrics.catalogue import energy, requests
from exporter.metrics.catalogue.family import Family
from exporter.report.account import DeviceBook, Usage
from exporter.report.sources.series import Page

_KINDS, _METHODS = get_args(DeviceKind), get_args(Method)
_SHARES, _OUTCOMES, _DIRECTIONS = get_args(Share), get_args(Outcome), get_args(Direction)
_KINDS_OF: Mapping[str, Sequence[str]] = {"nvml": ("gpu",), "rapl": ("cpu", "dram"), "cpu": ("cpu",)}
"""What a power source meters: for pages that do not say how a device is metered."""

_Label = TypeVar("_Label", bound=str)
_Labels = Mapping[str, str]
Spent = tuple[HistogramValue, HistogramValue | None]
"""Energy of requests, and of each of their output tokens."""


# --- books -----------------------------------------------------------------------------------------------------------


def books_on(page: Page) -> Iterator[DeviceBook]:
    """The books of every device that was metered.

    Raises:
        ReportError: the page holds a device that none of ours can.
    """
    methods = {labels["device"]: labels["method"] for labels, _ in page.of(energy.DEVICE.name)}
    booked: dict[str, dict[Share, float]] = defaultdict(lambda: dict.fromkeys(_SHARES, 0.0))
    for labels, joules in page.of(energy.ENERGY.name):
        booked[labels["device"]][_one_of(_SHARES, labels["share"], page)] += joules
    unsettled = {labels["device"]: joules for labels, joules in page.of(energy.ENERGY_UNSETTLED.name)}
    for labels, metered in page.of(energy.DEVICE_ENERGY.name):
        name, kind = labels["device"], _one_of(_KINDS, labels["kind"], page)
        method = _one_of(_METHODS, methods.get(name) or _method_by_source(page, kind), page)
        yield DeviceBook(
            device=Device(name, kind, uuid=labels["uuid"], model=labels["name"], method=method),
            place=page.place,
            metered_joules=metered,
            booked=booked[name],
            unsettled_joules=unsettled.get(name, 0.0),
        )


def _method_by_source(page: Page, kind: DeviceKind) -> str:
    """How devices of a kind are metered, as far as the power sources tell; what is in doubt is called an estimate."""
    sources = [labels for labels, _ in page.of(energy.POWER_SOURCE.name)]
    methods = {one["method"] for one in sources if kind in _KINDS_OF.get(one["source"], _KINDS)}
    return methods.pop() if len(methods) == 1 else "estimated"


def _one_of(known: Sequence[_Label], told: str, page: Page) -> _Label:
    if told not in known:
        raise ReportError(
            f"{page.place or 'the page'} says {told!r:.40}, which this version does not know: "
            "is it a page of llm-energy-exporter, and of no newer version?"
        )
    return cast("_Label", told)


# --- usages ----------------------------------------------------------------------------------------------------------


def usages_on(page: Page) -> Iterator[Usage]:
    """What every model on every server used; those that used nothing in the period are left out."""
    counts = _counted(page, requests.REQUESTS, "outcome", _OUTCOMES)
    tokens = _counted(page, requests.TOKENS, "direction", _DIRECTIONS)
    duration, first_token = (
        _histograms(page, family) for family in (requests.REQUEST_DURATION, requests.REQUEST_TIME_TO_FIRST_TOKEN)
    )
    spent = _spent(page)
    for server, model in sorted({*counts, *tokens, *spent, *duration}):
        key = (server, model)
        yield from by_methods(
            Usage(
                server=server,
                model=model,
                place=page.place,
                engine=_engine(page, server),
                devices=_devices(page, server),
                method=None,
                requests=counts.get(key, {}),
                tokens=tokens.get(key, {}),
                energy=None,
                energy_per_output_token=None,
                duration=duration.get(key),
                time_to_first_token=first_token.get(key),
            ),
            spent.get(key, {}),
        )


def by_methods(whole: Usage, spent: Mapping[Method, Spent]) -> Iterator[Usage]:
    """A usage whose energy came to be known in one way, or not at all, as it is; else one usage a way.

    In that case nobody knows which requests, tokens and times belong to which way: they stay in a usage of their own,
    without energy, so that nothing is divided by what it does not belong to.
    """
    if len(spent) == 1:
        [(method, (joules, each_token))] = spent.items()
        yield replace(whole, method=method, energy=joules, energy_per_output_token=each_token)
        return
    if any(whole.requests.values()):
        yield whole
    bare = replace(whole, requests={}, tokens={}, duration=None, time_to_first_token=None)
    for method, (joules, each_token) in sorted(spent.items()):
        yield replace(bare, method=method, energy=joules, energy_per_output_token=each_token)


def _counted(
    page: Page, family: Family, label: str, known: Sequence[_Label]
) -> dict[tuple[str, ...], dict[_Label, int]]:
    """By server and model, and by the label; only where something was counted."""
    counted: dict[tuple[str, ...], dict[_Label, int]] = defaultdict(dict)
    for labels, count in page.of(family.name):
        if count > 0.0:
            counted[labels["server"], labels["model"]][_one_of(known, labels[label], page)] = round(count)
    return counted


def _spent(page: Page) -> dict[tuple[str, ...], dict[Method, Spent]]:
    """Energy by server and model, and by how it came to be known."""
    each_token = _histograms(page, requests.REQUEST_ENERGY_PER_OUTPUT_TOKEN)
    spent: dict[tuple[str, ...], dict[Method, Spent]] = defaultdict(dict)
    for key, value in _histograms(page, requests.REQUEST_ENERGY).items():
        spent[key[:2]][_one_of(_METHODS, key[2], page)] = (value, each_token.get(key))
    return spent


def _engine(page: Page, server: str) -> str:
    """What serves; one that was exchanged for another in the period is both."""
    told = (labels["engine"] for labels, _ in page.of(requests.SERVER.name) if labels["server"] == server)
    return " + ".join(sorted(dict.fromkeys(filter(None, told))))


def _devices(page: Page, server: str) -> tuple[str, ...]:
    told = (labels["device"] for labels, _ in page.of(energy.SERVER_DEVICE.name) if labels["server"] == server)
    return tuple(sorted(dict.fromkeys(told)))


# --- histograms ------------------------------------------------------------------------------------------------------


def _histograms(page: Page, family: Family) -> dict[tuple[str, ...], HistogramValue]:
    """Those in which anything was observed, by their labels."""
    buckets: dict[tuple[str, ...], dict[float, float]] = defaultdict(dict)
    for labels, count in page.of(f"{family.name}_bucket"):
        buckets[_key(family, labels)][_bound(labels["le"], page)] = count
    sums = {_key(family, labels): total for labels, total in page.of(f"{family.name}_sum")}
    made = {key: _histogram(cumulated, sums.get(key, 0.0)) for key, cumulated in buckets.items()}
    return {key: value for key, value in made.items() if any(value.counts)}


def _key(family: Family, labels: _Labels) -> tuple[str, ...]:
    return tuple(labels[label] for label in family.labels)


def _bound(text: str, page: Page) -> float:
    try:
        return float(text)
    except ValueError:
        raise ReportError(f"{page.place or 'the page'}: {text!r:.40} is no bound of a bucket") from None


def _histogram(cumulated: Mapping[float, float], total: float) -> HistogramValue:
    """Out of cumulated counts. Where buckets were exchanged in the period, counts never fall from bound to bound."""
    bounds = sorted({*cumulated, math.inf})
    known = [cumulated.get(bound, 0.0) for bound in bounds]
    rising = [0, *accumulate((round(count) for count in known), max)]
    counts = tuple(after - before for before, after in pairwise(rising))
    return HistogramValue(tuple(bounds[:-1]), counts, total, cast("Any", (None,) * len(counts)))
