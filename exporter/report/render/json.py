"""For programs: every figure in base units (joules, seconds, grams), null where it is not known."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from exporter.domain.snapshot import HistogramValue
from exporter.recording.values import known
from exporter.report.account import Account, DeviceBook, Usage
from exporter.report.summary import Comparison, Report

SCHEMA = "llm-energy-report/1"
"""Grows by what is added to it; its number grows when something changes its meaning or goes."""

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


def render(report: Report) -> str:
    """All of it."""
    return json.dumps(known(document(report)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def document(report: Report) -> dict[str, Json]:
    """What is rendered."""
    return {
        "schema": SCHEMA,
        "made_unix_seconds": report.made,
        "version": report.version,
        "account": _account(report.account),
        "totals": asdict(report.totals),
        "leaderboard": [asdict(one) for one in report.standings],
        "footprint": [asdict(line) for line in report.footprint],
        "sci": None if report.sci is None else asdict(report.sci),
        "comparison": None if report.comparison is None else _comparison(report.comparison),
        "references": [asdict(one) for one in report.references],
        "notices": list(report.notices),
    }


def _account(account: Account) -> dict[str, Json]:
    return {
        "name": account.name,
        "origin": account.origin,
        "begin_unix_seconds": account.begin,
        "end_unix_seconds": account.end,
        "seconds": account.seconds,
        "intensity_grams_per_kwh": account.intensity_grams_per_kwh,
        "pue": account.pue,
        "cautions": list(account.cautions),
        "devices": [_book(book) for book in account.books],
        "usages": [_usage(usage) for usage in account.usages],
    }


def _book(book: DeviceBook) -> dict[str, Json]:
    device = book.device
    return {
        "place": book.place,
        "device": device.name,
        "kind": device.kind,
        "uuid": device.uuid,
        "product": device.model,
        "method": device.method,
        "metered_joules": book.metered_joules,
        "booked_joules": dict(book.booked.items()),
        "unsettled_joules": book.unsettled_joules,
    }


def _usage(usage: Usage) -> dict[str, Json]:
    return {
        "server": usage.server,
        "model": usage.model,
        "place": usage.place,
        "engine": usage.engine,
        "devices": list(usage.devices),
        "method": usage.method,
        "requests": dict(usage.requests.items()),
        "tokens": dict(usage.tokens.items()),
        "energy_joules": _histogram(usage.energy),
        "energy_per_output_token_joules": _histogram(usage.energy_per_output_token),
        "duration_seconds": _histogram(usage.duration),
        "time_to_first_token_seconds": _histogram(usage.time_to_first_token),
    }


def _histogram(value: HistogramValue | None) -> Json:
    """Without exemplars: a report tells of no single request."""
    if value is None:
        return None
    return {"bounds": list(value.bounds), "counts": list(value.counts), "sum": value.sum}


def _comparison(comparison: Comparison) -> dict[str, Json]:
    return {
        "first": comparison.first,
        "second": comparison.second,
        "overall": [asdict(one) for one in comparison.overall],
        "models": {model: [asdict(one) for one in rows] for model, rows in comparison.models.items()},
        "cautions": list(comparison.cautions),
    }
