"""The server's side of the gateway: asking it, and what can go wrong with it.

Connections are kept open between requests for less time than servers do (uvicorn and llama-server: five seconds), so
that none is used that the server is just closing. Requests that may be repeated (GET and the like) are sent again by
aiohttp if that happens all the same; a POST is not, because the server may have begun with it.
"""

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncIterable
from typing import NamedTuple

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from exporter.domain.errors import ConfigError
from exporter.requests.posted.proxied import ProxyOptions

KEPT_SECONDS = 4.0
LONGEST_HEADER = 1 << 16
LONGEST_LINE = 1 << 16

_WATCH_SECONDS = 1.0

Body = bytes | AsyncIterable[bytes] | None


class UpstreamError(Exception):
    """The server did not answer as it should.

    Attributes:
        status, message: what the client is told.
        served: the server may have begun to work.
    """

    def __init__(self, status: int, message: str, *, served: bool) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.served = served


class Request(NamedTuple):
    """What is sent to the server. `target` is the client's, to the byte."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: Body


class Upstream:
    """The server behind the gateway. To be made within a running loop, and closed."""

    def __init__(self, options: ProxyOptions) -> None:
        self.url = options.upstream
        trusted = _trusted(options.ca_file)
        self._answers: set[aiohttp.ClientResponse] = set()
        self._watching = asyncio.create_task(self._watch())
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS, ssl=trusted)
        self._silence = options.read_timeout_seconds
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=options.connect_timeout_seconds, sock_read=options.read_timeout_seconds
            ),
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_HEADER,
        )

    def target(self, target: str) -> URL:
        """The URL of a request target that begins with a slash; nothing in it is written anew."""
        return URL(self.url + target, encoded=True)

    async def ask(self, request: Request) -> aiohttp.ClientResponse:
        """Send a request and wait for the answer's headers.

        Raises:
            UpstreamError: there is no answer.
        """
        try:
            answer = await self.session.request(
                request.method,
                self.target(request.target),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise self.failure(error) from error
        self._answers.add(answer)
        return answer

    def done(self, answer: aiohttp.ClientResponse) -> None:
        """Nothing more is wanted of this answer. Its connection is kept if it is complete, else closed."""
        self._answers.discard(answer)
        answer.close()

    async def piece(self, answer: aiohttp.ClientResponse) -> bytes:
        """The next piece of an answer's body, as it came; empty at its end.

        Raises:
            UpstreamError: the body broke off.
        """
        try:
            return await answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise self.failure(error) from error

    def failure(self, error: Exception) -> UpstreamError:
        """What a failure of the HTTP client means, in words that hold no more than the server's address."""
        match error:
            case aiohttp.ConnectionTimeoutError():
                failure = UpstreamError(504, f"{self.url} did not accept the connection in time", served=False)
            case aiohttp.ClientConnectorDNSError():
                failure = UpstreamError(502, f"the host of {self.url} is not known", served=False)
            case aiohttp.ClientSSLError():
                failure = UpstreamError(502, f"no secure connection to {self.url}: {_short(error)}", served=False)
            case aiohttp.ClientConnectorError():
                failure = UpstreamError(502, f"{self.url} cannot be reached: {_short(error.os_error)}", served=False)
            case TimeoutError():
                failure = UpstreamError(504, f"{self.url} was silent for {self._silence:g} s", served=True)
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | OSError():
                failure = UpstreamError(
                    502, f"{self.url} closed the connection before its answer was whole", served=True
                )
            case _:
                failure = UpstreamError(502, f"{self.url} gave an answer that is not HTTP", served=True)
        return failure

    async def close(self) -> None:
        """Close every connection."""
        self._watching.cancel()
        await self.session.close()

    async def _watch(self) -> None:
        """Wake those who wait for more of an answer whose connection is gone.

        After bytes that are no HTTP in the midst of a body aiohttp closes the connection, and nobody is told.
        """
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for answer in self._answers:
                connection, content = answer.connection, answer.content
                lost = connection is not None and connection.transport is None and not content.is_eof()
                if lost and content.exception() is None:
                    content.set_exception(aiohttp.ClientPayloadError("the connection is gone"))


def _short(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return str(getattr(error, "reason", None) or type(error).__name__)[:200]


def _trusted(ca_file: str | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # SSLError is one
        problem = f"cannot be used as a file of authorities: {error.strerror or error}; got {ca_file!r}"
        raise ConfigError("options.ca_file", problem) from error
