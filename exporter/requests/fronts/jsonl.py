"""Logs of one JSON object a request, written when it ended: by HTTP fronts, gateways, callbacks. Fields by name.

    profile: nginx                                   where to start from (see profiles); everything below overrides it
    fields:
      id: request_id                                 a path: `a`, `a.b` (inside `a`), `a|b` (the first that is there)
      end: {path: msec, unit: s}                     a number since 1970 (s, ms, us, ns), or text:
      start: {path: tr, format: "%d/%b/%Y:%H:%M:%S.%f"}       rfc3339 (the default), or a strptime format
      duration: {path: request_time, unit: s}
      first_token, ttft, queued, model, prompt_tokens, cached_tokens, output_tokens, status, tenant
      trace_id: traceparent                          32 hex digits, or a W3C traceparent
      outcome: {path: result, ok: [done], error: [failed], aborted: [gone]}
    where: {path: {suffix: [/completions]}}          only lines that match all of these
    unless: {Tc: -1}                                 no lines that match any: they never reached a server
    aborted: {flags: {word: DC}}                     the client left, though the status is one of success
    failed: {flags: {word: UC}}                      something else broke, though the status is one of success
    once: true                                       an id is told once, where fronts in a row log the same request

A request's place in time is its end and its duration; from start and duration, end and duration, or start and end, the
first pair that is mapped. The end is then a stamp like any other (see stamps): the moment of reading may sharpen it.

Everything that can be decided is decided when the reader is built, so that a line costs little more than its JSON.
"""

import json
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Heard, Ignored, Outcome, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.fronts.common import (
    Numbers,
    Span,
    ToldOnce,
    span_from_end,
    span_from_start,
    status_outcome,
    trace_id_of,
)
from exporter.requests.fronts.fields import (
    LONGEST_TEXT,
    Check,
    Length,
    Record,
    Times,
    as_mapping,
    check_known,
    compile_checks,
    compile_length,
    compile_path,
    compile_times,
    field_spec,
    nothing,
    number_of,
    scalars_of,
)
from exporter.requests.fronts.profiles import PROFILES, READ_BY, SETUP
from exporter.requests.parts.stamps import moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "arrival at the front, queueing included unless `queued` is mapped",
    "first_token": "only where `first_token` or `ttft` is mapped",
    "end": "yes, of aborted requests too",
    "tokens": "only where they are mapped",
    "clock": "as fine as the front's stamps: milliseconds to nanoseconds",
}
ADVICE = "Log at least an end or start, a duration, the path and the status. " + " ".join(
    f"{name}: {setup}" + ("." if not setup.endswith(";") else "") for name, setup in SETUP.items()
)


Spanner = Callable[[Record, Line], Span | None]

_LONGEST_PREFIX = 256  # of what a syslog or a shipper may put before the object
_MOST_TOKENS = 1 << 40

_TIME_FIELDS = ("start", "end", "first_token")
_LENGTH_FIELDS = ("duration", "ttft", "queued")
_PLAIN_FIELDS = ("id", "model", "prompt_tokens", "cached_tokens", "output_tokens", "status", "tenant", "trace_id")
_FIELDS = (*_TIME_FIELDS, *_LENGTH_FIELDS, *_PLAIN_FIELDS, "outcome")
_OPTIONS = ("profile", "fields", "where", "unless", "aborted", "failed", "once")
_OUTCOMES: tuple[Outcome, ...] = ("ok", "error", "aborted")

_NOT_JSON = Ignored("not_json")
_FILTERED = Ignored("filtered")
_NEVER_SERVED = Ignored("never_served")
_TOLD = Ignored("told_before")
_BAD_JSON = Dropped("bad_json")
_BAD_TIMES = Dropped("bad_times")

