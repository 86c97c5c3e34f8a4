"""Websockets through the gateway: messages both ways, pings and pongs too, and how they were closed.

Each side has its own handshake. Extensions such as compression are not passed on; messages that came in fragments go on
whole.
"""

import asyncio
from typing import Any

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web
from multidict import CIMultiDict

from exporter.gateway.answer import PassedAnswer
from exporter.gateway.headers import end_to_end
from exporter.gateway.upstream import Upstream

_HANDSHAKE = (
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "sec-websocket-accept",
)
_CLOSE_SECONDS = 5.0
_NO_CODE = 1005
_UNSENDABLE = frozenset({0, _NO_CODE, 1006, 1015})
"""Codes that tell that there was none: they never stand in a frame."""

_Side = Any  # aiohttp's two ends have the same methods and no common type


async def relay_websocket(
    request: web.BaseRequest, upstream: Upstream, target: str, headers: CIMultiDict[str]
) -> web.StreamResponse:
    """Connect a client that asks for a websocket with the server, until either side closes.

    Raises:
        UpstreamError: the server cannot be reached.
    """
    offered = [one.strip() for one in ",".join(headers.getall("Sec-WebSocket-Protocol", ())).split(",") if one.strip()]
    try:
        server = await upstream.session.ws_connect(
            upstream.target(target),
            protocols=offered,
            headers=end_to_end(headers, _HANDSHAKE),
            autoclose=False,
            autoping=False,
            max_msg_size=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
        )
    except aiohttp.WSServerHandshakeError as error:
        return _refused(error)
    except (aiohttp.ClientError, OSError) as error:
        raise upstream.failure(error) from error
    client = web.WebSocketResponse(
        timeout=_CLOSE_SECONDS,
        autoclose=False,
        autoping=False,
        compress=False,
        max_msg_size=0,
        protocols=[server.protocol] if server.protocol else (),
    )
    try:
        await client.prepare(request)
        await _both_ways(client, server)
    finally:
        await server.close(code=WSCloseCode.GOING_AWAY)
    return client


def _refused(error: aiohttp.WSServerHandshakeError) -> web.StreamResponse:
    """The server wants no websocket: its status says why. The body of such an answer is not at hand."""
    headers: CIMultiDict[str] = end_to_end(error.headers or CIMultiDict(), ("content-length", "content-encoding"))
    headers["Content-Length"] = "0"
    status = error.status if error.status >= 300 else 502
    return PassedAnswer(status, None, headers)


async def _both_ways(client: _Side, server: _Side) -> None:
    pumps = [asyncio.create_task(_pump(client, server)), asyncio.create_task(_pump(server, client))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(source: _Side, sink: _Side) -> None:
    """Pass messages on until one side closes or is gone."""
    while True:
        message = await source.receive()
        try:
            if message.type is WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            elif message.type is WSMsgType.PING:
                await sink.ping(message.data)
            elif message.type is WSMsgType.PONG:
                await sink.pong(message.data)
            else:
                await _close(source, sink, message)
                return
        except ConnectionError:
            return


async def _close(source: _Side, sink: _Side, message: aiohttp.WSMessage) -> None:
    """Close the other side as this one was closed."""
    if message.type is not WSMsgType.CLOSE:
        await sink.close(code=WSCloseCode.GOING_AWAY)  # gone without a word
        return
    code = WSCloseCode.OK if message.data in _UNSENDABLE else message.data
    reason = (message.extra or "").encode()
    await sink.close(code=code, message=reason)
    await source.close(code=code, message=reason)
