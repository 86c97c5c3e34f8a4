"""A client's request on its way to the server: its target, and its body as it comes."""

import asyncio
import re
from collections.abc import AsyncIterator

from aiohttp import HttpVersion11, web

from exporter.gateway.upstream import Body

HELD_BYTES = 1 << 16
"""A body up to this length is awaited before the server is asked: it goes there in one piece with its headers."""

SILENCE_SECONDS = 60.0
"""A client that says nothing more of a body that is not complete is not waited for any longer."""

_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientError(Exception):
    """A request that cannot be passed on. `status` and `message`: what its client is told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def target_of(request: web.BaseRequest) -> str:
    """Path and query, to the byte as the client wrote them.

    Raises:
        ClientError: the request is about something else than a path.
    """
    raw = request.raw_path
    if request.method == "CONNECT" or raw == "*":
        raise ClientError(501, f"gateway: {request.method} {raw} is about no path of the server's")
    if not raw.startswith("/"):
        rest = _ORIGIN.sub("", raw, count=1)
        raw = rest if rest.startswith("/") else f"/{rest}"
    return raw


class SentBody:
    """The body of a client's request. `broken`: it turned out not to be what its headers say."""

    def __init__(self, request: web.BaseRequest) -> None:
        self.broken = False
        self._request = request
        self._content = request.content

    async def open(self) -> tuple[bytes, Body]:
        """Its beginning, and what is to be sent: all of it if it is short, else pieces as they come, or nothing.

        Raises:
            ClientError: it broke off.
        """
        if not self._request.can_read_body:
            return b"", None
        self._go_on()
        try:
            length = self._request.content_length
            whole = length is not None and length <= HELD_BYTES
            first = await self._whole() if whole else await self._piece()
        except TimeoutError as error:
            raise ClientError(408, "gateway: the rest of the request's body did not come") from error
        except (web.RequestPayloadError, OSError) as error:
            raise ClientError(400, "gateway: the request's body is broken") from error
        return first, first if whole or self._content.at_eof() else _Once(self._pieces(first))

    def _go_on(self) -> None:
        """Some clients wait to be told before they send a large body."""
        request = self._request
        waits = request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11
        if waits and request.transport is not None:
            request.transport.write(_CONTINUE)

    async def _whole(self) -> bytes:
        if self._content.is_eof():
            return self._content.read_nowait()
        pieces = []
        while piece := await self._piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def _piece(self) -> bytes:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await self._content.readany()

    async def _pieces(self, first: bytes) -> AsyncIterator[bytes]:
        yield first
        try:
            while piece := await self._piece():
                yield piece
        except (web.RequestPayloadError, OSError):
            self.broken = True
            raise


class _Once:
    """Pieces that pass once: aiohttp repeats some requests, and not each release sees that a body is half sent."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._begun:
            raise ConnectionResetError("the connection was lost when a part of the body was sent")
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[bytes]:
        self._begun = True
        async for piece in self._pieces:
            yield piece