_decode = json.JSONDecoder().raw_decode


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of the log that the options describe.

    Raises:
        ConfigError: an option is unknown, missing or wrong; names it.
    """
    return JsonlReader(_Recipe(_with_profile(options), time_zone(timezone)))


class JsonlReader:
    """Reads a log of one JSON object a request."""

    def __init__(self, recipe: "_Recipe") -> None:
        self._recipe = recipe
        self._numbers = Numbers()
        self._told = ToldOnce()

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        brace = line.text.find("{", 0, _LONGEST_PREFIX)
        if brace < 0:
            return _NOT_JSON
        try:
            record: Record = _decode(line.text, brace)[0]
        except (ValueError, RecursionError):
            return _BAD_JSON
        return self._refusal(record) or self._request(record, line)

    def snapshot(self) -> Mapping[str, Any]:
        """How many requests had no id and were given one; which were told, where they are told once."""
        return {"nameless": self._numbers.given, "told": self._told.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        self._numbers.restore(snapshot.get("nameless"))
        self._told.restore(snapshot.get("told"))

    def _refusal(self, record: Record) -> Heard | None:
        for wanted in self._recipe.where:
            if not wanted(record):
                return _FILTERED
        for unwanted in self._recipe.unless:
            if unwanted(record):
                return _NEVER_SERVED
        return None

    def _request(self, record: Record, line: Line) -> Heard:
        span = self._recipe.span(record, line)
        when = None if span is None else moment(line, span.end)
        if span is None or when is None:
            return _BAD_TIMES
        told = self._completed(record, line, span, when.at, when.uncertainty)
        if self._recipe.once and not self._told.is_new(told.id, told.start - told.queued_seconds, told.end):
            return _TOLD
        return Used((told,))

    def _completed(self, record: Record, line: Line, span: Span, end: Instant, uncertainty: float) -> Completed:
        recipe = self._recipe
        arrival = end - span.seconds
        queued = recipe.queued(record) if recipe.queued else None
        queued = 0.0 if queued is None or not 0.0 <= queued <= span.seconds else queued
        return Completed(
            _text(recipe.id(record)) or self._numbers.next(),
            Instant(arrival + queued),
            end,
            uncertainty + span.precision / 2,
            uncertainty,
            recipe.first(record, line, span, end) if recipe.first else None,
            queued,
            recipe.outcome(record),
            _text(recipe.model(record)),
            _count(recipe.prompt_tokens(record)),
            _count(recipe.cached_tokens(record)),
            _count(recipe.output_tokens(record)),
            _text(recipe.tenant(record)),
            trace_id_of(_text(recipe.trace_id(record))),
        )


def _text(value: Any) -> str | None:
    if isinstance(value, str) and value not in ("", "-"):
        return value[:LONGEST_TEXT]
    return str(value) if type(value) is int and abs(value) < 1 << 64 else None


def _count(value: Any) -> int | None:
    number = number_of(value)
    return int(number) if number is not None and 0 <= number < _MOST_TOKENS else None


class _Recipe:
    """Options turned into functions."""

    def __init__(self, options: Mapping[str, Any], zone: tzinfo | None) -> None:
        fields = as_mapping(options.get("fields", {}), "options.fields")
        check_known(fields, _FIELDS, "options.fields")
        at = {name: f"options.fields.{name}" for name in fields}
        times = {name: compile_times(fields[name], at[name], zone) for name in _TIME_FIELDS if name in fields}
        lengths = {name: compile_length(fields[name], at[name]) for name in _LENGTH_FIELDS if name in fields}
        self.where = compile_checks(options.get("where", {}), "options.where")
        self.unless = compile_checks(options.get("unless", {}), "options.unless")
        self.span = _spanner(times, lengths)
        self.first = _first_token(times.get("first_token"), lengths["ttft"][0] if "ttft" in lengths else None)
        self.queued: Length | None = lengths["queued"][0] if "queued" in lengths else None
        aborted, failed = (compile_checks(options.get(key, {}), f"options.{key}") for key in ("aborted", "failed"))
        self.outcome = _outcome(fields, aborted, failed)
        self.once = _once(options.get("once", False))
        plain = {name: compile_path(fields[name], at[name]) for name in _PLAIN_FIELDS if name in fields}
        self.id = plain.get("id", nothing)
        self.model = plain.get("model", nothing)
        self.prompt_tokens = plain.get("prompt_tokens", nothing)
        self.cached_tokens = plain.get("cached_tokens", nothing)
        self.output_tokens = plain.get("output_tokens", nothing)
        self.tenant = plain.get("tenant", nothing)
        self.trace_id = plain.get("trace_id", nothing)


# Options


def _with_profile(options: Mapping[str, Any]) -> Mapping[str, Any]:
    check_known(options, _OPTIONS, "options")
    name = options.get("profile")
    if name is None:
        return options
    if isinstance(name, str) and name in READ_BY:
        source, why = READ_BY[name]
        raise ConfigError("options.profile", f"{name!r} is none, since {why}: use source {source}, which reads it")
    if not isinstance(name, str) or name not in PROFILES:
        raise ConfigError("options.profile", f"must be one of {', '.join(PROFILES)}; got {name!r}")
    profile = PROFILES[name]
    fields = {**profile["fields"], **as_mapping(options.get("fields", {}), "options.fields")}
    return {**profile, **options, "fields": fields}


def _once(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError("options.once", f"must be true or false; got {value!r}")
    return value


# Times


def _spanner(times: Mapping[str, Times], lengths: Mapping[str, tuple[Length, float]]) -> Spanner:
    if "duration" in lengths and "start" in times:
        return _from_start(times["start"], *lengths["duration"])
    if "duration" in lengths and "end" in times:
        return _from_end(times["end"], *lengths["duration"])
    if "start" in times and "end" in times:
        return _from_both(times["start"], times["end"])
    raise ConfigError("options.fields", "must map two of start, end and duration, or name a profile")


def _from_start(start: Times, duration: Length, precision: float) -> Spanner:
    return lambda record, line: span_from_start(start(record, line), duration(record), precision)


def _from_end(end: Times, duration: Length, precision: float) -> Spanner:
    return lambda record, line: span_from_end(end(record, line), duration(record), precision)


def _from_both(start: Times, end: Times) -> Spanner:
    def span(record: Record, line: Line) -> Span | None:
        first, last = start(record, line), end(record, line)
        if first is None or last is None:
            return None
        return span_from_end(last, last.seconds - first.seconds, first.precision)

    return span


FirstToken = Callable[[Record, Line, Span, Instant], Instant | None]


def _first_token(times: Times | None, length: Length | None) -> FirstToken | None:
    if times is None and length is None:
        return None

    def first(record: Record, line: Line, span: Span, end: Instant) -> Instant | None:
        stamp = times(record, line) if times else None
        after = length(record) if length else None
        if stamp is not None:
            after = span.seconds - (span.end.seconds - stamp.seconds)
        # Outside of the request it is none of its tokens: a zero, another unit, a clock that was set. At its very end
        # it is what gateways write for an answer in one piece.
        return None if after is None or not 0.0 < after < span.seconds else Instant(end - span.seconds + after)

    return first


# Outcomes and filters


def _outcome(fields: Mapping[str, Any], aborted: list[Check], failed: list[Check]) -> Callable[[Record], Outcome]:
    status = compile_path(fields["status"], "options.fields.status") if "status" in fields else nothing
    named = _named_outcome(fields["outcome"], "options.fields.outcome") if "outcome" in fields else None

    def outcome(record: Record) -> Outcome:
        told = (named(record) if named else None) or status_outcome(number_of(status(record)) or 0)
        if told != "ok":
            return told
        if any(left(record) for left in aborted):
            return "aborted"
        return "error" if any(broke(record) for broke in failed) else "ok"

    return outcome


def _named_outcome(value: Any, path: str) -> Callable[[Record], Outcome | None]:
    spec = field_spec(value, ("path", *_OUTCOMES), path)
    get = compile_path(spec["path"], f"{path}.path")
    names: dict[Any, Outcome] = {}
    for outcome in _OUTCOMES:
        for one in scalars_of(spec.get(outcome, outcome), f"{path}.{outcome}"):
            names[one] = outcome

    def named(record: Record) -> Outcome | None:
        found = get(record)
        return names.get(found) if isinstance(found, str | int | float | None) else None

    return named
