"""Answers to clients: the server's own, with nothing added that it did not say, and our refusals."""

import json

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from exporter.gateway.headers import has_body

_OWN_HEADERS = {"Content-Type": "application/json", "Server": "llm-energy-exporter"}


class PassedAnswer(web.StreamResponse):
    """An answer whose headers are the server's; only what concerns the connection is made here.

    aiohttp's own answer would add a content type, a date and its name where the server sent none.
    """

    def __init__(self, status: int, reason: str | None, headers: CIMultiDict[str]) -> None:
        super().__init__(status=status, reason=reason or "", headers=headers)
        self._to: AbstractStreamWriter | None = None
        self._keeps_open = False
        self._has_body = True
        self._framed = True
        self._over = False

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may be used again."""
        return self._keeps_open

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send the headers, or have them wait for a body that follows at once."""
        if self._to is not None:
            return self._to
        writer = self._to = request.writer
        modern = request.version >= HttpVersion11
        self._keeps_open = request.keep_alive
        self._has_body = has_body(request.method, self.status)
        if self.status == 204:
            self.headers.popall("Content-Length", None)
        elif self._has_body and "Content-Length" not in self.headers:
            if modern:
                writer.enable_chunking()
                self.headers["Transfer-Encoding"] = "chunked"
            else:
                self._framed = self._keeps_open = False
        if modern != self._keeps_open:
            self.headers["Connection"] = "keep-alive" if self._keeps_open else "close"
        version = "1.1" if modern else "1.0"
        await writer.write_headers(f"HTTP/{version} {self.status} {self.reason}", self.headers)
        return writer

    def send_headers(self) -> None:
        """Send headers that still wait, because nobody knows when the body comes."""
        assert self._to is not None
        self._to.send_headers()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a piece of the body at once, or wait until the client takes more."""
        assert self._to is not None
        if self._has_body:
            await self._to.write(data)

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the end of the body."""
        assert self._to is not None
        if not self._over:
            self._over = True
            await self._to.write_eof(data if self._has_body else b"")

    def abandon(self) -> None:
        """No more of it is sent, and the connection is not used again."""
        self._over = True
        self._keeps_open = False

    @property
    def framed(self) -> bool:
        """Whether the client can tell a whole body from one that breaks off. A client of HTTP/1.0 may not."""
        return self._framed


def refusal(status: int, message: str, code: str, headers: dict[str, str]) -> web.Response:
    """An error of ours, in the shape that OpenAI's clients understand."""
    error = {"message": message, "type": "gateway_error", "param": None, "code": code}
    body = json.dumps({"error": error}).encode()
    return web.Response(status=status, body=body, headers={**_OWN_HEADERS, **headers})
