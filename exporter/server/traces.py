"""`POST /v1/traces`: an OTLP/HTTP receiver of traces, in protobuf and in JSON."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web

from exporter.domain.events import Dropped, Heard, Used
from exporter.domain.units import Instant
from exporter.feeds.opening import TracedServer
from exporter.requests.posted.otlp import OTHER_SERVICE, UNREADABLE, meet
from exporter.requests.posted.spans.nesting import Nesting
from exporter.requests.posted.spans.span import Span, spans_of
from exporter.server.bodies import BREATH, Bodies, UnreadableError, off_the_loop, refuse_browsers
from exporter.server.intake import Intakes

MOST_BYTES = 8 << 20
_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"
_STATUS_CODES = {400: 3, 403: 7, 408: 4, 413: 8, 415: 3, 503: 14}  # google.rpc.Code


_Heard = tuple[TracedServer, Heard, tuple[str, ...]]


class _Encoding(NamedTuple):
    """How requests and answers are written.

    Attributes:
        content_type: of both.
        spans: the spans of a body, and how many more could not be read; raises ValueError.
        response: so many spans were rejected, and why.
        status: an error's google.rpc code and message.
    """

    content_type: str
    spans: Callable[[bytes], tuple[list[Span], int]]
    response: Callable[[int, str], bytes]
    status: Callable[[int, str], bytes]


class Traces:
    """Puts the spans that are posted into the inboxes of their servers."""

    def __init__(self, intakes: Intakes) -> None:
        self._now = intakes.now
        self._wall_offset = intakes.wall_offset
        # Whoever names a service is asked before those who take any.
        self._intakes = sorted(intakes.otlp, key=lambda one: one.core.service is None)
        self._nesting = Nesting()
        self._bodies = Bodies()
        self._lock = asyncio.Lock()  # one export after the other: what came first is remembered for the next
        self._encodings = {one.content_type: one for one in (_json(), _protobuf())}

    async def post(self, request: web.Request) -> web.Response:
        """The handler."""
        encoding = self._encodings.get(request.content_type)
        if encoding is None:
            text = f"Content-Type must be {_PROTOBUF} or {_JSON}\n"
            return web.Response(status=415, text=text)
        try:
            refuse_browsers(request)
            async with self._bodies.read(request, MOST_BYTES) as body, self._lock:
                rejected = await self._take(encoding, body)
        except UnreadableError as refusal:
            answer = encoding.status(_STATUS_CODES[refusal.status], str(refusal))
            return web.Response(
                status=refusal.status, body=answer, content_type=encoding.content_type, headers=refusal.headers
            )
        why = ", ".join(f"{reason}: {number}" for reason, number in sorted(rejected.items()))
        return web.Response(body=encoding.response(rejected.total(), why), content_type=encoding.content_type)

    async def _take(self, encoding: _Encoding, body: bytes) -> Counter[str]:
        """Hear what the body tells. Why spans were rejected that should have told of a request, and how many."""
        now, offset = self._now(), self._wall_offset() or 0.0
        met = await off_the_loop(body, lambda: self._understand(encoding, body, offset, now))
        rejected: Counter[str] = Counter()
        for number, (intake, heard, aliases) in enumerate(met):
            _put(intake, heard, aliases, now)
            if isinstance(heard, Dropped):
                rejected[heard.reason] += 1
            if number % BREATH == 0:
                await asyncio.sleep(0)
        return rejected

    def _understand(self, encoding: _Encoding, body: bytes, offset: float, now: Instant) -> list[_Heard]:
        spans, unreadable = _decoded(encoding, body)
        whose = {id(span): intake for span in spans if (intake := self._whose(span)) is not None}
        wanted = Counter(id(intake.inbox) for intake in whose.values())
        if any(wanted[id(intake.inbox)] > intake.inbox.room for intake in self._intakes):
            raise UnreadableError(503, "too much was told at once", retry_seconds=1)
        ours = [span for span in spans if id(span) in whose]
        met = [(whose[id(one.span)], one.heard, one.aliases) for one in meet(ours, self._nesting, offset, now)]
        nobodys = [OTHER_SERVICE] * (len(spans) - len(ours)) + [UNREADABLE] * unreadable
        return met + [(self._intakes[0], heard, ()) for heard in nobodys]

    def _whose(self, span: Span) -> TracedServer | None:
        return next((intake for intake in self._intakes if intake.core.fits(span)), None)


def _put(intake: TracedServer, heard: Heard, aliases: tuple[str, ...], now: Instant) -> None:
    if isinstance(heard, Used):
        for event in heard.events:
            intake.inbox.put(event, now, aliases)
        intake.inbox.count("used")
    else:
        intake.inbox.count("dropped" if isinstance(heard, Dropped) else "ignored", heard.reason)


def _decoded(encoding: _Encoding, body: bytes) -> tuple[list[Span], int]:
    try:
        return encoding.spans(body)
    except (ValueError, RecursionError):
        raise UnreadableError(400, "the body is no ExportTraceServiceRequest") from None


def _protobuf() -> _Encoding:
    # Its library costs megabytes, which only those pay who are told of by spans.
    from exporter.requests.posted.spans import protobuf  # noqa: PLC0415

    return _Encoding(_PROTOBUF, lambda body: (protobuf.spans_of_protobuf(body), 0), protobuf.response, protobuf.status)


def _json() -> _Encoding:
    return _Encoding(_JSON, _spans_of_json, _json_response, _json_status)


def _spans_of_json(body: bytes) -> tuple[list[Span], int]:
    record = json.loads(body)
    decoded = spans_of({"resourceSpans": [], **record} if isinstance(record, dict) else None)
    if decoded is None:
        raise ValueError("not an ExportTraceServiceRequest in JSON")
    return decoded


def _json_response(rejected: int, message: str) -> bytes:
    partial = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": message}}
    return json.dumps(partial if rejected else {}).encode()


def _json_status(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "message": message}).encode()
