"""Clients that leave or are slow, and the gateway's own end."""

import asyncio
import resource
import time

import aiohttp
import pytest
from aiohttp import web

from exporter.domain.events import Ended, FirstToken, Started
from tests.gateway.servers import SSE, answering, exchange, fronted, head_of, post, talking

CHUNK = b'data: {"choices": [{"text": "x"}]}\n\n'


class Endless:
    """A server that streams until its client leaves. `left`: when it noticed."""

    def __init__(self, pause: float = 0.01) -> None:
        self.left: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._pause = pause

    async def serve(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers=SSE)
        try:
            await request.read()
            await answer.prepare(request)
            while True:
                await answer.write(CHUNK)
                await asyncio.sleep(self._pause)
        finally:
            if not self.left.done():
                self.left.set_result(time.monotonic())


async def test_when_the_client_of_a_stream_leaves_the_server_knows_at_once() -> None:
    endless = Endless()
    async with answering(endless.serve) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        answer = await client.post(f"{front.url}/v1/completions", data=b"{}")
        await answer.content.readany()
        answer.close()
        left = time.monotonic()
        assert await asyncio.wait_for(endless.left, 5) - left < 1.0
        [end] = await front.ended()
    assert (end.outcome, end.closing) == ("aborted", "abort")
    assert len(front.of(FirstToken)) == 1


async def test_when_a_client_leaves_before_the_answer_begins_the_server_knows_at_once() -> None:
    left: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def thinking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        await head_of(reader)
        await reader.readexactly(2)
        await reader.read()
        left.set_result(time.monotonic())

    async with talking(thinking) as url, fronted(url) as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(post("/v1/completions"))
        await asyncio.sleep(0.2)
        leaves = time.monotonic()
        writer.close()
        assert await asyncio.wait_for(left, 5) - leaves < 1.0
        [end] = await front.ended()
    assert end.outcome == "aborted"


async def test_a_client_that_leaves_while_it_sends_costs_nothing() -> None:
    async with answering(Endless().serve) as url, fronted(url) as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: f\r\nContent-Length: 100\r\n\r\n{")
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.sleep(0.1)
        assert front.told() == [], "the server has not heard of it"
        assert not front.faults


async def test_a_slow_reader_slows_the_server_and_fills_no_memory() -> None:
    block = b"x" * 65536
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(4000):  # 250 MiB
            await answer.write(block)
            sent += len(block)
        return answer

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with answering(pour) as url, fronted(url) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: f\r\n\r\n")
        await head_of(reader)
        held, still = -1, 0
        async with asyncio.timeout(20):
            while still < 5:  # until nothing moves any more
                await asyncio.sleep(0.1)
                still = still + 1 if sent == held else 0
                held = sent
        writer.close()
    assert held < 64 << 20, "what kernels and buffers hold, not the answer"
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < 64 << 20


async def test_the_end_gives_answers_time_then_cuts_them() -> None:
    endless = Endless()
    async with answering(endless.serve) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        answer = await client.post(f"{front.url}/v1/completions", data=b"{}")
        await answer.content.readany()
        began = time.monotonic()
        await front.gateway.close(grace_seconds=0.3)
        assert 0.3 <= time.monotonic() - began < 3.0
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
        assert [end.outcome for end in front.of(Ended)] == ["aborted"]
        await asyncio.wait_for(endless.left, 5)


async def test_an_answer_that_is_nearly_done_is_let_finish() -> None:
    async def brief(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers=SSE)
        await answer.prepare(request)
        await answer.write(CHUNK)
        await asyncio.sleep(0.3)
        return answer

    async with answering(brief) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        answer = await client.post(f"{front.url}/v1/completions", data=b"{}")
        closing = asyncio.create_task(front.gateway.close(grace_seconds=5.0))
        assert await answer.read() == CHUNK
        await closing
        assert [end.outcome for end in front.of(Ended)] == ["ok"]


async def test_nobody_new_is_let_in_after_the_end() -> None:
    async with answering(Endless().serve) as url, fronted(url) as front:
        await front.gateway.close()
        with pytest.raises(ConnectionRefusedError):
            await exchange(front.port, post("/x"))


async def test_a_kept_connection_serves_many_and_the_next_is_not_harmed_by_the_one_before() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"got": len(await request.read())}, status=200 if request.path == "/a" else 404)

    async with answering(answer) as url, fronted(url) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        for path, size in (("/a", 0), ("/b", 70_000), ("/a", 10), ("/v1/completions", 200_000)):
            writer.write(f"POST {path} HTTP/1.1\r\nHost: f\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size)
            head = await asyncio.wait_for(head_of(reader), 5)
            assert head.split()[1] == (b"200" if path == "/a" else b"404")
            body = await reader.readexactly(len(b'{"got": %d}' % size))
            assert body == b'{"got": %d}' % size
        writer.close()
        assert len(front.of(Started)) == 1
