"""What passes through the gateway passes as it is."""

import asyncio
import gzip
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.gateway.servers import SSE, answering, exchange, fronted, head_of, header_lines, post, saying, talking

MEGABYTES_50 = 50 << 20


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v1/%7Emodel%2fx/../a//b;c=1?q=%20+%2B&x=%C3%A9&&y",
        "/a%zz?=&[]'\"<>`{}|",
        "//double",
        "/a:b@c?http://x/?y",
    ],
)
async def test_a_path_is_passed_on_to_the_byte(target: str) -> None:
    heard: list[bytes] = []
    async with talking(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", heard)) as url, fronted(url) as front:
        answer = await exchange(front.port, f"GET {target} HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert heard[0].startswith(f"GET {target} HTTP/1.1\r\n".encode())


async def test_the_upstreams_path_stands_before_the_clients() -> None:
    heard: list[bytes] = []
    async with (
        talking(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", heard)) as url,
        fronted(f"{url}/base/") as front,
    ):
        await exchange(
            front.port, b"GET http://shop.example/a?b HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
        )
    assert heard[0].startswith(b"GET /base/a?b HTTP/1.1\r\n")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY"])
async def test_every_method_is_passed_on(method: str) -> None:
    heard: list[bytes] = []
    async with talking(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", heard)) as url, fronted(url) as front:
        answer = await exchange(
            front.port, f"{method} /x HTTP/1.1\r\nHost: f\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc".encode()
        )
    assert answer.endswith(b"\r\n\r\nok")
    assert heard[0].startswith(f"{method} /x HTTP/1.1\r\n".encode())
    assert heard[0].endswith(b"\r\n\r\nabc")


async def test_an_answer_has_the_headers_that_the_server_sent_and_only_its_name_besides() -> None:
    said = (
        b"HTTP/1.1 418 I am a Teapot\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nX-Odd:  a  b \r\nx-empty:\r\n"
        b"Connection: x-mine, close\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok"
    )
    async with talking(saying(said)) as url, fronted(url) as front:
        answer = await exchange(front.port, post("/tea"))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    assert status == b"HTTP/1.1 418 I am a Teapot"
    assert body == b"ok"
    assert lines[:5] == [
        b"Set-Cookie: a=1; Path=/",
        b"Set-Cookie: b=2",
        b"X-Odd: a  b",
        b"x-empty: ",
        b"Content-Length: 2",
    ]
    assert re.fullmatch(rb"X-Request-Id: [0-9a-f-]{36}", lines[5])
    assert lines[6:] == [b"Connection: close"]


async def test_a_request_has_the_headers_that_the_client_sent_and_who_it_is() -> None:
    heard: list[bytes] = []
    sent = (
        b'POST /v1/completions HTTP/1.1\r\nHost: shop.example\r\nX-Twice: 1\r\nX-Twice: 2\r\nCookie: a=1; b="2"\r\n'
        b"Authorization: Basic abc\r\nX-Request-Id: mine\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\n"
        b"Upgrade: h2c\r\nContent-Length: 2\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n{}"
    )
    async with talking(saying(b"HTTP/1.1 204 No Content\r\n\r\n", heard)) as url, fronted(url) as front:
        await exchange(front.port, sent)
    head, _, body = heard[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")[1:]
    assert body == b"{}"
    assert lines[0] == f"Host: {url.removeprefix('http://')}".encode()
    assert re.fullmatch(rb"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-01", lines.pop())
    assert [line.partition(b":")[0].lower() + b":" + line.partition(b":")[2] for line in lines[1:]] == [
        b"x-twice: 1",
        b"x-twice: 2",
        b'cookie: a=1; b="2"',
        b"authorization: Basic abc",
        b"x-request-id: mine",
        b"content-length: 2",
        b"x-forwarded-for: 9.9.9.9, 127.0.0.1",
        b"x-forwarded-proto: http",
        b"x-forwarded-host: shop.example",
    ]


async def test_names_that_came_are_kept_and_others_made() -> None:
    heard: list[bytes] = []
    parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    async with talking(saying(b"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n", heard)) as url:
        async with fronted(url) as front:
            answer = await exchange(
                front.port,
                post("/a", b"{}", f"traceparent: {parent.decode()}", "tracestate: k=v", "X-Request-Id: me 2"),
            )
        async with fronted(url, {"request_id": "keep", "request_id_header": "X-Call"}) as front:
            kept = await exchange(front.port, post("/b", b"{}", "traceparent: 00-zz", "tracestate: k=v"))
    assert header_lines(heard[0], "traceparent") == [parent]
    assert header_lines(heard[0], "tracestate") == [b"k=v"]
    assert re.fullmatch(rb"[0-9a-f-]{36}", header_lines(heard[0], "x-request-id")[0]), "with a space it is no id"
    assert header_lines(answer, "x-request-id") == [b"theirs"]
    assert header_lines(heard[1], "x-call") == [], "some servers refuse ids that they did not make"
    assert len(header_lines(kept, "x-call")) == 1
    assert header_lines(heard[1], "traceparent")[0] != b"00-zz"
    assert header_lines(heard[1], "tracestate") == []


async def test_bytes_in_headers_that_are_no_utf8_pass(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[bytes] = []
    said = "HTTP/1.1 200 OK\r\nX-Name: Zoë\r\nContent-Length: 0\r\n\r\n".encode()
    async with talking(saying(said, heard)) as url, fronted(url) as front:
        answer = await exchange(front.port, post("/a", b"{}", "X-Name: Zoë"))
    assert "Zoë".encode() in answer
    assert "Zoë".encode() in heard[0]
    assert not caplog.records


@pytest.mark.parametrize(
    ("said", "status", "length"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"204", []),
        (b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 9\r\n\r\n', b"304", [b"9"]),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"200", [b"0"]),
    ],
)
async def test_answers_without_a_body_have_none(said: bytes, status: bytes, length: list[bytes]) -> None:
    async with talking(saying(said)) as url, fronted(url) as front:
        answer = await exchange(front.port, post("/v1/completions"))
        assert [end.outcome for end in await front.ended()] == ["ok"]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert body == b""
    assert header_lines(answer, "content-length") == length
    assert not header_lines(answer, "transfer-encoding")


async def test_head_has_the_length_of_what_it_does_not_send() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"
    async with talking(saying(said)) as url, fronted(url) as front:
        answer = await exchange(front.port, b"HEAD / HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n")
    assert header_lines(answer, "content-length") == [b"12345"]
    assert answer.endswith(b"\r\n\r\n")


async def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    async with talking(saying(said)) as url, fronted(url) as front:
        answer = await exchange(front.port, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nabc")
    assert not header_lines(answer, "transfer-encoding")
    assert not header_lines(answer, "connection")


async def test_a_client_of_http_1_0_may_keep_its_connection_where_the_length_is_known() -> None:
    async with talking(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as url, fronted(url) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            head = await head_of(reader)
            assert header_lines(head, "connection") == [b"keep-alive"]
            assert await reader.readexactly(2) == b"ok"
        writer.close()


async def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    async with talking(saying(b"HTTP/1.0 200 OK\r\n\r\nabc")) as url, fronted(url) as front:
        answer = await exchange(front.port, post("/v1/completions"))
        assert [end.outcome for end in await front.ended()] == ["ok"]
    assert answer.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


async def test_an_encoded_body_passes_as_it_is_both_ways() -> None:
    packed = gzip.compress(b'{"model": "m"}')

    async def echo(request: web.Request) -> web.StreamResponse:
        assert request.headers["Content-Encoding"] == "gzip"
        return web.Response(
            body=await request.content.read(), headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}
        )

    async with answering(echo) as url, fronted(url) as front, aiohttp.ClientSession(auto_decompress=False) as client:
        async with client.post(
            f"{front.url}/v1/completions", data=packed, headers={"Content-Encoding": "gzip"}
        ) as answer:
            assert await answer.read() == packed
        [end] = await front.ended()
        assert end.outcome == "ok"
        assert end.output_tokens is None
        assert front.counted("ignored", "compressed_answer") == 1


async def test_a_client_that_waits_to_be_told_is_told_to_go_on() -> None:
    heard: list[bytes] = []
    async with talking(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", heard)) as url, fronted(url) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert await head_of(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await head_of(reader)).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
    assert heard[0].endswith(b"\r\n\r\nabc")
    assert not header_lines(heard[0], "expect")


async def test_redirects_and_cookies_are_the_clients_business() -> None:
    seen: list[str | None] = []

    async def redirect(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Cookie"))
        return web.Response(status=307, headers={"Location": "/elsewhere", "Set-Cookie": "a=1"})

    async with (
        answering(redirect) as url,
        fronted(url) as front,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        for _ in range(2):
            async with client.get(front.url, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (307, "/elsewhere")
    assert seen == [None, None]


async def test_pieces_of_a_stream_pass_one_by_one_as_they_come() -> None:
    go_on = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers=SSE)
        await answer.prepare(request)
        for number in range(3):
            await answer.write(b'data: {"choices": [{"text": "%d"}]}\n\n' % number)
            await go_on.wait()
            go_on.clear()
        return answer

    async with answering(stream) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        async with client.post(f"{front.url}/v1/completions", json={}) as answer:
            for number in range(3):  # a piece that was held back would never come
                piece = await asyncio.wait_for(answer.content.readany(), 5)
                assert piece == b'data: {"choices": [{"text": "%d"}]}\n\n' % number
                go_on.set()
            assert await answer.content.readany() == b""
        assert [end.outcome for end in await front.ended()] == ["ok"]


async def test_the_headers_of_a_stream_do_not_wait_for_its_first_piece() -> None:
    go_on = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers=SSE)
        await answer.prepare(request)
        await go_on.wait()
        return answer

    async with answering(stream) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        answer = await asyncio.wait_for(client.post(f"{front.url}/v1/completions", json={}), 5)
        assert answer.status == 200
        go_on.set()
        assert await answer.read() == b""


async def hashed(pieces: AsyncIterator[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    async for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


async def sent_pieces() -> AsyncIterator[bytes]:
    block = bytes(range(256)) * 1024
    for _ in range(MEGABYTES_50 // len(block)):
        yield block


@pytest.mark.parametrize("chunked", [True, False])
async def test_bodies_of_50_megabytes_pass_both_ways(chunked: bool) -> None:  # noqa: FBT001
    arrived: list[Any] = []

    async def swallow_and_pour(request: web.Request) -> web.StreamResponse:
        arrived.append((*await hashed(request.content.iter_any()), request.headers.get("Transfer-Encoding")))
        answer = web.StreamResponse(headers={} if chunked else {"Content-Length": str(MEGABYTES_50)})
        await answer.prepare(request)
        async for piece in sent_pieces():
            await answer.write(piece)
        return answer

    expected = await hashed(sent_pieces())
    headers = {} if chunked else {"Content-Length": str(MEGABYTES_50)}
    async with answering(swallow_and_pour) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        async with client.post(f"{front.url}/v1/completions", data=sent_pieces(), headers=headers) as answer:
            assert await hashed(answer.content.iter_any()) == expected
        assert [end.outcome for end in await front.ended()] == ["ok"]
    assert arrived == [(*expected, "chunked" if chunked else None)]


async def test_200_streams_pass_at_once() -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        name = (await request.read()).decode()
        answer = web.StreamResponse(headers=SSE)
        await answer.prepare(request)
        for number in range(20):
            await answer.write(f'data: {{"choices": [{{"text": "{name}/{number}"}}]}}\n\n'.encode())
            await asyncio.sleep(0.01)
        await answer.write(b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 20}}\n\n')
        return answer

    async def ask(client: aiohttp.ClientSession, url: str, name: str) -> bytes:
        async with client.post(url, data=name.encode()) as answer:
            return await answer.read()

    async with (
        answering(stream) as url,
        fronted(url) as front,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
    ):
        texts = await asyncio.gather(*(ask(client, f"{front.url}/v1/completions", f"n{n}") for n in range(200)))
        ends = await front.ended(200)
    for number, text in enumerate(texts):
        assert text.count(f'"n{number}/'.encode()) == 20
    assert {(end.outcome, end.output_tokens) for end in ends} == {("ok", 20)}
    assert len({end.id for end in ends}) == 200


async def test_what_is_no_path_is_refused() -> None:
    async with talking(saying(b"")) as url, fronted(url) as front:
        answer = await exchange(front.port, b"OPTIONS * HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 501 ")
        answer = await exchange(front.port, b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 501 ")


async def test_what_is_no_http_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with talking(saying(b"")) as url, fronted(url) as front:
        assert (await exchange(front.port, b"\x16\x03\x01\x02\x00 hello\r\n\r\n")).startswith(b"HTTP/1.0 400 ")
        both = b"POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        smuggled = await exchange(front.port, both + b"GET /x HTTP/1.1\r\n\r\n")
        assert smuggled.startswith(b"HTTP/1.0 400 "), "of two lengths each server believes another"
    assert not caplog.records
