r"""The common and combined log formats of nginx and Apache, with what was appended to them, and Traefik's.

    ADDRESS - USER [21/Nov/2026:04:17:01 +0000] "POST /p HTTP/1.1" 200 698 "REFERER" "USER AGENT" 0.168 ...

    fields: [request_time, upstream_addr, request_id]      what is appended, in its order; `-` passes over one
    stamp: end                                             what `[...]` is: the request's start or its end
    paths: [/v1/completions]                               how paths end that count; the usual endpoints otherwise

A field is nginx's variable or Apache's directive: `request_time` and `%T` are seconds, `%D` microseconds; a mapping
names another unit (`{request_time: ms}`). A value may be bare, in quotes or brackets, and have its key before it
(`rt=0.168`).

Without `fields`, three endings explain themselves: one number of seconds with its milliseconds (nginx's
`$request_time`); that of ingress-nginx; Traefik's (requests so far, router, server, `444ms`). With another ending or
none, nothing says when a request ran, and it is only counted.

nginx stamps a line at the request's end, Apache and Traefik its start: the end is assumed, except beside `%D` and `%T`.
nginx writes `\x22` for a quote in what clients send, Apache and Traefik `\"`: no request can imitate a line.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Counted, Dropped, Heard, Ignored, Outcome, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.fronts.common import (
    Numbers,
    Span,
    check_options,
    compile_wanted,
    name_or_none,
    span_from_end,
    span_from_start,
    status_outcome,
    trace_id_of,
)
from exporter.requests.parts.stamps import Stamp, format_stamps, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "arrival at the front, where a duration is appended to the line; without one requests are only counted",
    "first_token": "no: a header time is the answer's headers, which a stream sends before it has a token",
    "end": "yes; a stream whose client left has status 200: only nginx's request_completion tells it from a whole one",
    "tokens": "no",
    "clock": "whole seconds in the line, milliseconds where nginx's msec is appended; live, the moment of reading",
}
ADVICE = (
    'nginx: log_format energy \'$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent" $request_time $msec "$request_id" "$request_completion" "$upstream_addr"\'; '
    "with fields: [request_time, msec, request_id, request_completion, upstream_addr]. Apache: append %D, with fields: "
    "['%D']. Traefik: --accesslog.format=json with source jsonl, profile traefik, has nanoseconds and tells who left."
)

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_LENGTHS = {
    "request_time": ("s", 0.001),
    "upstream_response_time": ("s", 0.001),
    "%T": ("s", 1.0),
    "%{s}T": ("s", 1.0),
    "%{ms}T": ("ms", 0.001),
    "%{us}T": ("us", 1e-6),
    "%D": ("us", 1e-6),
}
"""Names of durations with their units and how fine they are, the best first."""
_PLAIN = ("request_id", "msec", "request_completion", "upstream_addr", "tenant", "trace_id", "model", "-")
_NAMES = (*_LENGTHS, *_PLAIN)

_LONGEST_HEAD = 512
_MOST_FIELDS = 64
_HEAD = re.compile(r'(?:[^"\\]++|\\.)*+')
_START = re.compile(r'\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "')
_BODY = re.compile(r'((?:[^"\\]++|\\.)*+)" (\d{3}|-) (\d{1,18}|-)(?= |$)')
# Quoted, in brackets, or bare: nginx puts a list of servers or times without quotes, with `, ` and ` : ` between.
_FIELD = re.compile(
    r' (?:[A-Za-z_]{1,32}=)?(?:"((?:[^"\\]++|\\.)*+)"|\[([^\]]*+)\]|([^\s"\[]++(?:(?:(?<=,) | : )[^\s"\[]++)*+))(?= |$)'
)
_SECONDS = re.compile(r"\d{1,9}\.\d{3}")
_EPOCH = re.compile(r"\d{9,11}\.\d{3}")
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?(?:ms)?")
_GO_MILLISECONDS = re.compile(r"(\d{1,12})ms")

_OTHER = Ignored("other_line")
_FILTERED = Ignored("filtered")
_NEVER_SERVED = Ignored("never_served")
_UNREADABLE = Dropped("unreadable")
_MISSING_FIELDS = Dropped("missing_fields")
_BAD_TIMES = Dropped("bad_times")


class Appended(NamedTuple):
    """What the end of a line says: texts by name, the duration in seconds, None where there is none to be read."""

    named: Mapping[str, str]
    seconds: float | None = None
    precision: float = 0.001
    starts: bool = False
    timed: bool = True


Reading = Callable[[list[str]], Appended | None]


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of lines in the common or combined format.

    Raises:
        ConfigError: an option or the time zone is wrong; names it.
    """
    check_options(options, ("fields", "stamp", "paths"))
    return CombinedReader(options, timezone)


