"""What is told of the requests that pass, and that telling cannot harm them."""

import asyncio
import json
import logging
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exporter.domain.events import Ended, FirstToken, RequestEvent, Started
from exporter.domain.settings import TenantSettings
from exporter.domain.units import Instant
from exporter.feeds.inbox import Inbox
from exporter.gateway import accounting
from exporter.gateway.accounting import Estimate
from exporter.gateway.reading import StreamReading
from tests.gateway.servers import SSE, Front, Handler, answering, exchange, fronted, header_lines, post

CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def streaming(*, usage: bool = True, pieces: int = 3, pause: float = 0.0) -> Handler:
    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers=SSE)
        await answer.prepare(request)
        for number in range(pieces + 1):
            delta = {"content": "x"} if number else {"role": "assistant", "content": ""}
            await send(answer, {"id": "chatcmpl-7", "model": "served", "choices": [{"delta": delta}], "usage": None})
            await asyncio.sleep(pause)
        if usage:
            await send(answer, {"id": "chatcmpl-7", "choices": [], "usage": USAGE | {"completion_tokens": pieces}})
        await answer.write(b"data: [DONE]\n\n")
        return answer

    return stream


async def send(answer: web.StreamResponse, event: Any) -> None:
    await answer.write(b"data: " + json.dumps(event).encode() + b"\n\n")


async def plain(_: web.Request) -> web.StreamResponse:
    return web.json_response({"id": "chatcmpl-7", "model": "served", "choices": [], "usage": USAGE})


async def ask(front: Front, body: Any = None, path: str = CHAT, **headers: str) -> bytes:
    async with (
        aiohttp.ClientSession() as client,
        client.post(front.url + path, json=body or {"model": "asked"}, headers=headers) as answer,
    ):
        return await answer.read()


