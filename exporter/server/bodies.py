"""Reading what is posted to us: bounded in size before and after decompression, in time, and in how many at once.

Browsers may not post: a page of somebody else's that makes a visitor's browser do it would otherwise reach us from
inside the network. Content types that a form cannot send, and the headers that browsers add, tell them apart.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

from aiohttp import ClientError, hdrs, web

MOST_BODIES = 8
BREATH = 256
"""After so many pieces of news others get their turn: the same loop carries traffic."""
_LARGE_BYTES = 1 << 16
_TIMEOUT_SECONDS = 30.0
_PIECE = 1 << 16
_COMPRESSED = ("gzip", "deflate")
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS

_T = TypeVar("_T")


class UnreadableError(Exception):
    """A body that is not taken. Carries the answer's status and what is wrong.

    Attributes:
        status: of the answer.
        retry_seconds: after which to try again; None: trying again is no use.
    """

    def __init__(self, status: int, why: str, retry_seconds: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.retry_seconds = retry_seconds

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the answer."""
        return {} if self.retry_seconds is None else {hdrs.RETRY_AFTER: str(self.retry_seconds)}


class Bodies:
    """Reads bodies, of which only so many are in memory at once."""

    def __init__(self, most_bodies: int = MOST_BODIES) -> None:
        self._free = most_bodies

    @asynccontextmanager
    async def read(self, request: web.Request, most_bytes: int) -> AsyncIterator[bytes]:
        """The request's body, decompressed, for as long as the context lasts.

        Raises:
            UnreadableError: it is too large, too slow or broken, or too many are being read.
        """
        if self._free <= 0:
            raise UnreadableError(503, "too many are being read at once", retry_seconds=1)
        self._free -= 1
        try:
            yield await _read(request, most_bytes)
        finally:
            self._free += 1


async def off_the_loop(body: bytes, understand: Callable[[], _T]) -> _T:
    """Understand a body, in a thread of its own where it is so large that others would have to wait for it."""
    return await asyncio.to_thread(understand) if len(body) > _LARGE_BYTES else understand()


def refuse_browsers(request: web.Request) -> None:
    """Refuse what a web page makes its visitor's browser send.

    Raises:
        UnreadableError: it was a browser, on behalf of another site.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    elsewhere = origin is not None and _host(origin) != request.headers.get(hdrs.HOST, "").lower()
    if elsewhere or request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise UnreadableError(403, "web pages of other sites may not post here")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


async def _read(request: web.Request, most_bytes: int) -> bytes:
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding not in _COMPRESSED and encoding not in ("identity", ""):
        raise UnreadableError(415, "Content-Encoding must be gzip, deflate or identity")
    length = request.content_length
    if length is not None and length > most_bytes:
        raise _too_large(most_bytes)
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            if encoding in _COMPRESSED:
                return await _unzipped(request, most_bytes)
            return await _plain(request, most_bytes)
    except TimeoutError:
        raise UnreadableError(408, f"the body took longer than {_TIMEOUT_SECONDS:g} s") from None
    except zlib.error:
        raise UnreadableError(400, "the body is not compressed as its Content-Encoding says") from None
    except (web.RequestPayloadError, ClientError, ConnectionError):
        raise UnreadableError(400, "the body is broken off") from None


async def _plain(request: web.Request, most_bytes: int) -> bytes:
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > most_bytes:
            raise _too_large(most_bytes)
    return bytes(body)


async def _unzipped(request: web.Request, most_bytes: int) -> bytes:
    unzip = zlib.decompressobj(_GZIP_OR_ZLIB)
    body = bytearray()
    async for piece in request.content.iter_chunked(_PIECE):
        body += unzip.decompress(piece, most_bytes + 1 - len(body))
        if len(body) > most_bytes:
            raise _too_large(most_bytes)
        if unzip.eof and unzip.unused_data:
            raise zlib.error("something follows the end")
    if not unzip.eof:
        raise zlib.error("broken off")
    return bytes(body)


def _too_large(most_bytes: int) -> UnreadableError:
    return UnreadableError(413, f"more than {most_bytes} bytes: send less at once")
