"""OpenTelemetry traces: requests as spans, in OTLP's JSON, an ExportTraceServiceRequest a line.

That is what the OpenTelemetry Collector's file exporter writes. What is posted to /v1/traces comes here too
(exporter/server/intake.py). Which spans are requests is in spans/meaning, which of several count in spans/nesting.

    service: vllm-server      only spans of this `service.name`, so that several servers can share one receiver
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from exporter.domain.errors import ConfigError
from exporter.domain.events import Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.parts.stamps import time_zone
from exporter.requests.posted.spans.meaning import SpanRequest, request_of
from exporter.requests.posted.spans.nesting import Nesting
from exporter.requests.posted.spans.span import Span, spans_of
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "execution where the span tells its queue (vLLM, TGI), else arrival at whoever made the span",
    "first_token": "where the span tells it: vLLM always, others for streams if at all",
    "end": "yes; vLLM makes no span for a request that was aborted",
    "tokens": "yes, of prompt and output; not in Triton's spans",
    "clock": "nanoseconds by the sender's wall clock, however right that is",
}
ADVICE = (
    "vLLM: --otlp-traces-endpoint http://HOST:9460/v1/traces and OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf. "
    "Elsewhere point OTEL_EXPORTER_OTLP_TRACES_ENDPOINT there; gRPC goes through an OpenTelemetry Collector. "
    "A trace that is not sampled is a request that is not seen: OTEL_TRACES_SAMPLER=always_on."
)

OTHER_SERVICE: Heard = Ignored("other_service")
UNREADABLE: Heard = Dropped("bad_span")
_LONGEST_PREFIX = 256  # of what a shipper may put before the object

_NOT_TRACES = Ignored("not_traces")
_NO_SPANS = Ignored("no_spans")
_BAD_JSON = Dropped("bad_json")

_decode = json.JSONDecoder().raw_decode


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of exported traces.

    Raises:
        ConfigError: an option is unknown or wrong, or the time zone is unknown.
    """
    time_zone(timezone)
    return OtlpReader(core(options))


def core(options: Mapping[str, Any]) -> "OtlpCore":
    """What decides which spans are this server's.

    Raises:
        ConfigError: an option is unknown or wrong.
    """
    for key in options:
        if key != "service":
            raise ConfigError(f"options.{key}", "unknown; allowed is service")
    service = options.get("service")
    if service is not None and (not isinstance(service, str) or not service):
        raise ConfigError("options.service", f"must be the service.name of the server's spans; got {service!r}")
    return OtlpCore(service)


class OtlpCore(NamedTuple):
    """Which spans are one server's. `service`: those of this `service.name`; None: all."""

    service: str | None

    def fits(self, span: Span) -> bool:
        """Whether this span is the server's."""
        return self.service in (None, span.service)


class Met(NamedTuple):
    """A span and what it says; `aliases`: other names of the request that it tells of."""

    span: Span
    heard: Heard
    aliases: tuple[str, ...] = ()


def meet(spans: Iterable[Span], nesting: Nesting, wall_offset: float, latest: Instant) -> Iterator[Met]:
    """Say of every span what it says. What came together is told from the inside out.

    Args:
        spans: what came together.
        nesting: what came before.
        wall_offset: seconds that make an instant of the sender's wall-clock stamps.
        latest: no span ends later than this, or its clock is wrong.
    """
    requests: list[tuple[Span, SpanRequest]] = []
    for span in spans:
        request = request_of(span, wall_offset, latest)
        if isinstance(request, SpanRequest):
            requests.append((span, request))
        else:
            yield Met(span, request)
    for span, request in sorted(requests, key=_from_the_inside):
        wrapped = nesting.judge(span, request)
        yield Met(span, Used((request.event,)), request.aliases) if wrapped is None else Met(span, wrapped)


def _from_the_inside(one: tuple[Span, SpanRequest]) -> tuple[int, int]:
    span, request = one
    return -request.rank, span.end_ns - span.start_ns


class OtlpReader:
    """Reads exported traces, an export a line.

    A line of several spans is used if one of them was; otherwise it is dropped or ignored like most of them.
    """

    def __init__(self, core: OtlpCore) -> None:
        self._core = core
        self._nesting = Nesting()

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        brace = line.text.find("{", 0, _LONGEST_PREFIX)
        if brace < 0:
            return _NOT_TRACES
        try:
            decoded = spans_of(_decode(line.text, brace)[0])
        except (ValueError, RecursionError):
            return _BAD_JSON
        if decoded is None:
            return _NOT_TRACES
        spans, unreadable = decoded
        ours = [span for span in spans if self._core.fits(span)]
        heard = [met.heard for met in meet(ours, self._nesting, line.wall_offset or 0.0, line.not_after)]
        return _sum(heard + [UNREADABLE] * unreadable + [OTHER_SERVICE] * (len(spans) - len(ours)))

    def snapshot(self) -> Mapping[str, Any]:
        """The spans that may come again, or be wrapped."""
        return self._nesting.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        self._nesting.restore(snapshot)


def _sum(heard: list[Heard]) -> Heard:
    events = [event for one in heard if isinstance(one, Used) for event in one.events]
    if events:
        return Used(tuple(events))
    dropped = [one for one in heard if isinstance(one, Dropped)]
    return Counter(dropped or heard).most_common(1)[0][0] if heard else _NO_SPANS
