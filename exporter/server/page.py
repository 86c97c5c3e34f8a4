"""The landing page: what is metered, and whether the books balance. Plain HTML, no script, nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from typing import get_args

from exporter.domain.snapshot import (
    DeviceView,
    HistogramValue,
    LogView,
    ModelView,
    Published,
    ServerView,
    Share,
    Snapshot,
    SourceView,
)
from exporter.server.quantities import count, joules, seconds, watts
from exporter.server.style import STYLE

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_NOTHING = "\N{EN DASH}"
_SHARES = (*get_args(Share), "unsettled")
_LINE_OUTCOMES = ("used", "ignored", "dropped")
_LINKS = (
    ("/metrics", "metrics, for Prometheus"),
    ("/api/v1/requests", "recent requests, as JSON"),
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
            *_warnings(published),
            _section("Power", _power(snapshot.devices), _sources(health.sources)),
            _section("Books", _books(snapshot.devices), _legend()),
            _section("Requests", _requests(snapshot), *_servers(snapshot)),
            _section("Logs", _logs(health.logs)),
        ]
    )
    return _DOCUMENT.format(style=STYLE, body=body)


_DOCUMENT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>llm-energy-exporter</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _links() -> str:
    return " · ".join(f'<a href="{path}">{escape(label)}</a>' for path, label in _LINKS)


# What a reader must not overlook


def _warnings(published: Published) -> Iterator[str]:
    sources, devices = published.health.sources, published.snapshot.devices
    estimated = [device.device.name for device in devices if device.device.method != "measured"]
    if estimated and len(estimated) == len(devices):
        yield _warning(
            "Estimated, not measured.", "Every joule here comes from a model of the device, not from a sensor."
        )
    elif estimated:
        yield _warning("Partly estimated.", f"{', '.join(estimated)}: a model of the device, not a sensor.")
    if not sources:
        yield _warning("No power source.", "Nothing is metered.")
    for source in sources:
        if not source.up:
            yield _warning(f"{source.name} is silent.", "Its last round of readings got no answer from any device.")
    if published.health.faults:
        faults = ", ".join(f"{count(number)} in {stage}" for stage, number in sorted(published.health.faults.items()))
        yield _warning("Faults in the exporter.", f"{faults}. Each is a bug: its log says more.")


def _warning(loud: str, text: str) -> str:
    return f'<p class="warning"><strong>{escape(loud)}</strong> {escape(text)}</p>'


# Power


def _power(devices: Sequence[DeviceView]) -> str:
    head = ("device", "product", "method", "power now", "idle power", "energy comes from", "sensor period")
    return _table(head, (_power_row(view) for view in devices), "No device yet.", texts=(0, 1, 2, 5))


def _power_row(view: DeviceView) -> Sequence[str]:
    return (
        _name(view.device.name, view.device.uuid),
        escape(view.device.model) or _NOTHING,
        _method(view.device.method),
        _strong(_or_nothing(view.power_watts, watts)),
        _or_nothing(view.idle_watts, watts),
        "energy counter" if view.counter_in_use else "power over time",
        _or_nothing(view.sensor_period_seconds, seconds),
    )


def _sources(sources: Sequence[SourceView]) -> str:
    return "".join(f"<p>{_source(source)}</p>" for source in sources)


def _source(source: SourceView) -> str:
    means = "reads an energy counter" if source.counter else "reads power"
    every = f"every {seconds(source.interval_seconds)}, each round taking {seconds(source.call_seconds)}"
    refused = "".join(f"<br>{_code(name)} was not used: {escape(why)}" for name, why in sorted(source.refusals.items()))
    return f"Source {_code(source.name)} ({_method(source.method)}) {means} {every}.{refused}"


# Books


def _books(devices: Sequence[DeviceView]) -> str:
    head = ("device", "metered", "=", *_between(_SHARES, "+"), "")
    return _table(head, (_books_row(view) for view in devices), "No device yet.", texts=(0,))


def _books_row(view: DeviceView) -> Sequence[str]:
    parts = [*(float(view.booked.get(share, 0.0)) for share in get_args(Share)), float(view.unsettled_joules)]
    cells = _between([joules(part) for part in parts], "+")
    return (_name(view.device.name), _strong(joules(view.metered_joules)), "=", *cells, _bar(parts))


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


def _legend() -> str:
    meanings = (
        ("requests", "given to requests"),
        ("idle", "no request ran"),
        ("unattributed", "caused by a request that is not known"),
        ("unsettled", "not booked yet: news may still come"),
    )
    keys = (
        f'<li><svg class="key" viewBox="0 0 8 8" aria-hidden="true"><rect class="{name}" width="8" height="8"/></svg> '
        f"<b>{name}</b> {meaning}</li>"
        for name, meaning in meanings
    )
    return f'<ul class="legend">{"".join(keys)}</ul>'


# Requests


def _requests(snapshot: Snapshot) -> str:
    head = ("server", "model", "requests", "failed", "output tokens", "joules / request", "joules / output token")
    rows = (_model_row(view) for view in snapshot.models)
    return _table(head, rows, "No settled request yet.", texts=(0, 1))


def _model_row(view: ModelView) -> Sequence[str]:
    failed = sum(number for outcome, number in view.requests.items() if outcome != "ok")
    return (
        escape(view.server),
        escape(view.model),
        count(sum(view.requests.values())),
        count(failed),
        count(view.tokens.get("output", 0)),
        _strong(_mean(view.energy.values())),
        _mean(view.energy_per_output_token.values()),
    )


def _mean(histograms: Iterable[HistogramValue]) -> str:
    known = list(histograms)
    number = sum(sum(histogram.counts) for histogram in known)
    return joules(sum(histogram.sum for histogram in known) / number) if number else _NOTHING


def _servers(snapshot: Snapshot) -> Iterator[str]:
    for view in snapshot.servers:
        yield f"<p>{_server(view)}</p>"


def _server(view: ServerView) -> str:
    running = f"{count(view.running)} {'request runs' if view.running == 1 else 'requests run'} now"
    settles = f"a request settles {seconds(view.settle_seconds)} after its end"
    instead = f" instead of {_code(view.wanted_policy)} ({escape(view.policy_reason)})" if view.policy_reason else ""
    shared = f"energy is shared by policy {_code(view.policy)}{instead}"
    return f"{_strong(escape(view.server))}: {running}; {settles}; {shared}."


# Logs


def _logs(logs: Sequence[LogView]) -> str:
    head = ("server", "files", "read", "not read yet", "lines used", "ignored", "dropped")
    table = _table(head, (_log_row(view) for view in logs), "No log is read.", texts=(0,))
    return table + "".join(_problems(view) for view in logs)


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
        f'<p class="warning">{_code(path)} cannot be read: {escape(why)}</p>'
        for path, why in sorted(view.problems.items())
    )


# Pieces


def _section(title: str, *content: str) -> str:
    return f"<section><h2>{title}</h2>{''.join(content)}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], empty: str, texts: Sequence[int]) -> str:
    """Cells are HTML already. Columns `texts` hold words, the others numbers."""
    lines = [_row("td", row, texts) for row in rows]
    if not lines:
        return f"<p>{empty}</p>"
    headed = f"<thead>{_row('th', head, texts)}</thead>"
    return f'<div class="wide"><table>{headed}<tbody>{"".join(lines)}</tbody></table></div>'


def _row(tag: str, cells: Sequence[str], texts: Sequence[int]) -> str:
    kinds = ("" if index in texts else ' class="number"' for index in range(len(cells)))
    return f"<tr>{''.join(f'<{tag}{kind}>{cell}</{tag}>' for kind, cell in zip(kinds, cells, strict=True))}</tr>"


def _name(name: str, uuid: str = "") -> str:
    return f'<b title="{escape(uuid)}">{escape(name)}</b>' if uuid else f"<b>{escape(name)}</b>"


def _strong(html: str) -> str:
    return f"<strong>{html}</strong>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _method(method: str) -> str:
    return escape(method) if method == "measured" else f'<span class="estimated">{escape(method)}</span>'


def _or_nothing(value: float | None, written: Callable[[float], str]) -> str:
    return _NOTHING if value is None else written(value)
