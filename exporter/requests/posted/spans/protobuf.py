"""OTLP's protobuf encoding. Import this only where spans are received: its library costs some megabytes."""

from collections.abc import Iterable
from math import isfinite

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from exporter.requests.posted.spans.span import (
    KEPT,
    LONGEST_TEXT,
    MOST_VALUES,
    SERVICE,
    Scalar,
    Span,
    Value,
    id_of,
    is_first_token,
)

_LONGEST_MESSAGE_BYTES = 120  # so that one byte says its length


def spans_of_protobuf(body: bytes) -> list[Span]:
    """The spans of an encoded ExportTraceServiceRequest.

    Raises:
        ValueError: it is none.
    """
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise ValueError("not an ExportTraceServiceRequest in protobuf") from None
    spans: list[Span] = []
    for resource_spans in request.resource_spans:
        service = _attributes(resource_spans.resource.attributes, frozenset({SERVICE})).get(SERVICE)
        name = service if isinstance(service, str) else None
        spans += (_span(one, name) for scope in resource_spans.scope_spans for one in scope.spans)
    return spans


def response(rejected: int, message: str) -> bytes:
    """An encoded ExportTraceServiceResponse: all is well, or so many spans were rejected."""
    if not rejected:
        return ExportTraceServiceResponse().SerializeToString()
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString()


def status(code: int, message: str) -> bytes:
    """An encoded google.rpc.Status: a code as field 1, a message as field 2. Our library does not bring this one."""
    text = message.encode()[:_LONGEST_MESSAGE_BYTES]
    return bytes([0x08, code, 0x12, len(text)]) + text


def _span(one: SpanMessage, service: str | None) -> Span:
    firsts = [event.time_unix_nano for event in one.events if is_first_token(event.name)]
    return Span(
        id_of(one.trace_id, 16),
        id_of(one.span_id, 8),
        id_of(one.parent_span_id, 8),
        one.name[:LONGEST_TEXT],
        one.kind,
        one.start_time_unix_nano,
        one.end_time_unix_nano,
        firsts[0] if firsts else None,
        one.status.code == Status.STATUS_CODE_ERROR,
        _attributes(one.attributes, KEPT),
        service,
    )


def _attributes(pairs: Iterable[KeyValue], wanted: frozenset[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for pair in pairs:
        if pair.key in wanted:
            value = _value(pair.value)
            if value is not None:
                found[pair.key] = value
    return found


def _value(value: AnyValue) -> Value | None:
    if value.WhichOneof("value") == "array_value":
        several = (_scalar(one) for one in value.array_value.values[:MOST_VALUES])
        return tuple(one for one in several if one is not None)
    return _scalar(value)


def _scalar(value: AnyValue) -> Scalar | None:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value[:LONGEST_TEXT]
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value if isfinite(value.double_value) else None
        case "bool_value":
            return value.bool_value
    return None
