import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from yarl import URL

from tests.gateway.servers import answering, exchange, fronted, talking

Chat = Callable[[web.WebSocketResponse], Awaitable[None]]


def websocket(
    chat: Chat, seen: list[web.Request] | None = None
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if seen is not None:
            seen.append(request)
        socket = web.WebSocketResponse(protocols=("realtime",), autoping=False, max_msg_size=0)
        await socket.prepare(request)
        await chat(socket)
        return socket

    return handle


async def echo(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif message.type is WSMsgType.PING:
            await socket.pong(message.data)


async def test_messages_pass_both_ways() -> None:
    seen: list[web.Request] = []
    async with (
        answering(websocket(echo, seen)) as url,
        fronted(url) as front,
        aiohttp.ClientSession() as client,
        client.ws_connect(
            URL(f"{front.url}/v1/realtime?model=%2Fm", encoded=True),
            protocols=("other", "realtime"),
            headers={"X-A": "1"},
            autoping=False,
            max_msg_size=0,
        ) as socket,
    ):
        assert socket.protocol == "realtime"
        await socket.send_str("Zoë")
        assert await socket.receive_str() == "Zoë"
        await socket.send_bytes(b"\x00\xff" * 3_000_000)
        assert await socket.receive_bytes() == b"\x00\xff" * 3_000_000
        await socket.ping(b"are you there")
        pong = await socket.receive()
        assert (pong.type, bytes(pong.data)) == (WSMsgType.PONG, b"are you there")
    [request] = seen
    assert request.raw_path == "/v1/realtime?model=%2Fm"
    assert request.headers["X-A"] == "1"
    assert request.headers["Host"] == url.removeprefix("http://")
    assert "X-Request-Id" in request.headers


@pytest.mark.parametrize(("code", "reason"), [(1000, b""), (1000, b"done"), (1008, b"policy"), (4321, b"own")])
async def test_how_the_server_closes_the_client_hears(code: int, reason: bytes) -> None:
    async def leave(socket: web.WebSocketResponse) -> None:
        await socket.close(code=code, message=reason)

    async with (
        answering(websocket(leave)) as url,
        fronted(url) as front,
        aiohttp.ClientSession() as client,
        client.ws_connect(front.url, autoclose=False) as socket,
    ):
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, code, reason.decode())


@pytest.mark.parametrize(("code", "reason"), [(1000, b""), (1001, b"bye"), (4321, b"own")])
async def test_how_the_client_closes_the_server_hears(code: int, reason: bytes) -> None:
    heard: asyncio.Future[tuple[int, str | None]] = asyncio.get_running_loop().create_future()

    async def listen(socket: web.WebSocketResponse) -> None:
        message = await socket.receive()
        heard.set_result((message.data, message.extra))

    async with answering(websocket(listen)) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        async with client.ws_connect(front.url) as socket:
            await socket.close(code=code, message=reason)
        assert await asyncio.wait_for(heard, 5) == (code, reason.decode())


async def test_a_client_that_is_gone_without_a_word_is_gone_for_the_server_too() -> None:
    heard: asyncio.Future[WSMsgType] = asyncio.get_running_loop().create_future()

    async def listen(socket: web.WebSocketResponse) -> None:
        heard.set_result((await socket.receive()).type)

    async with answering(websocket(listen)) as url, fronted(url) as front:
        async with aiohttp.ClientSession() as client:
            socket = await client.ws_connect(front.url)
            transport = socket.get_extra_info("socket")
            assert transport is not None
            socket._response.close()
        assert await asyncio.wait_for(heard, 5) in (WSMsgType.CLOSE, WSMsgType.CLOSED)


async def test_a_server_that_wants_no_websocket_says_so_itself() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        return web.Response(status=403, text="no", headers={"X-Why": "key"})

    async with answering(refuse) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(front.url)
        assert refused.value.status == 403
        assert refused.value.headers is not None
        assert refused.value.headers["X-Why"] == "key"


async def test_a_server_that_is_not_there_is_a_502() -> None:
    async with fronted("http://127.0.0.1:1") as front, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(front.url)
        assert refused.value.status == 502


async def test_an_answer_that_is_no_handshake_is_a_502() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        await reader.read()

    request = (
        b"GET / HTTP/1.1\r\nHost: f\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with talking(nonsense) as url, fronted(url) as front:
        assert (await exchange(front.port, request)).startswith(b"HTTP/1.1 502 ")


async def test_the_gateways_end_ends_websockets() -> None:
    async with answering(websocket(echo)) as url, fronted(url) as front, aiohttp.ClientSession() as client:
        socket = await client.ws_connect(front.url)
        await socket.send_str("x")
        await socket.receive_str()
        await asyncio.wait_for(front.gateway.close(grace_seconds=0.1), 10)
        assert (await asyncio.wait_for(socket.receive(), 5)).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