class CombinedReader:
    """Reads lines in the common or combined format."""

    def __init__(self, options: Mapping[str, Any], timezone: str | None) -> None:
        self._stamps = format_stamps("%d/%b/%Y:%H:%M:%S %z", time_zone(timezone))
        self._wanted = compile_wanted(options)
        self._starts = _stamp_option(options)
        self._appended = _compile_fields(options["fields"]) if "fields" in options else _by_shape
        self._numbers = Numbers()

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        start = _START.search(line.text, 0, _LONGEST_HEAD)
        if start is None or not _HEAD.fullmatch(line.text, 0, start.start()):
            return _OTHER
        body = _BODY.match(line.text, start.end())
        fields = _fields_of(line.text, body.end()) if body else None
        if body is None or fields is None:
            return _UNREADABLE
        if not self._wanted(body[1]):
            return _FILTERED
        appended = self._appended(fields)
        if appended is None:
            return _MISSING_FIELDS
        if _never_served(appended.named.get("upstream_addr")):
            return _NEVER_SERVED
        return self._request(line, start[1], _outcome(body[2], appended), appended)

    def snapshot(self) -> Mapping[str, Any]:
        """How many requests had no id and were given one."""
        return {"nameless": self._numbers.given}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        self._numbers.restore(snapshot.get("nameless"))

    def _request(self, line: Line, text: str, outcome: Outcome, appended: Appended) -> Heard:
        stamp = self._stamps(text, line.not_after)
        if not appended.timed:
            when = moment(line, stamp)
            return _BAD_TIMES if when is None else Used((Counted(when.at, outcome),))
        span = self._span(stamp, appended)
        when = moment(line, span.end) if span else None
        if span is None or when is None:
            return _BAD_TIMES
        return Used((self._completed(span, when.at, when.uncertainty, outcome, appended.named),))

    def _span(self, stamp: Stamp | None, appended: Appended) -> Span | None:
        precise = _epoch(appended.named.get("msec"))
        if precise is not None:
            return span_from_end(precise, appended.seconds, appended.precision)
        starts = appended.starts if self._starts is None else self._starts
        return (span_from_start if starts else span_from_end)(stamp, appended.seconds, appended.precision)

    def _completed(
        self, span: Span, end: Instant, uncertainty: float, outcome: Outcome, named: Mapping[str, str]
    ) -> Completed:
        return Completed(
            name_or_none(named.get("request_id")) or self._numbers.next(),
            Instant(end - span.seconds),
            end,
            uncertainty + span.precision / 2,
            uncertainty,
            outcome=outcome,
            model=name_or_none(named.get("model")),
            tenant=name_or_none(named.get("tenant")),
            trace_id=trace_id_of(named.get("trace_id")),
        )


def _fields_of(text: str, position: int) -> list[str] | None:
    """The fields from here to the line's end, without referer and user agent; None where they cannot be told apart."""
    found: list[tuple[str, bool]] = []
    while position < len(text):
        field = _FIELD.match(text, position)
        if field is None or len(found) == _MOST_FIELDS:
            return None
        found.append((field[field.lastindex or 0], field.lastindex == 1))
        position = field.end()
    quoted = [is_quoted for _, is_quoted in found[:2]]
    return [value for value, _ in (found[2:] if quoted == [True, True] else found)]


def _outcome(status: str, appended: Appended) -> Outcome:
    told = status_outcome(int(status)) if status != "-" else "error"
    # nginx logs a stream whose client left with the status of its headers, 200.
    return "aborted" if told == "ok" and appended.named.get("request_completion") in ("", "-") else told


def _never_served(server: str | None) -> bool:
    return server in ("", "-")


def _epoch(text: str | None) -> Stamp | None:
    return Stamp(float(text), 0.001) if text and _EPOCH.fullmatch(text) else None


# What is appended


def _by_shape(fields: list[str]) -> Appended | None:
    if len(fields) == 1 and _SECONDS.fullmatch(fields[0]):
        return Appended({}, float(fields[0]))
    if len(fields) == 4 and (took := _GO_MILLISECONDS.fullmatch(fields[3])) and fields[0].isdecimal():
        return Appended({"upstream_addr": fields[2]}, int(took[1]) / 1e3, starts=True)
    if len(fields) == 9 and fields[0].isdecimal() and _SECONDS.fullmatch(fields[1]):
        return Appended({"upstream_addr": fields[4], "request_id": fields[8]}, float(fields[1]))
    return Appended({}, timed=False)


def _compile_fields(value: Any) -> Reading:
    if not isinstance(value, list) or not value:
        raise ConfigError("options.fields", f"must be a list of what is appended to each line; got {value!r}")
    specs = [_field_option(one, f"options.fields.{number}") for number, one in enumerate(value)]
    names = [name for name, _ in specs]
    best = next((name for name in _LENGTHS if name in names), None)
    if best is None:
        return lambda fields: _named(names, fields, timed=False)
    number, unit = names.index(best), _UNITS[specs[names.index(best)][1]]
    precision, starts = min(_LENGTHS[best][1], unit), best.startswith("%")

    def read(fields: list[str]) -> Appended | None:
        appended = _named(names, fields, timed=True)
        return appended and appended._replace(seconds=_total(fields[number], unit), precision=precision, starts=starts)

    return read


def _named(names: list[str], fields: list[str], *, timed: bool) -> Appended | None:
    return Appended(dict(zip(names, fields, strict=False)), timed=timed) if len(fields) >= len(names) else None


def _field_option(one: Any, path: str) -> tuple[str, str]:
    if isinstance(one, Mapping) and len(one) == 1:
        name, unit = next(iter(one.items()))
        if name in _LENGTHS and isinstance(unit, str) and unit in _UNITS:
            return str(name), unit
        raise ConfigError(path, f"must be one of {', '.join(_LENGTHS)} with one of {', '.join(_UNITS)}; got {one!r}")
    if isinstance(one, str) and one.removeprefix("$") in _NAMES:
        name = one.removeprefix("$")
        return name, _LENGTHS[name][0] if name in _LENGTHS else "s"
    raise ConfigError(path, f"must be one of {', '.join(_NAMES)}; got {one!r}")


def _total(text: str, unit: float) -> float | None:
    """Seconds. nginx lists what each server took that was tried (`0.010, 0.250 : -`): their sum."""
    parts = [part for part in text.replace(" : ", ", ").split(", ") if part != "-"]
    if not parts or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    return unit * sum(float(part.removesuffix("ms")) for part in parts)


def _stamp_option(options: Mapping[str, Any]) -> bool | None:
    stamp = options.get("stamp")
    if stamp not in (None, "start", "end"):
        raise ConfigError("options.stamp", f"must be start or end; got {stamp!r}")
    return None if stamp is None else stamp == "start"
