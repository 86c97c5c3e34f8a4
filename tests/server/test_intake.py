"""What is posted to us: taken off the wire within bounds, answered by the protocol, and put into the right inbox."""

import asyncio
import base64
import gzip
import io
import json
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession
from google.protobuf.json_format import ParseDict
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from exporter.domain.events import Completed, Ended, Started
from exporter.domain.settings import ListenAddress
from exporter.domain.units import Instant
from exporter.feeds.inbox import Inbox
from exporter.feeds.opening import PushedServer, TracedServer
from exporter.requests.posted.otlp import OtlpCore
from exporter.requests.posted.push import PushCore
from exporter.server import Intakes, build, serve
from exporter.server.bodies import MOST_BODIES
from exporter.server.events import MOST_LINES
from tests.metrics.examples import published
from tests.requests.test_otlp import CHAT, CLIENT, NOW, VLLM, export, span

TRACES, EVENTS, SCHEMA = "/v1/traces", "/api/v1/events", "/api/v1/events/schema"
PROTOBUF, JSON, NDJSON = "application/x-protobuf", "application/json", "application/x-ndjson"
WHOLE = {"id": "a", "start": NOW - 10, "duration": 2}


def protobuf(record: Mapping[str, Any]) -> bytes:
    """The same export in protobuf: ids are bytes there."""

    def encoded(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: encoded(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [encoded(one) for one in value]
        return (
            base64.b64encode(bytes.fromhex(value)).decode() if key in ("traceId", "spanId", "parentSpanId") else value
        )

    return ParseDict(encoded(record), ExportTraceServiceRequest()).SerializeToString()


@dataclass
class Answer:
    """What the exporter answered."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """An exporter with intakes, as it listens in earnest."""

    url: str
    inboxes: dict[str, Inbox]
    session: ClientSession
    faults: list[str] = field(default_factory=list)

    async def post(
        self, path: str, body: Any, content_type: str = JSON, headers: Mapping[str, str] | None = None
    ) -> Answer:
        data = json.dumps(body).encode() if isinstance(body, dict | list) else body
        heads = {"Content-Type": content_type, **(headers or {})}
        async with self.session.post(self.url + path, data=data, headers=heads) as answer:
            return Answer(answer.status, answer.content_type, dict(answer.headers), await answer.read())

    async def push(self, *lines: Mapping[str, object] | str, **more: Any) -> Answer:
        text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
        return await self.post(EVENTS, text.encode(), NDJSON, **more)

    def news(self, server: str) -> list[Any]:
        return [told.event for told in self.inboxes[server].poll(Instant(NOW), 0.0)]

    def lines(self, server: str) -> Mapping[tuple[str, str], int]:
        return self.inboxes[server].view().lines


@asynccontextmanager
async def running(
    otlp: Mapping[str, str | None] | None = None, push: Sequence[str] = (), most: int = 100_000
) -> AsyncIterator[Running]:
    inboxes = {name: Inbox(name, most=most) for name in (*(otlp or {}), *push)}
    traced = [TracedServer(name, inboxes[name], OtlpCore(service)) for name, service in (otlp or {}).items()]
    pushed = [PushedServer(name, inboxes[name], PushCore()) for name in push]
    intakes = Intakes(lambda: Instant(NOW), lambda: 0.0, traced, pushed)
    faults: list[str] = []
    runner = await serve(build(published, lambda: True, faults.append, dict, intakes), ListenAddress("127.0.0.1", 0))
    try:
        host, port = runner.addresses[0][:2]
        async with ClientSession() as session:
            yield Running(f"http://{host}:{port}", inboxes, session, faults)
    finally:
        await runner.cleanup()
    assert not faults


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not reached():  # noqa: ASYNC110 - a thread of somebody else gets there
            await asyncio.sleep(0.01)


# Traces


async def test_a_span_in_either_encoding_reaches_its_servers_inbox() -> None:
    async with running({"chat": None}) as exporter:
        first = await exporter.post(TRACES, export(span(VLLM)))
        assert (first.status, first.content_type, first.json) == (200, JSON, {})
        second = await exporter.post(TRACES, protobuf(export(span({**VLLM, "gen_ai.request.id": "b"}, 2))), PROTOBUF)
        assert (second.status, second.content_type) == (200, PROTOBUF)
        assert ExportTraceServiceResponse.FromString(second.body) == ExportTraceServiceResponse()
        one, other = exporter.inboxes["chat"].poll(Instant(NOW), 0.0)
        assert isinstance(one.event, Completed)
        assert isinstance(other.event, Completed)
        assert (one.event.id, other.event.id) == ("chatcmpl-1", "b")
        assert (one.event.start, one.event.trace_id) == (other.event.start, other.event.trace_id)
        assert (one.heard_at, one.aliases) == (NOW, ("0000000000000001",))
        assert exporter.lines("chat") == {("used", ""): 2}


@pytest.mark.parametrize(("encoding", "squeeze"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_body_is_unpacked(encoding: str, squeeze: Callable[[bytes], bytes]) -> None:
    async with running({"chat": None}, ["train"]) as exporter:
        head = {"Content-Encoding": encoding}
        record = export(span(VLLM))
        assert (await exporter.post(TRACES, squeeze(protobuf(record)), PROTOBUF, head)).status == 200
        assert (await exporter.post(EVENTS, squeeze(json.dumps(WHOLE).encode()), NDJSON, head)).status == 200
        assert (len(exporter.news("chat")), len(exporter.news("train"))) == (1, 1)


async def test_spans_that_cannot_be_used_are_a_partial_success() -> None:
    bad = [{**span(VLLM, 2), "endTimeUnixNano": "5"}, {**span(VLLM, 3), "traceId": "00"}]
    async with running({"chat": None}) as exporter:
        answer = await exporter.post(TRACES, export(span(VLLM), *bad, "no span", span({"db.system": "x"}, 4)))
        assert answer.status == 200
        assert answer.json == {
            "partialSuccess": {"rejectedSpans": "3", "errorMessage": "bad_ids: 1, bad_span: 1, bad_times: 1"}
        }
        encoded = await exporter.post(TRACES, protobuf(export(bad[0])), PROTOBUF)
        partial = ExportTraceServiceResponse.FromString(encoded.body).partial_success
        assert (partial.rejected_spans, partial.error_message) == (1, "bad_times: 1")
        assert exporter.lines("chat") == {
            ("used", ""): 1,
            ("dropped", "bad_times"): 2,
            ("dropped", "bad_ids"): 1,
            ("dropped", "bad_span"): 1,
            ("ignored", "other"): 1,
        }


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"\xff\xff", PROTOBUF), (b"{", JSON), (b"[]", JSON), (b'{"resourceSpans": 3}', JSON), (b"[" * 9999, JSON)],
)
async def test_what_is_no_export_is_a_bad_request_in_its_own_encoding(body: bytes, content_type: str) -> None:
    async with running({"chat": None}) as exporter:
        answer = await exporter.post(TRACES, body, content_type)
        assert (answer.status, answer.content_type) == (400, content_type)
        if content_type == JSON:
            code, message = answer.json["code"], answer.json["message"]
        else:
            status = Status.FromString(answer.body)
            code, message = status.code, status.message
        assert (code, message) == (3, "the body is no ExportTraceServiceRequest")


async def test_an_empty_export_is_fine_and_a_wrong_content_type_is_not() -> None:
    async with running({"chat": None}) as exporter:
        assert (await exporter.post(TRACES, b"", PROTOBUF)).status == 200
        assert (await exporter.post(TRACES, b"{}", JSON)).status == 200
        assert (await exporter.post(TRACES, b"{}", "text/plain")).status == 415
        assert (await exporter.post(TRACES, b"x", JSON, {"Content-Encoding": "br"})).status == 415


async def test_services_share_one_receiver_and_others_are_ignored() -> None:
    async with running({"rest": "c", "any": None, "a": "vllm-a"}) as exporter:
        for number, service in enumerate(["vllm-a", "b", "c"], 1):
            await exporter.post(TRACES, export(span({**VLLM, "gen_ai.request.id": service}, number), service=service))
        assert [[event.id for event in exporter.news(name)] for name in ("a", "any", "rest")] == [
            ["vllm-a"],
            ["b"],
            ["c"],
        ]
    async with running({"a": "vllm-a"}) as exporter:
        assert (await exporter.post(TRACES, export(span(VLLM), span(VLLM, 2), service="b"))).json == {}
        assert exporter.lines("a") == {("ignored", "other_service"): 2}


async def test_a_clients_span_that_goes_to_another_server_still_wraps_the_engines() -> None:
    client = export(span(CHAT, 1, kind=CLIENT, start=-0.1, seconds=2.2), service="app")
    async with running({"engine": "vllm-server", "apps": "app"}) as exporter:
        await exporter.post(TRACES, export(span(VLLM, 2, 1)))
        await exporter.post(TRACES, client)
        assert (len(exporter.news("engine")), len(exporter.news("apps"))) == (1, 0)
        assert exporter.lines("apps") == {("ignored", "wrapper"): 1}


async def test_large_bodies_are_understood_too_while_others_get_their_turn() -> None:
    many = [
        {**span({**VLLM, "gen_ai.request.id": f"id-{number}"}, number), "traceId": f"{number:032x}"}
        for number in range(1, 601)
    ]
    events = [{**WHOLE, "id": f"id-{number}"} for number in range(2000)]
    async with running({"chat": None}, ["train"]) as exporter:
        bodies = [exporter.post(TRACES, export(*many)) for _ in range(2)] + [exporter.push(*events) for _ in range(2)]
        answers = [answer.json for answer in await asyncio.gather(*bodies)]
        assert answers[:2] == [{}, {}]
        assert sorted(answer["accepted"] for answer in answers[2:]) == [0, 2000]
        assert (len(exporter.news("chat")), len(exporter.news("train"))) == (600, 2000)
        assert exporter.lines("chat") == {("used", ""): 600, ("ignored", "duplicate"): 600}


# The real OpenTelemetry SDK


@pytest.fixture
def tracer_and_spans() -> tuple[Tracer, InMemorySpanExporter]:
    """Spans that began just before our present."""
    held = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "app"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(held))
    return provider.get_tracer("test"), held


def ask(tracer: Tracer) -> None:
    began = round((NOW - 10) * 1e9)
    with tracer.start_as_current_span("handle", kind=SpanKind.SERVER, start_time=began, end_on_exit=False) as handle:
        chat = tracer.start_span("chat qwen3-8b", kind=SpanKind.CLIENT, start_time=began + 10**9)
        chat.set_attributes({**CHAT, "gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 34})
        chat.set_attribute("gen_ai.response.finish_reasons", ["stop"])
        chat.set_status(StatusCode.OK)
        chat.end(began + 3 * 10**9)
    handle.end(began + 4 * 10**9)


async def sent(exporter: SpanExporter, spans: Sequence[ReadableSpan]) -> SpanExportResult:
    return await asyncio.to_thread(exporter.export, spans)


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
async def test_the_opentelemetry_sdk_is_understood(
    tracer_and_spans: tuple[Tracer, InMemorySpanExporter], compression: Compression
) -> None:
    tracer, held = tracer_and_spans
    ask(tracer)
    async with running({"chat": None}) as exporter:
        sdk = OTLPSpanExporter(exporter.url + TRACES, compression=compression)
        assert await sent(sdk, held.get_finished_spans()) is SpanExportResult.SUCCESS
        assert await sent(sdk, held.get_finished_spans()) is SpanExportResult.SUCCESS
        sdk.shutdown()  # type: ignore[no-untyped-call]
        (event,) = exporter.news("chat")
        assert (event.start, event.end) == (NOW - 9, NOW - 7)
        assert (event.model, event.prompt_tokens, event.output_tokens) == ("qwen3-8b", 12, 34)
        assert exporter.lines("chat") == {("used", ""): 1, ("ignored", "other"): 2, ("ignored", "duplicate"): 1}


async def test_the_opentelemetry_sdk_tries_again_when_the_inbox_is_full_and_nothing_is_lost_or_doubled(
    tracer_and_spans: tuple[Tracer, InMemorySpanExporter], caplog: pytest.LogCaptureFixture
) -> None:
    tracer, held = tracer_and_spans
    ask(tracer)
    async with running({"chat": None}, most=2) as exporter:
        exporter.inboxes["chat"].put(Started("before", Instant(NOW)), None)
        sdk = OTLPSpanExporter(exporter.url + TRACES)
        sending = asyncio.create_task(sent(sdk, held.get_finished_spans()))
        await until(lambda: "503" in caplog.text or "etrying" in caplog.text)
        assert exporter.lines("chat") == {}
        assert [event.id for event in exporter.news("chat")] == ["before"]
        assert await sending is SpanExportResult.SUCCESS
        sdk.shutdown()  # type: ignore[no-untyped-call]
        assert len(exporter.news("chat")) == 1
        assert exporter.lines("chat") == {("used", ""): 1, ("ignored", "other"): 1}


async def test_spans_that_do_not_fit_are_to_be_sent_again_as_a_whole() -> None:
    async with running({"chat": None}, most=1) as exporter:
        answer = await exporter.post(TRACES, export(span(VLLM), span(VLLM, 2)))
        assert (answer.status, answer.headers["Retry-After"], answer.json["code"]) == (503, "1", 14)
        assert exporter.lines("chat") == {}


# Events


async def test_events_reach_their_servers_inbox_and_each_line_is_answered() -> None:
    async with running(push=["train"]) as exporter:
        answer = await exporter.push(
            WHOLE,
            "",
            {"event": "start", "id": "w", "model": "resnet"},
            WHOLE,
            {**WHOLE, "duration": 3},
            "not JSON",
            {"event": "end", "id": "w", "server": "train"},
            {**WHOLE, "server": "other"},
        )
        assert (answer.status, answer.content_type) == (200, JSON)
        assert answer.json == {
            "accepted": 3,
            "duplicates": 1,
            "rejected": [
                {"line": 5, "error": "id: was told before, of something else; every request and window needs its own"},
                {"line": 6, "error": "is not JSON"},
                {"line": 8, "error": "server: must be one of train"},
            ],
        }
        whole, started, ended = exporter.news("train")
        assert isinstance(whole, Completed)
        assert started == Started("w", Instant(NOW), 0.005, "resnet")
        assert ended == Ended("w", Instant(NOW), 0.005)
        assert exporter.lines("train") == {
            ("used", ""): 3,
            ("ignored", "duplicate"): 1,
            ("dropped", "conflict"): 1,
            ("dropped", "bad_json"): 1,
            ("dropped", "bad_event"): 1,
        }


async def test_of_several_servers_one_must_be_named_and_ids_are_each_its_own() -> None:
    async with running(push=["a", "b"]) as exporter:
        answer = await exporter.push(WHOLE, {**WHOLE, "server": "a"}, {**WHOLE, "server": "b", "duration": 5})
        assert answer.json["accepted"] == 2
        assert answer.json["rejected"] == [{"line": 1, "error": "server: must be one of a, b"}]
        assert (len(exporter.news("a")), len(exporter.news("b"))) == (1, 1)


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        (json.dumps(WHOLE, indent=2), 1),
        (json.dumps([WHOLE, {**WHOLE, "id": "b"}], indent=2), 2),
        (json.dumps(WHOLE) + "\n" + json.dumps({**WHOLE, "id": "b"}), 2),
    ],
)
async def test_json_may_be_one_event_a_list_of_them_or_one_a_line(body: str, accepted: int) -> None:
    async with running(push=["train"]) as exporter:
        assert (await exporter.post(EVENTS, body.encode(), JSON)).json["accepted"] == accepted


async def test_only_if_nothing_can_be_read_it_is_a_bad_request() -> None:
    async with running(push=["train"]) as exporter:
        assert (await exporter.post(EVENTS, b"", NDJSON)).status == 400
        assert (await exporter.push(" ", "")).status == 400
        nothing = await exporter.push("SECRET", "{SECRET")
        assert (nothing.status, nothing.json["accepted"], len(nothing.json["rejected"])) == (400, 0, 2)
        assert b"SECRET" not in nothing.body
        assert (await exporter.push({"id": "a"})).status == 200


async def test_many_wrong_lines_are_counted_and_a_hundred_are_listed() -> None:
    async with running(push=["train"]) as exporter:
        answer = (await exporter.push(*[{}] * 150)).json
        assert (len(answer["rejected"]), answer["rejected_not_listed"]) == (100, 50)


async def test_events_that_do_not_fit_are_to_be_sent_again_as_a_whole() -> None:
    async with running(push=["train"], most=2) as exporter:
        several = [{**WHOLE, "id": f"id-{number}"} for number in range(3)]
        answer = await exporter.push(*several)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert exporter.lines("train") == {}
        assert (await exporter.push(*several[:2])).json["accepted"] == 2


async def test_the_schema_is_served_and_accepts_what_is_accepted() -> None:
    async with running(push=["train"]) as exporter, exporter.session.get(exporter.url + SCHEMA) as answer:
        assert (answer.status, answer.content_type) == (200, "application/schema+json")
        Draft202012Validator(json.loads(await answer.read())).validate(WHOLE)


# Bounds, browsers, and nobody there


async def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    async with running({"chat": None}, ["train"]) as exporter:
        bomb = gzip.compress(b" " * (64 << 20))
        head = {"Content-Encoding": "gzip"}
        for path, content_type in ((TRACES, PROTOBUF), (TRACES, JSON), (EVENTS, NDJSON)):
            assert (await exporter.post(path, bomb, content_type, head)).status == 413
        assert (await exporter.post(EVENTS, io.BytesIO(b" " * (5 << 20)), NDJSON)).status == 413
        assert (await exporter.post(EVENTS, b"{}\n" * (MOST_LINES + 1), NDJSON)).status == 413


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"{}", mtime=0)[:-4], gzip.compress(b"{}", mtime=0) + b"more"]
)
async def test_a_body_that_is_not_what_it_says_is_a_bad_request(body: bytes) -> None:
    async with running({"chat": None}, ["train"]) as exporter:
        for path in (TRACES, EVENTS):
            assert (await exporter.post(path, body, JSON, {"Content-Encoding": "gzip"})).status == 400


async def test_only_so_many_bodies_are_read_at_once() -> None:
    going_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{}\n"
        await going_on.wait()

    async with running(push=["train"]) as exporter:
        waiting = [asyncio.create_task(exporter.post(EVENTS, slow(), NDJSON)) for _ in range(MOST_BODIES)]
        while (answer := await exporter.push({})).status == 200:
            pass
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        going_on.set()
        assert {one.status for one in await asyncio.gather(*waiting)} == {200}
        assert (await exporter.push({})).status == 200


async def test_a_client_that_leaves_in_the_middle_costs_nothing() -> None:
    async with running(push=["train"]) as exporter:
        host, _, port = exporter.url.removeprefix("http://").partition(":")
        for _ in range(MOST_BODIES + 1):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n")
            writer.write(b"Content-Length: 1000\r\n\r\n{}")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert (await exporter.push(WHOLE)).json["accepted"] == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[bad"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_a_web_page_of_another_site_cannot_post(headers: dict[str, str], status: int) -> None:
    async with running({"chat": None}, ["train"]) as exporter:
        assert (await exporter.push(WHOLE, headers=headers)).status == status
        assert (await exporter.post(TRACES, b"{}", JSON, headers)).status == status
        own = {"Origin": exporter.url}
        assert (await exporter.push(WHOLE, headers=own)).status == 200


async def test_where_nobody_is_told_of_it_says_what_to_configure() -> None:
    async with running() as exporter:
        for path, source in ((TRACES, "otlp"), (EVENTS, "push")):
            answer = await exporter.post(path, b"{}", JSON)
            assert answer.status == 404
            assert f"source: {source}" in answer.body.decode()


def test_the_protobuf_library_is_loaded_only_by_those_who_are_told_by_spans() -> None:
    script = """
import sys
from exporter.app import exporting
from exporter.feeds.opening import TracedServer
from exporter.server import Intakes, build
from exporter.feeds.inbox import Inbox
from exporter.requests.posted.otlp import OtlpCore
build(None, None)
assert "google.protobuf" not in sys.modules
build(None, None, intakes=Intakes(None, None, [TracedServer("a", Inbox("a"), OtlpCore(None))]))
assert "google.protobuf" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


_bodies = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [protobuf(export(span(VLLM))), json.dumps(export(span(VLLM))).encode(), json.dumps(WHOLE).encode()]
    ),
    st.tuples(st.just(protobuf(export(span(VLLM)))), st.integers(0, 300), st.binary(max_size=9)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + len(parts[2]) :]
    ),
    st.binary(max_size=50).map(gzip.compress),
)
_posts = st.tuples(
    st.sampled_from([TRACES, EVENTS]),
    _bodies,
    st.sampled_from([PROTOBUF, JSON, NDJSON, "", "application/json; charset=x", "text/html"]),
    st.sampled_from([{}, {}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "x"}, {"Origin": "a b"}]),
)


@settings(max_examples=25, deadline=None)
@given(posts=st.lists(_posts, min_size=5, max_size=20))
async def test_no_bytes_make_the_server_fail(posts: list[tuple[str, bytes, str, dict[str, str]]]) -> None:
    async with running({"chat": None}, ["train"]) as exporter:
        for path, body, content_type, headers in posts:
            assert (await exporter.post(path, body, content_type, headers)).status in {200, 400, 403, 415}
        assert (await exporter.push(WHOLE)).status == 200