async def test_a_stream_is_told_with_its_first_token_and_its_tokens() -> None:
    async with answering(streaming(pause=0.05)) as url, fronted(url) as front:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await ask(front, **{"X-Request-Id": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
        after = loop.time()
        [started, first, end] = front.told()
    assert started == Started("mine", started.at, 0.0, "asked", None, None, TRACE)
    assert first == FirstToken("mine", first.at)
    assert end == Ended("mine", end.at, 0.0, "ok", "finish", "served", 9, 4, 3)
    assert before <= started.at <= first.at <= end.at <= after
    assert first.at - started.at >= 0.05
    assert end.at - first.at >= 0.15
    assert front.aliases == {"chatcmpl-7"}
    assert front.counted("used", "") == 3


async def test_a_plain_answer_is_told_without_a_first_token() -> None:
    async with answering(plain) as url, fronted(url) as front:
        await ask(front)
        [started, end] = front.told()
    assert (end.model, end.prompt_tokens, end.cached_tokens, end.output_tokens) == ("served", 9, 4, 3)
    assert end.id == started.id
    assert front.aliases == {"chatcmpl-7"}


async def test_counts_in_headers_are_heard() -> None:
    async def tgi(_: web.Request) -> web.StreamResponse:
        return web.json_response({"generated_text": "x"}, headers={"x-prompt-tokens": "9", "x-generated-tokens": "3"})

    async with answering(tgi) as url, fronted(url) as front:
        await ask(front, path="/generate")
        [_, end] = front.told()
    assert (end.prompt_tokens, end.output_tokens) == (9, 3)


async def test_what_is_no_inference_is_not_told() -> None:
    async with answering(plain) as url, fronted(url) as front:
        await ask(front, path="/v1/models")
        await exchange(front.port, b"GET /v1/completions HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n")
        assert front.told() == []
        assert front.counted("ignored", "not_inference") == 2


async def test_a_client_that_uses_its_id_again_makes_two_requests() -> None:
    async with answering(plain) as url, fronted(url) as front:
        for _ in range(2):
            await ask(front, **{"X-Request-Id": "mine"})
        assert [event.id for event in front.told()] == ["mine", "mine", "mine~2", "mine~2"]


async def test_the_tenant_is_told() -> None:
    async with answering(plain) as url, fronted(url, tenant=TenantSettings(header="X-Team", api_key=True)) as front:
        await ask(front, **{"X-Team": "blue"})
        await ask(front, Authorization="Bearer sk-1")
        await ask(front)
        tenants = [event.tenant for event in front.of(Started)]
    assert tenants[0] == "blue"
    assert tenants[1].startswith("key-")
    assert tenants[2] is None


async def test_no_prompt_no_answer_and_no_key_is_kept() -> None:
    async with answering(streaming()) as url, fronted(url, tenant=TenantSettings(api_key=True)) as front:
        body = {"model": "asked", "messages": [{"content": "SECRET"}]}
        await ask(front, body, Authorization="Bearer SECRET")
        assert "SECRET" not in repr(front.told())


@pytest.mark.parametrize(("counting", "expected"), [("auto", None), ("never", None), ("always", 3)])
async def test_pieces_are_no_tokens_unless_somebody_says_so(counting: str, expected: int | None) -> None:
    async with answering(streaming(usage=False)) as url, fronted(url, {"count_chunks": counting}) as front:
        await ask(front)
        [end] = front.of(Ended)
    assert (end.output_tokens, end.prompt_tokens) == (expected, None)


async def test_pieces_are_tokens_on_a_server_whose_usage_has_shown_it() -> None:
    async def both(request: web.Request) -> web.StreamResponse:
        return await streaming(usage=(await request.json())["model"] == "told", pieces=30)(request)

    async with answering(both) as url, fronted(url) as front:
        for model in ("told", "silent", "told", "told", "silent"):
            await ask(front, {"model": model})
        assert [end.output_tokens for end in front.of(Ended)] == [30, None, 30, 30, 30]


async def test_of_a_stream_whose_client_left_only_pieces_are_known() -> None:
    async with answering(streaming(pieces=1000, pause=0.01)) as url, fronted(url, {"count_chunks": "always"}) as front:
        async with aiohttp.ClientSession() as client:
            answer = await client.post(front.url + CHAT, json={})
            while len(front.of(FirstToken)) < 1:
                await answer.content.readany()
            answer.close()
        [end] = await front.ended()
    assert end.outcome == "aborted"
    assert end.output_tokens is not None
    assert 1 <= end.output_tokens < 1000


class BrokenInbox(Inbox):
    """Cannot take news any more, after so many pieces."""

    def __init__(self, good: int) -> None:
        super().__init__("chat")
        self._good = good

    def put(self, event: RequestEvent, heard_at: Instant | None, aliases: tuple[str, ...] = ()) -> None:
        self._good -= 1
        if self._good < 0:
            raise RuntimeError("the inbox is broken")
        super().put(event, heard_at, aliases)


def broken(*_: object) -> Any:
    raise RuntimeError("a bug of ours")


@pytest.mark.parametrize("handler", [streaming(), plain], ids=["stream", "plain"])
@pytest.mark.parametrize("good", [0, 1, 2])
async def test_an_inbox_that_breaks_harms_no_traffic(handler: Handler, good: int) -> None:
    async with answering(handler) as url, fronted(url, inbox=BrokenInbox(good)) as front:
        through = await ask(front)
        async with aiohttp.ClientSession() as client, client.post(url + CHAT, json={"model": "asked"}) as direct:
            assert through == await direct.read()
        if good < 2 or handler is not plain:
            assert front.faults[0] == "gateway"
            assert front.counted("dropped", "accounting_failed") == len(front.faults)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (StreamReading, "feed"),
        (StreamReading, "end"),
        (accounting, "reading_for"),
        (accounting, "model_asked"),
        (accounting, "tenant_of"),
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
async def test_a_bug_in_our_books_harms_no_traffic(
    where: Any, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(where, what, broken)
    async with answering(streaming()) as url, fronted(url) as front:
        through = await ask(front)
        async with aiohttp.ClientSession() as client, client.post(url + CHAT, json={"model": "asked"}) as direct:
            assert through == await direct.read()
        assert front.faults == ["gateway"]
        assert front.counted("dropped", "accounting_failed") == 1
        starts, ends = front.of(Started), front.of(Ended)
        assert [end.id for end in ends] == [start.id for start in starts], "nobody runs for ever"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_even_a_fault_counter_that_breaks_harms_no_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "model_asked", broken)
    monkeypatch.setattr(Inbox, "count", broken)
    async with answering(plain) as url, fronted(url) as front:
        assert json.loads(await ask(front))["usage"] == USAGE


async def test_a_bug_in_the_passing_itself_ends_one_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(plain) as url, fronted(url) as front:
        with monkeypatch.context() as patched:
            patched.setattr("exporter.gateway.relay.for_upstream", broken)
            answer = await exchange(front.port, post(CHAT))
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"Traceback" not in answer
        assert b"bug of ours" not in answer
        assert front.faults == ["gateway"]
        assert json.loads(await ask(front))["usage"] == USAGE


# The energy header


def estimating(said: Any) -> tuple[Estimate, list[tuple[Any, ...]]]:
    asked: list[tuple[Any, ...]] = []

    def estimate(*about: Any) -> tuple[float, str] | None:
        asked.append(about)
        if isinstance(said, Exception):
            raise said
        return said  # type: ignore[no-any-return]

    return estimate, asked


async def with_estimate(handler: Handler, said: Any, *, on: bool = True) -> tuple[bytes, list[tuple[Any, ...]], Front]:
    estimate, asked = estimating(said)
    async with answering(handler) as url, fronted(url, {"energy_header": on}, estimate=estimate) as front:
        answer = await exchange(front.port, post(CHAT, b'{"model": "asked"}'))
        await front.ended()
    return answer, asked, front


async def test_a_plain_answer_says_what_it_may_have_used() -> None:
    answer, [(server, model, seconds, prompt, output, first)], front = await with_estimate(
        plain, (12.3456789, "step_model")
    )
    assert header_lines(answer, "x-energy-joules") == [b"12.3457"]
    assert header_lines(answer, "x-energy-method") == [b"time_proxy; proxy=step_model"]
    assert (server, model, prompt, output, first) == ("chat", "served", 9, 3, None)
    [started, end] = front.told()
    assert seconds == end.at - started.at
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["usage"] == USAGE


@pytest.mark.parametrize("said", [None, (float("nan"), "x"), (-1.0, "x"), RuntimeError("a bug of ours")])
async def test_where_nothing_can_be_said_nothing_is(said: Any) -> None:
    answer, asked, front = await with_estimate(plain, said)
    assert len(asked) == 1
    assert not header_lines(answer, "x-energy-joules")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["usage"] == USAGE
    assert front.faults == (["gateway"] if isinstance(said, Exception) else [])


async def test_it_is_off_unless_asked_for_and_streams_have_none() -> None:
    for handler, on in ((plain, False), (streaming(), True)):
        answer, asked, _ = await with_estimate(handler, (1.0, "x"), on=on)
        assert not asked
        assert not header_lines(answer, "x-energy-joules")


async def test_long_answers_and_failures_are_not_held_for_it() -> None:
    async def long(_: web.Request) -> web.StreamResponse:
        return web.json_response({"usage": USAGE, "data": "x" * 100_000})

    async def failed(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "no"}, status=500)

    for handler in (long, failed):
        answer, asked, _ = await with_estimate(handler, (1.0, "x"))
        assert not asked
        assert not header_lines(answer, "x-energy-joules")


async def test_an_answer_that_breaks_off_while_it_is_held_is_a_502() -> None:
    async def torn(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return answer

    answer, asked, front = await with_estimate(torn, (1.0, "x"))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert not asked
    assert [end.outcome for end in front.of(Ended)] == ["error"]
