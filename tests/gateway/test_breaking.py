"""Servers that refuse, break, are silent or speak nonsense."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exporter.domain.errors import ConfigError, ListenError
from exporter.domain.events import Started
from exporter.gateway import sent
from tests.gateway.servers import SSE, answering, exchange, fronted, head_of, header_lines, post, saying, talking

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b'data: {"choices": [{"text": "x"}]}\n\n'


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def error_of(answer: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    return error


def as_chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


async def test_a_server_that_is_not_there_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with fronted(url) as front:
        answer = await exchange(front.port, post("/v1/completions"))
        [end] = await front.ended()
    assert answer.startswith(b"HTTP/1.1 502 ")
    error = error_of(answer)
    assert error["message"] == f"gateway: {url} cannot be reached: Connection refused"
    assert (error["type"], error["param"], error["code"]) == ("gateway_error", None, "bad_gateway")
    assert len(header_lines(answer, "x-request-id")) == 1
    assert end.outcome == "error"
    assert end.at == front.of(Started)[0].at, "it has cost nothing"


async def test_a_host_that_nobody_knows_is_named() -> None:
    async with fronted("http://nowhere.invalid:1") as front:
        answer = await exchange(front.port, post("/x"))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert "http://nowhere.invalid:1" in error_of(answer)["message"]


async def test_a_server_that_does_not_accept_in_time_is_a_504() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003
            one.connect_ex(full.getsockname())
        async with fronted(url, {"connect_timeout": "200ms"}) as front:
            answer = await exchange(front.port, post("/v1/completions"))
            [end] = await front.ended()
        for one in waiting:
            one.close()
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert error_of(answer)["message"] == f"gateway: {url} did not accept the connection in time"
    assert end.at == front.of(Started)[0].at


async def test_a_server_that_stays_silent_is_a_504() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        await reader.read()

    async with talking(silent) as url, fronted(url, {"read_timeout": "200ms"}) as front:
        answer = await exchange(front.port, post("/v1/completions"))
        [end] = await front.ended()
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert error_of(answer) == {
        "message": f"gateway: {url} was silent for 0.2 s",
        "type": "gateway_error",
        "param": None,
        "code": "upstream_timeout",
    }
    assert end.outcome == "error"
    assert end.at > front.of(Started)[0].at, "who knows what it did meanwhile"


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 999999 x\r\n\r\n"]
)
async def test_a_server_that_speaks_no_http_is_a_502(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with talking(saying(said)) as url, fronted(url) as front:
        answer = await exchange(front.port, post("/v1/completions"))
        assert [end.outcome for end in await front.ended()] == ["error"]
        assert not front.faults
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert url in error_of(answer)["message"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "said",
    [
        STREAM_HEAD + as_chunk(CHUNK),
        STREAM_HEAD + as_chunk(CHUNK) + b"ff\r\nbroken",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n" + CHUNK,
    ],
)
async def test_a_stream_that_breaks_off_is_broken_off_for_the_client_too(said: bytes) -> None:
    async with talking(saying(said)) as url, fronted(url) as front:
        async with aiohttp.ClientSession() as client, client.post(f"{front.url}/v1/completions", data=b"{}") as answer:
            assert answer.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        [end] = await front.ended()
        assert end.outcome == "error"
        assert not front.faults


async def test_a_client_of_http_1_0_can_tell_a_broken_stream_too() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(STREAM_HEAD + as_chunk(CHUNK))
        await writer.drain()
        await asyncio.sleep(0.2)

    async with talking(stall) as url, fronted(url) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"POST /v1/completions HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        await head_of(reader)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_an_error_of_the_server_passes_and_is_told_as_one() -> None:
    said = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    async with talking(saying(said)) as url, fronted(url) as front:
        answer = await exchange(front.port, post("/v1/completions"))
        assert [end.outcome for end in await front.ended()] == ["error"]
    assert answer.startswith(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n")


async def test_an_error_within_a_stream_is_told_as_one() -> None:
    body = CHUNK + b'data: {"error": {"message": "out of memory"}}\n\n'
    async with talking(saying(STREAM_HEAD + as_chunk(body) + b"0\r\n\r\n")) as url, fronted(url) as front:
        await exchange(front.port, post("/v1/completions"))
        assert [end.outcome for end in await front.ended()] == ["error"]


async def test_a_stream_that_turns_to_nonsense_is_broken_off() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(STREAM_HEAD + as_chunk(CHUNK))
        await asyncio.sleep(0.1)
        writer.write(b"no number\r\n")
        await reader.read()

    async with talking(babble) as url, fronted(url) as front:
        answer = await exchange(front.port, post("/v1/completions"))
        assert [end.outcome for end in await front.ended()] == ["error"]
    assert answer.endswith(as_chunk(CHUNK)), "no last chunk says that it is whole"


@pytest.mark.parametrize("held", [True, False])
async def test_a_request_whose_body_is_broken_is_the_clients_fault(
    held: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sent, "SILENCE_SECONDS", 0.5)  # aiohttp says nothing of broken chunks: no more of them comes

    async def swallow(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response()

    head = b"POST /v1/completions HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with answering(swallow) as url, fronted(url) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(head)
        if not held:
            writer.write(as_chunk(b"x" * 200_000))
            await asyncio.sleep(0.2)
        writer.write(b"no number\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.split()[1] == b"400"
        assert not front.faults
        if not held:
            assert [end.outcome for end in await front.ended()] == ["error"]


async def test_an_answer_that_comes_before_the_request_is_complete_passes() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()
        await asyncio.sleep(1)

    async with talking(refuse) as url, fronted(url) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: f\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 1000)
        assert (await asyncio.wait_for(head_of(reader), 5)).startswith(b"HTTP/1.1 413 Too Large\r\n")
        assert await reader.readexactly(3) == b"big"
        writer.close()
        assert [end.outcome for end in await front.ended()] == ["error"]


async def test_a_get_is_sent_again_where_its_connection_was_stale_and_a_post_is_not() -> None:
    heard: list[bytes] = []

    async def twice_a_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await head_of(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        heard.append(await head_of(reader))  # and closes without a word

    async with talking(twice_a_connection) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        for path, method in (("/1", "GET"), ("/2", "GET")):
            async with client.request(method, front.url + path) as answer:
                assert answer.status == 200
        async with client.post(front.url + "/3", data=b"{}") as answer:
            assert answer.status == 502, "the server may have begun with it"
    assert [line.split()[1] for line in heard] == [b"/1", b"/2", b"/2", b"/3"]


async def test_half_a_body_is_never_sent_for_a_whole_one() -> None:
    heard: list[bytes] = []

    async def once_a_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await head_of(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.readexactly(100_000)  # and closes without a word

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000
            await asyncio.sleep(0.005)

    async with talking(once_a_connection) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        async with client.get(front.url + "/1"):
            pass
        async with client.put(front.url + "/2", data=pieces()) as answer:
            assert answer.status == 502
    assert [line.split()[1] for line in heard] == [b"/1"]


async def test_pieces_that_began_to_pass_cannot_begin_again() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    once = sent._Once(pieces())
    untouched, passing = once.__aiter__(), once.__aiter__()
    assert await anext(passing) == b"a"
    with pytest.raises(ConnectionResetError):
        once.__aiter__()
    assert [piece async for piece in passing] == [b"b"]
    assert [piece async for piece in untouched] == []


async def test_a_busy_port_is_said_with_what_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        with pytest.raises(ListenError, match=f"{address}: another program listens there.*option `listen`"):
            async with fronted("http://127.0.0.1:1", {"listen": address}):
                pass


async def test_a_file_of_authorities_that_is_none_is_named(tmp_path: Any) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nonsense")
    for path in (nonsense, tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match=r"options\.ca_file"):
            async with fronted("https://127.0.0.1:1", {"ca_file": str(path)}):
                pass


async def test_a_server_that_speaks_no_tls_is_named() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with talking(plain) as url, fronted(url.replace("http:", "https:")) as front:
        answer = await exchange(front.port, post("/x"))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert "https://127.0.0.1" in error_of(answer)["message"]


async def test_a_stream_goes_on_however_long_its_first_piece_takes() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers=SSE)
        await answer.prepare(request)
        for _ in range(4):
            await asyncio.sleep(0.15)
            await answer.write(CHUNK)
        return answer

    async with answering(slow) as url, fronted(url, {"read_timeout": "400ms"}) as front:
        answer = await exchange(front.port, post("/v1/completions"))
    assert answer.count(CHUNK) == 4, "silence counts from piece to piece"
