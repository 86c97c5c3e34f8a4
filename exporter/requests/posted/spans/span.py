"""A span, as far as it concerns us, and how it is read from OTLP's JSON.

Of a span's attributes only those are taken over that somebody here asks for: spans may carry whole prompts.

OTLP's JSON writes ids in hexadecimal, protobuf's own JSON in base64; both are read, and so are 64-bit numbers as text
and enumerations by name. Unknown fields are passed over. Nothing here raises.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...]

INTERNAL, SERVER, CLIENT = 1, 2, 3
_KINDS = {f"SPAN_KIND_{name}": number for number, name in enumerate(("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT"))}
_ERROR = 2

SERVICE = "service.name"
LONGEST_TEXT = 256
MOST_VALUES = 64  # of an array
_MOST_DIGITS = 20

KEPT = frozenset({
    "gen_ai.operation.name", "gen_ai.request.model", "gen_ai.response.model", "gen_ai.request.id", "gen_ai.response.id",
    "gen_ai.response.finish_reasons", "gen_ai.system", "gen_ai.provider.name", "error.type",
    "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
    "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens",
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.cached_tokens",
    "gen_ai.usage.prompt_tokens_details.cached_tokens",
    "gen_ai.latency.e2e", "gen_ai.latency.time_in_queue", "gen_ai.latency.time_to_first_token",
    "gen_ai.server.time_to_first_token", "gen_ai.response.time_to_first_chunk", "gen_ai.response.time_to_first_token",
    "llm.request.type", "llm.model_name", "llm.token_count.prompt", "llm.token_count.completion",
    "llm.token_count.prompt_details.cache_read", "openinference.span.kind", "traceloop.span.kind",
    "total_time", "queue_time", "inference_time", "time_per_token",
    "triton.model_name", "triton.request_id", "triton.trace_parent_id",
    "http.request.method", "http.method", "rpc.system", "code.function", "server.address", "server.port",
})  # fmt: skip
"""The attributes that are read; no other is kept."""


class Span(NamedTuple):
    """One operation of somebody's.

    Attributes:
        trace_id, span_id, parent_id: 32, 16 and 16 hexadecimal digits; empty where there is none or it is none.
        kind: as in OTLP: INTERNAL, SERVER, CLIENT, or another number.
        start_ns, end_ns: nanoseconds since the epoch by the sender's wall clock; 0 where missing.
        first_token_ns: of an event that says that the first token came; None without one.
        failed: whether its status is an error.
        service: the `service.name` of its resource.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    first_token_ns: int | None
    failed: bool
    attributes: Mapping[str, Value]
    service: str | None


def is_first_token(event_name: str) -> bool:
    """Whether an event of this name tells the first token (OpenInference: `First Token Stream Event`)."""
    return event_name.lower().startswith("first token")


def spans_of(record: object) -> tuple[list[Span], int] | None:
    """The spans of a decoded ExportTraceServiceRequest, and how many more could not be read; None if it is none."""
    if not isinstance(record, dict) or not isinstance(record.get("resourceSpans"), list):
        return None
    spans: list[Span] = []
    unreadable = 0
    for resource_spans in _objects(record["resourceSpans"]):
        resource = _object(resource_spans.get("resource"))
        service = _attributes(resource.get("attributes"), frozenset({SERVICE})).get(SERVICE)
        for scope_spans in _objects(resource_spans.get("scopeSpans")):
            for one in _list(scope_spans.get("spans")):
                if isinstance(one, dict):
                    spans.append(_span(one, service if isinstance(service, str) else None))
                else:
                    unreadable += 1
    return spans, unreadable


def _span(one: Mapping[str, Any], service: str | None) -> Span:
    firsts = [_number(event.get("timeUnixNano")) for event in _objects(one.get("events")) if _tells_first_token(event)]
    return Span(
        _id(one.get("traceId"), 16),
        _id(one.get("spanId"), 8),
        _id(one.get("parentSpanId"), 8),
        _text(one.get("name")),
        _enumeration(one.get("kind"), _KINDS),
        _number(one.get("startTimeUnixNano")),
        _number(one.get("endTimeUnixNano")),
        firsts[0] if firsts else None,
        _enumeration(_object(one.get("status")).get("code"), {"STATUS_CODE_ERROR": _ERROR}) == _ERROR,
        _attributes(one.get("attributes"), KEPT),
        service,
    )


def _tells_first_token(event: Mapping[str, Any]) -> bool:
    return is_first_token(_text(event.get("name")))


def _attributes(pairs: object, wanted: frozenset[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for pair in _objects(pairs):
        key = pair.get("key")
        if isinstance(key, str) and key in wanted:
            value = _value(_object(pair.get("value")))
            if value is not None:
                found[key] = value
    return found


def _value(value: Mapping[str, Any]) -> Value | None:
    if "arrayValue" in value:
        several = (_scalar(one) for one in _objects(_object(value["arrayValue"]).get("values"))[:MOST_VALUES])
        return tuple(one for one in several if one is not None)
    return _scalar(value)


def _scalar(value: Mapping[str, Any]) -> Scalar | None:
    text, whole, real, truth = (value.get(f"{kind}Value") for kind in ("string", "int", "double", "bool"))
    if isinstance(text, str):
        return text[:LONGEST_TEXT]
    if whole is not None:
        return _number(whole)
    if isinstance(real, int | float) and not isinstance(real, bool):
        return float(real) if abs(real) < 1e300 and isfinite(real) else None
    return truth if isinstance(truth, bool) else None


def _number(value: object) -> int:
    if type(value) is int:
        return value if abs(value) < 1 << 64 else 0
    if isinstance(value, float) and isfinite(value):
        return int(value) if abs(value) < 1 << 64 else 0
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and value.isascii() and value.removeprefix("-").isdigit():
        return int(value)
    return 0


def _enumeration(value: object, names: Mapping[str, int]) -> int:
    return names[value] if isinstance(value, str) and value in names else _number(value)


def _id(value: object, size: int) -> str:
    if not isinstance(value, str):
        return ""
    try:
        raw = bytes.fromhex(value) if len(value) == 2 * size else base64.b64decode(value[: 2 * size], validate=True)
    except (ValueError, binascii.Error):
        return ""
    return id_of(raw, size)


def id_of(raw: bytes, size: int) -> str:
    """An id of this size in hexadecimal; empty where it is none, and all zeros are none."""
    return raw.hex() if len(raw) == size and any(raw) else ""


def _text(value: object) -> str:
    return value[:LONGEST_TEXT] if isinstance(value, str) else ""


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _objects(values: object) -> list[Mapping[str, Any]]:
    return [one for one in _list(values) if isinstance(one, dict)]


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
