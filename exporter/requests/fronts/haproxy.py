"""HAProxy's `option httplog` lines, alone in a file or behind a syslog header. One line a request, when it ended.

    127.0.0.1:49 [21/Nov/2026:04:17:04.798] llm llm/s1 0/0/0/3/434 200 17098 - - ---- 2/2/1/1/0 0/0 "POST /p HTTP/1.1"
    client       [its first byte]      front back/server TR/Tw/Tc/Tr/Ta status bytes cookies state connections queues

Milliseconds, in local time. TR: its headers came in; Tw: it queued; Tc: a server was connected; Tr: the server's first
header (of a stream that is not its first token); Ta: everything. -1: that never came to be. So a request is on its
server from `[...]` + TR + Tw + Tc until `[...]` + Ta. The first letter of the state says who ended it: `C` the client,
`c` its time ran out, `S`, `s` the server, `P`, `L`, `R`, `I`, `D`, `K`, `U` HAProxy itself, `-` nobody: it was done.

    captures: [request_id, tenant, -]     what `capture request header` adds in braces, in its order
    paths: [/v1/completions]              how paths end that count; the usual endpoints otherwise

What a client can write into a line, HAProxy encodes (`#22` for a quote), so no request can imitate a line.
"""

import re
from collections.abc import Mapping
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Heard, Ignored, Outcome, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.fronts.common import (
    Numbers,
    Span,
    check_options,
    compile_wanted,
    name_or_none,
    span_from_start,
    status_outcome,
    trace_id_of,
)
from exporter.requests.parts.stamps import format_stamps, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "when a server was connected, to the millisecond; waiting in HAProxy's queues is apart",
    "first_token": "no: Tr is the answer's headers, which a stream sends before it has a token",
    "end": "yes, of aborted requests too; HAProxy lets a short stream run on after its client left and calls it done",
    "tokens": "no",
    "clock": "milliseconds, in the local time of HAProxy's machine",
}
ADVICE = (
    "HAProxy: option httplog without option logasap; `capture request header X-Request-Id len 64` and `captures: "
    "[request_id]` give requests their ids; `option abortonclose` lets a client's leaving end its request. For model "
    "and tokens read the server's own log as well."
)

_MILLISECOND = 0.001
_NAMES = ("request_id", "tenant", "model", "trace_id", "-")
_LONGEST_HEAD = 512
_STAMP = re.compile(r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3})\] ")
_BODY = re.compile(
    r"[^\s\"/]{1,256} [^\s\"/]{1,256}/([^\s\"]{1,256}) "  # frontend, backend and server
    r"(-?\d{1,12})/(-?\d{1,12})/(-?\d{1,12})/(-?\d{1,12})/(\+?-?\d{1,12}) (-?\d{1,6}) \+?\d{1,18} "
    r"\S{1,512} \S{1,512} (\S{4}) \d+/\d+/\d+/\d+/\+?\d+ \d+/\d+ "
    r'(?:\{([^}"]*)\} )?(?:\{[^}"]*\} )?"([^"]*)'
)
_TCP_BODY = re.compile(r"\S{1,256} \S{1,256}/\S{1,256} -?\d{1,12}/-?\d{1,12}/\+?-?\d{1,12} \+?\d{1,18} \S\S ")

_OTHER = Ignored("other_line")
_TCP = Ignored("tcp")
_FILTERED = Ignored("filtered")
_NEVER_SERVED = Ignored("never_served")
_UNREADABLE = Dropped("unreadable")
_LOGGED_EARLY = Dropped("logged_early")
_BAD_TIMES = Dropped("bad_times")


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of HAProxy's log.

    Raises:
        ConfigError: an option or the time zone is wrong; names it.
    """
    check_options(options, ("captures", "paths"))
    return HaproxyReader(options, timezone)


class HaproxyReader:
    """Reads httplog lines."""

    def __init__(self, options: Mapping[str, Any], timezone: str | None) -> None:
        self._stamps = format_stamps("%d/%b/%Y:%H:%M:%S.%f", time_zone(timezone))
        self._wanted = compile_wanted(options)
        self._captures = _captures(options.get("captures", []))
        self._numbers = Numbers()

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        stamp = _STAMP.search(line.text, 0, _LONGEST_HEAD)
        if stamp is None or '"' in line.text[: stamp.start()]:
            return _OTHER
        body = _BODY.match(line.text, stamp.end())
        if body is None:
            return _TCP if _TCP_BODY.match(line.text, stamp.end()) else _UNREADABLE
        if not self._wanted(body[10]):
            return _FILTERED
        return self._request(line, stamp[1], body)

    def snapshot(self) -> Mapping[str, Any]:
        """How many requests had no id and were given one."""
        return {"nameless": self._numbers.given}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        self._numbers.restore(snapshot.get("nameless"))

    def _request(self, line: Line, stamp: str, body: re.Match[str]) -> Heard:
        if body[6][0] == "+":
            return _LOGGED_EARLY  # by `option logasap`, at the headers: Ta is no duration yet
        headers, queued, connected, _, total = (int(body[group]) for group in range(2, 7))
        if body[1] == "<NOSRV>" or connected < 0 or total < 0:
            return _NEVER_SERVED
        span = span_from_start(self._stamps(stamp, line.not_after), total / 1e3, _MILLISECOND)
        when = moment(line, span.end) if span else None
        if span is None or when is None:
            return _BAD_TIMES
        before = min(max(headers, 0) + max(queued, 0) + connected, total) / 1e3
        return Used((self._completed(body, span, when.at, when.uncertainty, before),))

    def _completed(self, body: re.Match[str], span: Span, end: Instant, uncertainty: float, before: float) -> Completed:
        named = dict(zip(self._captures, (body[9] or "").split("|"), strict=False))
        return Completed(
            name_or_none(named.get("request_id")) or self._numbers.next(),
            Instant(end - span.seconds + before),
            end,
            uncertainty + span.precision / 2,
            uncertainty,
            queued_seconds=before,
            outcome=_outcome(body[8], int(body[7])),
            model=name_or_none(named.get("model")),
            tenant=name_or_none(named.get("tenant")),
            trace_id=trace_id_of(named.get("trace_id")),
        )


def _outcome(state: str, status: int) -> Outcome:
    if status >= 400:
        return status_outcome(status)
    if state[0] in "Cc":
        return "aborted"
    return "ok" if state[0] == "-" else "error"


def _captures(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one in _NAMES for one in value):
        raise ConfigError("options.captures", f"must be a list of {', '.join(_NAMES)}; got {value!r}")
    return value
