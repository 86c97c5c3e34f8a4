"""The landing page: what is metered, and whether the books balance. Plain HTML, no script, nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import get_args

from exporter.domain.health import LogView, Published, SourceView
from exporter.domain.readings import Method
from exporter.domain.snapshot import DeviceView, HistogramValue, ModelView, ServerView, Share, Snapshot
from exporter.server.comparison import comparison
from exporter.server.pieces import (
    NOTHING,
    code,
    document,
    how_known,
    key,
    legend,
    named,
    or_nothing,
    section,
    strong,
    table,
)
from exporter.server.quantities import count, joules, seconds, watts
from exporter.server.style import STYLE
from exporter.server.warnings import is_played, is_simulated, warnings

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_SHARES = (*get_args(Share), "unsettled")
_LINE_OUTCOMES = ("used", "ignored", "dropped")
_LINKS = (
    ("/metrics", "metrics, for Prometheus"),
    ("/api/v1/requests", "recent requests, as JSON"),
    ("/api/v1/proxy", "proxies, as JSON"),
    ("/-/healthy", "healthy"),
    ("/-/ready", "ready"),
)


def landing_page(published: Published) -> str:
    """The whole page."""
    snapshot, health = published.snapshot, published.health
    body = "\n".join(
        [
            f"<header><h1>llm-energy-exporter <small>{escape(health.version)}</small></h1>",
            f"<p>Joules per LLM request. {_links()}</p></header>",
            *warnings(published),
            section("Power", _power(snapshot.devices), _sources(health.sources)),
            section("Books", _books(snapshot.devices), _meanings()),
            section("Requests", _requests(snapshot), *_servers(snapshot)),
            comparison(snapshot),
            section("Logs", _logs(health.logs)),
        ]
    )
    return document(_title(snapshot), STYLE, body)


def _title(snapshot: Snapshot) -> str:
    loud = "SIMULATED: " if is_simulated(snapshot) else "RECORDED: " if is_played(snapshot) else ""
    return f"{loud}llm-energy-exporter"


def _links() -> str:
    return " · ".join(f'<a href="{path}">{escape(label)}</a>' for path, label in _LINKS)


# Power


def _power(devices: Sequence[DeviceView]) -> str:
    head = ("device", "product", "method", "power now", "idle power", "energy comes from", "sensor period")
    return table(head, (_power_row(view) for view in devices), "No device yet.", texts=(0, 1, 2, 5))


def _power_row(view: DeviceView) -> Sequence[str]:
    return (
        named(view.device.name, view.device.uuid),
        escape(view.device.model) or NOTHING,
        how_known(view.device.method),
        strong(or_nothing(view.power_watts, watts)),
        or_nothing(view.idle_watts, watts),
        "energy counter" if view.counter_in_use else "power over time",
        or_nothing(view.sensor_period_seconds, seconds),
    )


def _sources(sources: Sequence[SourceView]) -> str:
    return "".join(f"<p>{_source(source)}</p>" for source in sources)


def _source(source: SourceView) -> str:
    means = "reads an energy counter" if source.counter else "reads power"
    every = f"every {seconds(source.interval_seconds)}, each round taking {seconds(source.call_seconds)}"
    refused = "".join(f"<br>{code(name)} was not used: {escape(why)}" for name, why in sorted(source.refusals.items()))
    return f"Source {code(source.name)} ({how_known(source.method)}) {means} {every}.{refused}"


# Books


def _books(devices: Sequence[DeviceView]) -> str:
    head = ("device", "metered", "=", *_between(_SHARES, "+"), "")
    return table(head, (_books_row(view) for view in devices), "No device yet.", texts=(0,))


def _books_row(view: DeviceView) -> Sequence[str]:
    parts = [*(float(view.booked.get(share, 0.0)) for share in get_args(Share)), float(view.unsettled_joules)]
    cells = _between([joules(part) for part in parts], "+")
    return (named(view.device.name), strong(joules(view.metered_joules)), "=", *cells, _bar(parts))


def _between(items: Sequence[str], sign: str) -> Sequence[str]:
    return [piece for item in items for piece in (item, sign)][:-1]


def _bar(parts: Sequence[float]) -> str:
    """How the joules are shared, as one bar. Attributes only: the page's policy allows no inline style."""
    total = sum(part for part in parts if part > 0) or 1.0
    frame = 'class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"'
    return f"<svg {frame}>{_pieces(parts, total)}</svg>"


