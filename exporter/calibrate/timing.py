"""Times a server with an OpenAI-compatible API: streamed answers, as anybody's client sees them.

Prompts are of many lengths, because time per prompt token is what tells hardware from load and network; they come in
an order in which length has nothing to do with time of day, and each begins with words that no cache has seen. A
request's clock starts when its connection is there, so that names, TCP and TLS are not held against the GPU. One
request that does not count goes first: it warms the connection, and finds out what this server understands.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from types import SimpleNamespace
from typing import Any, TextIO
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from exporter.calibrate.observation import Observation
from exporter.calibrate.streamed import BUFFERED, CUT, LEAST_STREAMED, Answer, Stream
from exporter.domain.errors import ExporterError, UsageError

SHORTEST_WORDS = 12
LONGEST_WORDS = 1500
PATIENCE_SECONDS = 60.0
"""Longer than this no server is waited for that asks to be left alone."""

_TRIES = 5
_SHOWN_CHARACTERS = 200
_BUSY = (429, 503)
_REFUSED = (400, 422)
_ABSENT = (404, 405)
_PATHS = {"chat": "/chat/completions", "text": "/completions"}
_WORDS = (
    "river lamp stone garden winter letter harbour bridge morning paper window music forest road silver table wind "
    "mountain bread clock island market north painter queen rain salt tower village water yellow copper field glass"
)


class TimingError(ExporterError):
    """The server cannot be timed: says why, never with the key."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to time. `key`: sent as a bearer token and nowhere else."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to time it. `max_tokens`: of each answer. `timeout_seconds`: for each answer."""

    requests: int = 20
    concurrency: int = 1
    max_tokens: int = 128
    timeout_seconds: float = 300.0


@dataclass(slots=True)
class Findings:
    """What came of it.

    Attributes:
        good: in the order in which they were sent. failures: how many requests failed, by reason.
        counted_pieces: answers whose tokens were counted by pieces, because the server did not tell how many.
    """

    good: list[Observation] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    counted_pieces: int = 0

    def fail(self, reason: str) -> None:
        """One more."""
        self.failures[reason] = self.failures.get(reason, 0) + 1


@dataclass(slots=True)
class Progress:
    """How far it is, on a terminal; nothing in a pipe."""

    total: int
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    done: int = 0

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        if self.stream.isatty():
            self.stream.write(f"\r  timed {self.done} of {self.total}" + ("\n" if self.done == self.total else ""))
            self.stream.flush()


async def time_server(
    target: Target, plan: Plan, nonce: str, on_timed: Callable[[Observation], None] = lambda _: None
) -> Findings:
    """Send the requests of a plan and time their answers.

    Args:
        target: the server.
        plan: how many requests, and so on.
        nonce: what no earlier run began its prompts with.
        on_timed: called with each timing as its answer ends.

    Raises:
        TimingError: the server is not there, refuses us, or speaks another language.
    """
    findings, progress = Findings(), Progress(plan.requests)
    async with _client(target, plan) as client:
        await client.warm_up(prompt(SHORTEST_WORDS, f"{nonce}-warm-up"))
        numbered = iter(enumerate(lengths(plan.requests)))
        timed: dict[int, Observation] = {}

        async def work() -> None:
            for number, words in numbered:
                answer = await client.ask(prompt(words, f"{nonce}-{number}"), plan.max_tokens)
                progress.step()
                if isinstance(answer, str):
                    findings.fail(answer)
                    continue
                findings.counted_pieces += answer.counted_pieces
                timed[number] = answer.observation
                on_timed(answer.observation)

        await _together(work() for _ in range(plan.concurrency))
    findings.good = [timed[number] for number in sorted(timed)]
    return findings


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first that gives up ends all."""
    try:
        async with asyncio.TaskGroup() as workers:
            for one in work:
                workers.create_task(one)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


def lengths(count: int) -> Iterator[int]:
    """Lengths of prompts in words: short to long in equal ratios, in an order that leaps about (golden section)."""
    ratio = LONGEST_WORDS / SHORTEST_WORDS
    for number in range(count):
        yield round(SHORTEST_WORDS * ratio ** (0.6180339887 * (number + 0.5) % 1.0))


def prompt(words: int, nonce: str) -> str:
    """A prompt of about so many words that asks for a long answer."""
    random = Random(nonce)  # noqa: S311 - words to read, no secret
    return f"{nonce}. Write a long story, at least a thousand words, with these: " + " ".join(
        random.choices(_WORDS.split(), k=words)
    )


def endpoint(url: str, kind: str) -> str:
    """Where this kind of completion is asked for, below what the user named: host, .../v1, or the whole path.

    Raises:
        UsageError: this is no URL of a server.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--url: not the URL of a server: say http://HOST:PORT or https://HOST/v1 ({_safe(url)})")
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
async def _client(target: Target, plan: Plan) -> AsyncIterator["_Client"]:
    headers = {} if target.key is None else {"Authorization": f"Bearer {target.key}"}
    timeout = aiohttp.ClientTimeout(total=plan.timeout_seconds)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, trace_configs=[_clock()]) as session:
        yield _Client(session, target)


def _clock() -> aiohttp.TraceConfig:
    """Notes when a request has its connection."""

    async def begin(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
        context.trace_request_ctx.begin = asyncio.get_running_loop().time()

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(begin)
    config.on_connection_reuseconn.append(begin)
    return config


@dataclass(slots=True)
class _Client:
    """Asks, and learns what the server understands.

    Attributes:
        kind: `chat` or `text` completions. wants_usage: whether it may be asked how many tokens there were.
        limit: what it calls the bound on the answer. settled: whether all this is known.
    """

    session: aiohttp.ClientSession
    target: Target
    kind: str = "chat"
    wants_usage: bool = True
    limit: str = "max_tokens"
    settled: bool = False

    async def warm_up(self, text: str) -> None:
        """One answer that does not count.

        Raises:
            TimingError: there is none.
        """
        answer = await self.ask(text, LEAST_STREAMED)
        self.settled = True
        if isinstance(answer, str) and answer != BUFFERED:
            raise TimingError(f"{_safe(self.target.url)} gave no answer that could be timed: {answer}")

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
        return {"model": self.target.model, **asked, self.limit: max_tokens, "stream": True, **usage}

    async def _refused(self, response: aiohttp.ClientResponse) -> str:
        """What to make of an answer that is none; raises where it is not worth to go on, or worth to try again."""
        status = response.status
        if status in (401, 403):
            with_key = "with the key given" if self.target.key else "and no key was given: --api-key-env VAR"
            raise TimingError(f"{_safe(self.target.url)} refuses us (HTTP {status}) {with_key}")
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
        TimingError: longer than we wait for anybody.
    """
    try:
        seconds = float(retry_after) if retry_after else 1.0
    except ValueError:
        seconds = _until(str(retry_after))
    if not seconds <= PATIENCE_SECONDS:
        raise TimingError(f"the server is busy and asks to be left alone for {seconds:.0f} s: try again later")
    return max(seconds, 0.0)


def _until(date: str) -> float:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 1.0
