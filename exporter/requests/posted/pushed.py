"""An event as a program pushes it: what a JSON object must hold, in words, as a JSON Schema, and read.

There are four kinds. A *complete* one tells a whole request or window in one; `start`, `first_token` and `end` tell it
while it runs, so that its share is kept for it:

    {"id": "step-17", "start": 1795234191.31, "end": "2026-11-21T04:09:52.5Z", "model": "resnet-50"}
    {"event": "start", "id": "step-18"}        {"event": "end", "id": "step-18", "outcome": "ok"}

Fields stand in one table, from which both the schema and the reading are made. Of what a schema cannot say there is
little: days that no calendar has, an end before its start, times from the future.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any, NamedTuple, get_args

from exporter.domain.events import Outcome

LONGEST_ID = 256
_LONGEST_NAME = 64  # of an unknown field, in an answer
_MOST_TOKENS = 1 << 40
_LONGEST_SECONDS = 1e8
_LATEST_SECONDS = 253402300800  # the year 10000

_RFC3339 = (
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,12})?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$"
)
_TIME = re.compile(_RFC3339.replace(r"\d", "[0-9]")[:-1] + r"\Z")
_TRACE_ID = "^[0-9a-f]{32}$"
_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

NOT_AN_OBJECT = "must be a JSON object"


class EventError(Exception):
    """The object is no event. Carries what is wrong, without any of its values."""


class Pushed(NamedTuple):
    """An event that was read. Times are wall-clock seconds since the epoch; None: when it was heard.

    Attributes:
        event: complete, start, first_token or end.
        at: when it started, gave its first token or ended; a complete one's end.
        start, first_token: a complete one's.
    """

    event: str
    id: str
    server: str | None = None
    at: float | None = None
    start: float = 0.0
    first_token: float | None = None
    queued: float = 0.0
    outcome: Outcome = "ok"
    model: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    tenant: str | None = None
    trace_id: str | None = None


class _Field(NamedTuple):
    """What a field may hold: as a schema, in words, and as a test that gives its value or None where it may not."""

    schema: Mapping[str, Any]
    allowed: str
    read: Callable[[Any], Any]


def _text_field(about: str, longest: int = LONGEST_ID) -> _Field:
    def read(value: Any) -> str | None:
        return value if isinstance(value, str) and 0 < len(value) <= longest else None

    schema = {"type": "string", "minLength": 1, "maxLength": longest, "description": about}
    return _Field(schema, f"a text of 1 to {longest} characters", read)


def _tokens_field(about: str) -> _Field:
    def read(value: Any) -> int | None:
        number = _number(value)
        return int(number) if number is not None and 0 <= number <= _MOST_TOKENS and number == int(number) else None

    schema = {"type": "integer", "minimum": 0, "maximum": _MOST_TOKENS, "description": about}
    return _Field(schema, "a whole number, 0 or more", read)


def _seconds_field(about: str) -> _Field:
    def read(value: Any) -> float | None:
        number = _number(value)
        return number if number is not None and 0 <= number <= _LONGEST_SECONDS else None

    schema = {"type": "number", "minimum": 0, "maximum": _LONGEST_SECONDS, "description": about}
    return _Field(schema, "seconds, 0 or more", read)


def _time_field(about: str) -> _Field:
    unix = {"type": "number", "minimum": 0, "exclusiveMaximum": _LATEST_SECONDS}
    schema = {"anyOf": [unix, {"type": "string", "pattern": _RFC3339}], "description": about}
    return _Field(schema, "seconds since 1970, or RFC 3339 with its zone", _time)


def _number(value: Any) -> float | None:
    return value if type(value) in (int, float) and abs(value) < 1e300 and isfinite(value) else None


def _time(value: Any) -> float | None:
    if isinstance(value, str):
        return _instant(value) if _TIME.match(value) else None
    number = _number(value)
    return float(number) if number is not None and 0 <= number < _LATEST_SECONDS else None


def _instant(text: str) -> float | None:
    whole, fraction = text, ""
    if "." in text:
        head, _, rest = text.partition(".")
        fraction = rest.rstrip("Zz").partition("+")[0].partition("-")[0]
        whole = head + rest[len(fraction) :]
    try:
        seconds = datetime.fromisoformat(whole.upper()).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    seconds += float(f"0.{fraction}") if fraction else 0.0
    return seconds if 0 <= seconds < _LATEST_SECONDS else None


def _outcome(value: Any) -> Outcome | None:
    return value if isinstance(value, str) and value in _OUTCOMES else None


def _trace_id(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) else None


_FIELDS: Mapping[str, _Field] = {
    "id": _text_field("Names this request or window; never used again for another one of the same server."),
    "server": _text_field("Which server it belongs to; may be left out where only one is pushed to."),
    "start": _time_field("When it began to occupy the device: Unix seconds, or RFC 3339 with its zone."),
    "end": _time_field("When it ended."),
    "duration": _seconds_field("Seconds from start to end, instead of `end`."),
    "at": _time_field("When it happened; left out: when it was received."),
    "first_token": _time_field("When the first output token was there."),
    "queued": _seconds_field("Seconds that it waited before `start`."),
    "outcome": _Field(
        {"enum": list(_OUTCOMES), "description": "How it ended; left out: ok."},
        f"one of {', '.join(_OUTCOMES)}",
        _outcome,
    ),
    "model": _text_field("What ran."),
    "prompt_tokens": _tokens_field("All tokens of the prompt."),
    "cached_tokens": _tokens_field("Those of them that a cache held."),
    "output_tokens": _tokens_field("Tokens generated."),
    "tenant": _text_field("Whom to bill."),
    "trace_id": _Field(
        {
            "type": "string",
            "minLength": 32,
            "maxLength": 32,
            "pattern": _TRACE_ID,
            "description": "The W3C trace that it belongs to.",
        },
        "32 hexadecimal digits in lower case",
        _trace_id,
    ),
    "kind": _text_field("What it is, such as `training step`: for the sender's own use, not kept.", 64),
}

_ALWAYS = ("id", "server", "kind")
_AT_START = ("model", "prompt_tokens", "tenant", "trace_id")
_AT_END = ("outcome", "model", "prompt_tokens", "cached_tokens", "output_tokens")
_KINDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "complete": (
        ("id", "start"),
        (*_ALWAYS, "start", "end", "duration", "first_token", "queued", *_AT_END, "tenant", "trace_id"),
    ),
    "start": (("id",), (*_ALWAYS, "at", *_AT_START)),
    "first_token": (("id",), (*_ALWAYS, "at")),
    "end": (("id",), (*_ALWAYS, "at", *_AT_END)),
}
"""By kind: which fields must be there, and which may."""


def read_event(value: Any) -> Pushed:
    """What this JSON value says.

    Raises:
        EventError: it is no event; says why, and repeats no value of it.
    """
    if not isinstance(value, dict):
        raise EventError(NOT_AN_OBJECT)
    event = value.get("event", "complete")
    if not isinstance(event, str) or event not in _KINDS:
        raise EventError(f"event: must be one of {', '.join(_KINDS)}, or be left out for complete")
    required, allowed = _KINDS[event]
    for key in required:
        if key not in value:
            raise EventError(f"{key}: missing")
    read = {key: _read(event, key, held, allowed) for key, held in value.items() if key != "event"}
    return _complete(read) if event == "complete" else _live(event, read)


def _read(event: str, key: str, held: Any, allowed: tuple[str, ...]) -> Any:
    if key not in allowed:
        name = "".join(one if one.isprintable() else "?" for one in key[:_LONGEST_NAME])
        raise EventError(f"{name}: unknown in an event of kind {event}; allowed are {', '.join(allowed)}")
    found = _FIELDS[key].read(held)
    if found is None:
        raise EventError(f"{key}: must be {_FIELDS[key].allowed}")
    return found


def _live(event: str, read: Mapping[str, Any]) -> Pushed:
    return Pushed(event, **{key: held for key, held in read.items() if key != "kind"})


def _complete(read: dict[str, Any]) -> Pushed:
    if ("end" in read) == ("duration" in read):
        raise EventError("end: give either `end` or `duration`")
    start, first = read["start"], read.get("first_token")
    end = read["end"] if "end" in read else start + read["duration"]
    if not 0.0 <= end - start <= _LONGEST_SECONDS:
        raise EventError("end: is before start, or years after it")
    if first is not None and not start <= first <= end:
        raise EventError("first_token: is not between start and end")
    rest = {key: held for key, held in read.items() if key not in ("kind", "end", "duration")}
    return Pushed("complete", at=end, **rest)


def schema() -> dict[str, Any]:
    """What an event may be, as a JSON Schema (draft 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://llm-energy-exporter.invalid/events.schema.json",
        "title": "An event that is pushed to llm-energy-exporter, one JSON object a line",
        "description": "POST /api/v1/events. Of what is said here in words only, ends do not lie before starts.",
        "oneOf": [_kind_schema(event, *fields) for event, fields in _KINDS.items()],
        "$defs": {name: dict(field.schema) for name, field in _FIELDS.items()},
    }


def _kind_schema(event: str, required: tuple[str, ...], allowed: tuple[str, ...]) -> dict[str, Any]:
    whole = event == "complete"
    says = {"oneOf": [{"required": ["end"]}, {"required": ["duration"]}]} if whole else {}
    return {
        "title": event,
        "type": "object",
        "properties": {"event": {"const": event}, **{name: {"$ref": f"#/$defs/{name}"} for name in allowed}},
        "required": [*([] if whole else ["event"]), *required],
        "additionalProperties": False,
        **says,
    }


if __name__ == "__main__":  # writes docs/events.schema.json
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