def _pieces(parts: Sequence[float], total: float) -> str:
    pieces, left = [], 0.0
    for share, part in zip(_SHARES, parts, strict=True):
        width = 100.0 * max(part, 0.0) / total
        pieces.append(f'<rect class="{share}" x="{left:.2f}" width="{width:.2f}" height="8"/>')
        left += width
    return "".join(pieces)


def _meanings() -> str:
    meanings = (
        ("requests", "given to requests"),
        ("idle", "no request ran"),
        ("unattributed", "caused by a request that is not known"),
        ("unsettled", "not booked yet: news may still come"),
    )
    return legend(key(share, f"<b>{share}</b> {meaning}") for share, meaning in meanings)


# Requests


def _requests(snapshot: Snapshot) -> str:
    head = ("server", "model", "requests", "failed", "output tokens", "joules / request", "joules / output token")
    rows = (_model_row(view) for view in snapshot.models)
    return table(head, rows, "No settled request yet.", texts=(0, 1))


def _model_row(view: ModelView) -> Sequence[str]:
    failed = sum(number for outcome, number in view.requests.items() if outcome != "ok")
    return (
        escape(view.server),
        escape(view.model),
        count(sum(view.requests.values())),
        count(failed),
        count(view.tokens.get("output", 0)),
        strong(_means(view.energy)),
        _means(view.energy_per_output_token),
    )


def _means(by_method: Mapping[Method, HistogramValue]) -> str:
    """One mean for each method: energies that were measured and others are not the same thing."""
    means = [_mean(known, how) for how, known in sorted(by_method.items()) if any(known.counts)]
    return "<br>".join(means) or NOTHING


def _mean(known: HistogramValue, how: Method) -> str:
    mean = joules(known.sum / sum(known.counts))
    return mean if how == "measured" else f"{how_known(how)} {mean}"


def _servers(snapshot: Snapshot) -> Iterator[str]:
    for view in snapshot.servers:
        yield f"<p>{_server(view)}</p>"


def _server(view: ServerView) -> str:
    running = f"{count(view.running)} {'request runs' if view.running == 1 else 'requests run'} now"
    settles = f"a request settles {seconds(view.settle_seconds)} after its end"
    instead = f" instead of {code(view.wanted_policy)} ({escape(view.policy_reason)})" if view.policy_reason else ""
    shared = f"energy is shared by policy {code(view.policy)}{instead}"
    return f"{strong(escape(view.server))}: {running}; {settles}; {shared}."


# Logs


def _logs(logs: Sequence[LogView]) -> str:
    head = ("server", "files", "read", "not read yet", "lines used", "ignored", "dropped")
    lines = table(head, (_log_row(view) for view in logs), "No log is read.", texts=(0,))
    return lines + "".join(_problems(view) for view in logs)


def _log_row(view: LogView) -> Sequence[str]:
    lines = dict.fromkeys(_LINE_OUTCOMES, 0)
    for (outcome, _), number in view.lines.items():
        lines[outcome] = lines.get(outcome, 0) + number
    sizes = (f"{count(view.bytes)} bytes", f"{count(view.lag_bytes)} bytes")
    return (
        escape(view.server),
        count(view.files),
        *sizes,
        *(count(lines[name]) for name in _LINE_OUTCOMES),
    )


def _problems(view: LogView) -> str:
    return "".join(
        f'<p class="warning">{code(path)} cannot be read: {escape(why)}</p>'
        for path, why in sorted(view.problems.items())
    )
