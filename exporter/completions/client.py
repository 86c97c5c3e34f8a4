"""A client of servers with an OpenAI-compatible API: streamed answers, timed, as anybody's client sees them.

A request's clock starts when its connection is there, so that names, TCP and TLS are not held against the server. One
request that does not count goes first: it warms the connection, and finds out what this server understands.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from exporter.completions.streamed import BUFFERED, CUT, LEAST_STREAMED, Answer, Stream
from exporter.credentials import bearer
from exporter.domain.errors import ExporterError, UsageError

PATIENCE_SECONDS = 60.0
"""Longer than this no server is waited for that asks to be left alone."""

_TRIES = 5
_SHOWN_CHARACTERS = 200
_BUSY = (429, 503)
_REFUSED = (400, 422)
_ABSENT = (404, 405)
_PATHS = {"chat": "/chat/completions", "text": "/completions"}


class CompletionError(ExporterError):
    """The server cannot be asked: says why, never with the key."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to time. `key`: sent as a bearer token and nowhere else."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)


def endpoint(url: str, kind: str, option: str = "--url") -> str:
    """Where this kind of completion is asked for, below what the user named: host, .../v1, or the whole path.

    Raises:
        UsageError: this is no URL of a server; `option` is where it was named.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{option}: not the URL of a server: say http://HOST:PORT or https://HOST/v1 ({_safe(url)})")
    path = parts.path.rstrip("/")
    for known in _PATHS.values():
        path = path.removesuffix(known)
    if not path:
        path = "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path + _PATHS[kind], parts.query, ""))


def _safe(url: str) -> str:
    """The URL without what may be a secret in it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class _RetryError(Exception):
    """The request must be sent again; perhaps later."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.wait_seconds = reason, wait_seconds


@asynccontextmanager
async def asking(target: Target, timeout_seconds: float) -> AsyncIterator["Client"]:
    """A client of a server for as long as the context lasts. `timeout_seconds`: for each answer."""
    headers = {} if target.key is None else bearer(target.key)
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, trace_configs=[_clock()]) as session:
        yield Client(session, target)


def _clock() -> aiohttp.TraceConfig:
    """Notes when a request has its connection."""

    async def begin(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
        context.trace_request_ctx.begin = asyncio.get_running_loop().time()

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(begin)
    config.on_connection_reuseconn.append(begin)
    return config


@dataclass(slots=True)
class Client:
    """Asks, and learns what the server understands.

    Attributes:
        kind: `chat` or `text` completions. wants_usage: whether it may be asked how many tokens there were.
        limit: what it calls the bound on the answer. settled: whether all this is known.
        exact: whether it is asked to fill the bound, which servers of one's own understand.
    """

    session: aiohttp.ClientSession
    target: Target
    kind: str = "chat"
    wants_usage: bool = True
    limit: str = "max_tokens"
    settled: bool = False
    exact: bool = False

    async def warm_up(self, text: str) -> None:
        """One answer that does not count.

        Raises:
            CompletionError: there is none.
        """
        answer = await self.ask(text, LEAST_STREAMED)
        self.settled = True
        if isinstance(answer, str) and answer != BUFFERED:
            raise CompletionError(f"{_safe(self.target.url)} gave no answer that could be timed: {answer}")

    async def ask(self, text: str, max_tokens: int) -> Answer | str:
        """The timing of an answer, or why there is none."""
        reason = ""
        for attempt in range(_TRIES):
            try:
                return await self._try(text, max_tokens)
            except _RetryError as again:
                reason = again.reason
                await asyncio.sleep(min(again.wait_seconds * (attempt + 1), PATIENCE_SECONDS))
            except TimeoutError:
                return "timed out"
            except aiohttp.ClientConnectorError as error:
                return f"cannot be reached ({self._clean(str(error))})"
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                reason = "hung up"  # on a connection kept from before, which servers close when they like
            except aiohttp.ClientError as error:
                return f"broke off ({type(error).__name__})"
        return reason

    async def _try(self, text: str, max_tokens: int) -> Answer | str:
        stamp = SimpleNamespace(begin=asyncio.get_running_loop().time())
        url = endpoint(self.target.url, self.kind)
        body = self._body(text, max_tokens)
        async with self.session.post(url, json=body, trace_request_ctx=stamp, allow_redirects=False) as response:
            if response.status != 200:
                return await self._refused(response)
            stream = Stream(stamp.begin)
            try:
                async for piece in response.content.iter_any():
                    stream.take(piece, asyncio.get_running_loop().time())
            except aiohttp.ClientPayloadError:
                return CUT
            stream.end()
            return stream.answer()

    def _body(self, text: str, max_tokens: int) -> dict[str, Any]:
        asked = {"messages": [{"role": "user", "content": text}]} if self.kind == "chat" else {"prompt": text}
        usage = {"stream_options": {"include_usage": True}} if self.wants_usage else {}
        exact = {"ignore_eos": True} if self.exact else {}
        return {"model": self.target.model, **asked, self.limit: max_tokens, "stream": True, **usage, **exact}

    async def _refused(self, response: aiohttp.ClientResponse) -> str:
        """What to make of an answer that is none; raises where it is not worth to go on, or worth to try again."""
        status = response.status
        if status in (401, 403):
            with_key = "with the key given" if self.target.key else "and no key was given: --api-key-env VAR"
            raise CompletionError(f"{_safe(self.target.url)} refuses us (HTTP {status}) {with_key}")
        said = self._clean((await response.content.read(1 << 16)).decode("utf-8", "replace"))
        if status in _BUSY:
            raise _RetryError(f"too busy (HTTP {status})", _wait_seconds(response.headers.get("Retry-After")))
        if not self.settled and self._adapts(status, said):
            raise _RetryError("does not understand the request")
        return f"failed (HTTP {status}{f': {said}' if said and status < 500 else ''})"

    def _adapts(self, status: int, said: str) -> bool:
        """Whether the request can be put in another way, in which this server may understand it."""
        if status in _ABSENT and "model" not in said.lower() and self.kind == "chat":
            self.kind = "text"
            return True
        if status not in _REFUSED:
            return False
        if self.limit == "max_tokens" and "max_completion_tokens" in said:
            self.limit = "max_completion_tokens"
            return True
        if self.exact:
            self.exact = False
            return True
        if self.wants_usage:
            self.wants_usage = False
            return True
        return False

    def _clean(self, text: str) -> str:
        """In one short line, without the key."""
        if self.target.key:
            text = text.replace(self.target.key, "***")
        text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
        return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _wait_seconds(retry_after: str | None) -> float:
    """How long a busy server asks to be left alone: seconds or a date; a second where it does not say.

    Raises:
        CompletionError: longer than we wait for anybody.
    """
    try:
        seconds = float(retry_after) if retry_after else 1.0
    except ValueError:
        seconds = _until(str(retry_after))
    if not seconds <= PATIENCE_SECONDS:
        raise CompletionError(f"the server is busy and asks to be left alone for {seconds:.0f} s: try again later")
    return max(seconds, 0.0)


def _until(date: str) -> float:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 1.0
