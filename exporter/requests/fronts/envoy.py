"""Envoy's access log in its default text format, and in Istio's longer one. One line a request, when it ended.

    [START] "POST /p HTTP/1.1" 200 DC 156 703 153 138 "FORWARDED FOR" "USER AGENT" "REQUEST ID" "AUTHORITY" "SERVER"
    [START] "POST /p HTTP/1.1" 200 DC DETAILS TERMINATION "FAILURE" 156 703 153 138 .. "SERVER" CLUSTER LOCAL .. ROUTE
                       status, flags               bytes in and out, duration in ms, server's headers in ms

    paths: [/v1/completions]      how paths end that count; the usual endpoints otherwise

A mesh logs a request twice, in the sidecars of its client and of its server, both with its id: it is told once.

Text is not escaped, so a user agent may hold quotes. Nothing is read from what lies between the numbers and the last
three quoted fields, and a line is read from both its ends, so what a client writes there can move neither.
"""

import re
from collections.abc import Mapping
from typing import Any

from exporter.domain.events import Completed, Dropped, Heard, Ignored, Outcome, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.fronts.common import (
    Numbers,
    ToldOnce,
    check_options,
    compile_wanted,
    name_or_none,
    span_from_start,
    status_outcome,
)
from exporter.requests.parts.stamps import iso_stamps, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "arrival at Envoy, to the millisecond, queueing in the server included",
    "first_token": "no: the server's time is the answer's headers, which a stream sends before it has a token",
    "end": "yes, of aborted requests too (flags DC and DR)",
    "tokens": "no",
    "clock": "milliseconds, UTC; Envoy writes its file every ten seconds or so, so news is late",
}
ADVICE = (
    "Envoy: a JSON access log with source jsonl, profile envoy, can add microseconds and a trace id; Envoy AI Gateway "
    "adds model and tokens (profile envoy-ai-gateway). Istio: meshConfig.accessLogFile: /dev/stdout turns the log on, "
    "accessLogEncoding: JSON goes with profile istio. Read one sidecar's log, best the server's."
)

_MILLISECOND = 0.001
_LONGEST_HEAD = 256
_START = re.compile(r'\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}Z)\] "([^ "]{1,32} \S{1,8192} [^ "]{1,16})" ')
_NUMBERS = re.compile(
    r'(\d{1,3}) (\S{1,64}) (?:(\S{1,256}) \S{1,256} "[^"]{0,2048}" )?'  # the middle is Istio's
    r'(?:\d{1,18}) (?:\d{1,18}) (\d{1,12}|-) (?:\d{1,12}|-) "'
)

_CLIENT_LEFT = frozenset({"DC", "DR"})
_NO_SERVER = frozenset({"UF", "UH", "NR", "NC", "UO"})
_HARMLESS = frozenset({"-", "DI"})

_OTHER = Ignored("other_line")
_FILTERED = Ignored("filtered")
_NEVER_SERVED = Ignored("never_served")
_TOLD = Ignored("told_before")
_UNREADABLE = Dropped("unreadable")
_BAD_TIMES = Dropped("bad_times")


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of Envoy's text log.

    Raises:
        ConfigError: an option or the time zone is wrong; names it.
    """
    check_options(options, ("paths",))
    return EnvoyReader(options, timezone)


class EnvoyReader:
    """Reads Envoy's and Istio's text lines."""

    def __init__(self, options: Mapping[str, Any], timezone: str | None) -> None:
        self._stamps = iso_stamps(time_zone(timezone))
        self._wanted = compile_wanted(options)
        self._numbers = Numbers()
        self._told = ToldOnce()

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        at = line.text.find("[", 0, _LONGEST_HEAD)
        start = _START.match(line.text, at) if at >= 0 and '"' not in line.text[:at] else None
        if start is None:
            return _OTHER
        numbers = _NUMBERS.match(line.text, start.end())
        tail = line.text.rsplit('"', 6)  # ... "REQUEST ID" "AUTHORITY" "SERVER" ...
        if numbers is None or len(tail) < 7 or tail[2] != " " or tail[4] != " " or len(tail[0]) <= numbers.end():
            return _UNREADABLE
        if not self._wanted(start[2]):
            return _FILTERED
        if _never_served(numbers[2], server=tail[5]):
            return _NEVER_SERVED
        return self._request(line, start[1], numbers, name_or_none(tail[1]))

    def snapshot(self) -> Mapping[str, Any]:
        """How many requests had no id and were given one; which were told."""
        return {"nameless": self._numbers.given, "told": self._told.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        self._numbers.restore(snapshot.get("nameless"))
        self._told.restore(snapshot.get("told"))

    def _request(self, line: Line, stamp: str, numbers: re.Match[str], name: str | None) -> Heard:
        seconds = None if numbers[4] == "-" else int(numbers[4]) / 1e3
        span = span_from_start(self._stamps.read(stamp, line.not_after), seconds, _MILLISECOND)
        when = moment(line, span.end) if span else None
        if span is None or when is None:
            return _BAD_TIMES
        start = Instant(when.at - span.seconds)
        if name is not None and not self._told.is_new(name, start, when.at):
            return _TOLD
        return Used(
            (
                Completed(
                    name or self._numbers.next(),
                    start,
                    when.at,
                    when.uncertainty + span.precision / 2,
                    when.uncertainty,
                    outcome=_outcome(int(numbers[1]), numbers[2], numbers[3]),
                ),
            )
        )


def _never_served(flags: str, server: str) -> bool:
    words = flags.split(",")
    return server in ("", "-") or ("URX" not in words and not _NO_SERVER.isdisjoint(words))


def _outcome(status: int, flags: str, details: str | None) -> Outcome:
    words = set(flags.split(","))
    if words & _CLIENT_LEFT or status == 0 or (details or "").startswith("downstream_remote_disconnect"):
        return "aborted"
    return status_outcome(status) if words <= _HARMLESS else "error"
