"""The leaderboard: models on hardware by engines, every way in which energy came to be known in a row of its own. Pure.

Rows stand by joules per output token, the least first; those of which it is not known stand last.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exporter.domain.readings import Device, Method
from exporter.domain.snapshot import HistogramValue
from exporter.report.account import Account, DeviceBook, Usage
from exporter.report.distribution import merged, quantile
from exporter.report.summary import Standing
from exporter.report.totals import tokens

UNKNOWN_ALLOWED = 0.01
"""Joules per token leave out the energy of requests of which it is not known: they may be this part of all."""

_Books = Mapping[tuple[str, str], DeviceBook]


@dataclass(frozen=True, slots=True)
class _Row:
    """What is added up in one row."""

    model: str
    hardware: str
    engine: str
    method: Method | None


def standings(account: Account) -> list[Standing]:
    """The leaderboard of an account."""
    books = {(book.place, book.device.name): book for book in account.books}
    rows: dict[_Row, list[Usage]] = defaultdict(list)
    for one in account.usages:
        rows[_Row(one.model, hardware(_serving(one, books)), one.engine, one.method)].append(one)
    standing = [_standing(row, usages, books) for row, usages in rows.items()]
    return sorted(standing, key=lambda one: (_last(one.joules_per_output_token), one.model, one.hardware, one.engine))


def hardware(devices: Iterable[Device]) -> str:
    """`2 x NVIDIA H100`; the processor where there is no GPU; empty where there is nothing."""
    known = list(devices)
    parts = next((mine for kind in ("gpu", "cpu") if (mine := [one for one in known if one.kind == kind])), [])
    return " + ".join(
        f"{count} x {name}" for name, count in sorted(Counter(one.model or one.kind for one in parts).items())
    )


def _serving(one: Usage, books: _Books) -> list[Device]:
    found = (books.get((one.place, name)) for name in one.devices)
    return [book.device for book in found if book is not None]


def _standing(row: _Row, usages: Sequence[Usage], books: _Books) -> Standing:
    energy = merged(_there(one.energy for one in usages))
    duration = merged(_there(one.duration for one in usages))
    known, joules = (sum(energy.counts), energy.sum) if energy is not None else (0, None)
    output = tokens(usages, "output")
    return Standing(
        model=row.model,
        hardware=row.hardware,
        engine=row.engine,
        method=row.method,
        servers=tuple(sorted({one.server for one in usages})),
        requests=known,
        output_tokens=output,
        joules=joules,
        joules_per_request=joules / known if joules is not None else None,
        joules_per_request_p50=quantile(energy, 0.5),
        joules_per_request_p95=quantile(energy, 0.95),
        joules_per_output_token=joules / output if joules is not None and output and covers(usages, known) else None,
        latency_p50_seconds=quantile(duration, 0.5),
        latency_p95_seconds=quantile(duration, 0.95),
        idle_share=_idle_share(usages, books),
    )


def covers(usages: Sequence[Usage], known: int) -> bool:
    """Whether so many requests with energy are as good as all of them."""
    return known >= (1.0 - UNKNOWN_ALLOWED) * sum(sum(one.requests.values()) for one in usages)


def _idle_share(usages: Sequence[Usage], books: _Books) -> float | None:
    """Of all devices that serve in this row, each once."""
    serving = {(one.place, name) for one in usages for name in one.devices} & books.keys()
    metered = math.fsum(books[key].metered_joules for key in serving)
    return math.fsum(books[key].booked.get("idle", 0.0) for key in serving) / metered if metered > 0.0 else None


def _there(values: Iterable[HistogramValue | None]) -> list[HistogramValue]:
    return [one for one in values if one is not None]


def _last(joules: float | None) -> float:
    return math.inf if joules is None else joules
