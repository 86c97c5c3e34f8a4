"""One container's log, followed for as long as it is wanted: the connection, and what is done when it breaks."""

import asyncio
import contextlib
import random
import socket
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from types import SimpleNamespace
from typing import Any

import aiohttp

from exporter.domain.lines import Line
from exporter.domain.settings import StartAt
from exporter.domain.units import Instant, later
from exporter.requests.arrival import Bounds
from exporter.requests.arrival.kubernetes.access import PIECE_BYTES, Access, AccessError
from exporter.requests.arrival.kubernetes.answers import LOST, Question, Refusal, read_up_to, refusal_of
from exporter.requests.arrival.kubernetes.stamped import Mark, Stamped, StampedLines, stamp_of

GONE = "gone"
"""Why lines were lost: the server no longer has them. Counted once for each such stretch."""

_DELIVERY_SECONDS = 1.0
"""A node looks at least so often for what a container wrote, and then sends it."""

_TAIL_BYTES = 256
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A peer that has vanished without a word is noticed within a minute."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient we are, in seconds.

    Attributes:
        first, longest: bounds of the waits between attempts, which double and are blurred by chance.
        silence: after so much of it the question is asked anew, which costs nothing: older nodes go on reading a log
            that was rotated away, and fall silent.
        quiet: so long nothing came: the backlog is read.
        relist: between two looks for new pods.
        telling: a loss is told for so long.
        random: a number in [0, 1), by which waits are blurred.
    """

    first: float = 0.5
    longest: float = 30.0
    silence: float = 180.0
    quiet: float = 2.0
    relist: float = 30.0
    telling: float = 60.0
    random: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Asker:
    """What all logs of one arrival share. `ended` is set when one of them has come to an end."""

    access: Access
    container: str | None
    bounds: Bounds
    pace: Pace
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class _Silent:
    """Nothing came for long."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """The server had no more: the container has ended, or the node closed an old stream."""


@dataclass(frozen=True, slots=True)
class _Broken:
    """No connection, or one that broke. `words` for a person."""

    words: str


_Ending = _Silent | _Ended | _Broken | Refusal


class PodLog:
    """Follows one container's log. `run` is its task; `take` is called between.

    Attributes:
        caught_up_at: every line that was there at this instant has been returned.
        problem: why it cannot be read now.
        wanted: set to False, it ends with its stream.
        finished: it has.
    """

    def __init__(
        self,
        asker: Asker,
        pod: str,
        *,
        begin: StartAt | Mark,
        now: Instant,
        since: Instant | None = None,
    ) -> None:
        """Begin to follow.

        Args:
            asker: whom and how.
            pod: its name.
            begin: where: after what the mark says, or at an end of what is there.
            now: the present instant.
            since: at this instant there was no such pod.
        """
        self.pod = pod
        self.lines = StampedLines(asker.bounds.line_bytes, begin if isinstance(begin, Mark) else None)
        self.caught_up_at = since
        self.problem: str | None = None
        self.wanted = True
        self.finished = False
        self.bytes = 0
        self.lost: Counter[str] = Counter()
        self._asker = asker
        self._from_end = begin == "end"
        self._whole = False
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._taken = asyncio.Event()
        self._now = now
        self._asked_at: Instant | None = None
        self._heard_at = Instant(-inf)
        self._latest = Instant(-inf)
        self._current = False
        self._lost_at = Instant(-inf)
        self._wait = asker.pace.first

    # --- what has come ---------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the question stands and nothing is wrong with it."""
        return self._asked_at is not None

    @property
    def begun(self) -> bool:
        """Whether it is settled where reading begins."""
        return not self._from_end

    @property
    def queued(self) -> int:
        """Bytes that have come and were not taken yet."""
        return self._queued

    @property
    def told(self) -> str | None:
        """What to tell a person: the problem, or for a while a loss."""
        if self.problem is None and self._now - self._lost_at < self._asker.pace.telling:
            return LOST
        return self.problem

    def take(self, now: Instant, wall_offset: float | None, most_bytes: int, most_lines: int) -> list[Line]:
        """Return what has come, to a piece of the stream."""
        self._now = now
        not_before = Instant(-inf) if self.caught_up_at is None else later(self.caught_up_at, -_DELIVERY_SECONDS)
        lines: list[Line] = []
        while self._queue and most_bytes > 0 and len(lines) < most_lines:
            piece = self._queue.popleft()
            self._queued -= len(piece)
            most_bytes -= len(piece)
            new = self.lines.feed(piece)
            lines += (self._line(one, not_before, now, wall_offset) for one in new)
        if not self._queue:
            self._conclude(now)
        self._taken.set()
        return lines

    def _line(self, line: Stamped, not_before: Instant, now: Instant, wall_offset: float | None) -> Line:
        envelope = None
        if wall_offset is not None:
            envelope = self._latest = Instant(line.seconds + wall_offset)
        return Line(line.text, not_before, now, wall_offset, envelope)

    def _conclude(self, now: Instant) -> None:
        """All that has come is taken: say how far that is."""
        if self._asked_at is None:
            return
        quiet = now - max(self._asked_at, self._heard_at) >= self._asker.pace.quiet
        self._current = self._current or quiet or self._latest > self._asked_at
        if self._current:
            self.caught_up_at = now

    # --- the connection --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow until no longer wanted."""
        while self.wanted:
            before = self.lines.new
            ending = await self._attempt()
            await self._emptied()
            wait = self._judge(ending, brought=self.lines.new > before)
            if self.wanted and wait > 0.0:
                await asyncio.sleep(wait)
        self.finished = True

    async def _emptied(self) -> None:
        while self._queue:
            self._taken.clear()
            await self._taken.wait()

    async def _attempt(self) -> _Ending:
        """One connection, from the question to its end."""
        self.lines.connect(whole=self._whole)
        token: str | None = None
        try:
            token = self._asker.access.token()
            async with self._asker.access.session(token, traces=[self._when_asked()]) as session:
                ending = await self._follow(session)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            ending = _Broken(words_of(error))
        if isinstance(ending, Refusal) and ending.meaning == "token" and self._token_is_new(token):
            return _Silent()
        return ending

    def _token_is_new(self, used: str | None) -> bool:
        try:
            return self._asker.access.token() != used
        except AccessError:
            return False

    def _when_asked(self) -> aiohttp.TraceConfig:
        """A node answers with its first line only, so an open question without an answer is a connection too."""
        trace = aiohttp.TraceConfig()

        async def asked(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: Any) -> None:
            self._asked_at = None if self._from_end else self._now

        trace.on_request_headers_sent.append(asked)
        return trace

    async def _follow(self, session: aiohttp.ClientSession) -> _Ending:
        try:
            async with asyncio.timeout(self._asker.pace.silence) as patience:
                if self._from_end and (refusal := await self._find_end(session)) is not None:
                    return refusal
                async with self._ask(session, **self._where()) as response:
                    if response.status != 200:
                        return await refusal_of(response, self._question())
                    _keep_alive(response)
                    self.problem = None
                    return await self._pump(response.content, patience)
        except TimeoutError:
            if not patience.expired():
                raise
            return _Silent()

    def _ask(self, session: aiohttp.ClientSession, **more: str) -> Any:
        container = {"container": self._asker.container} if self._asker.container else {}
        url = self._asker.access.log(self.pod)
        return session.get(url, params={"timestamps": "true", **container, **more}, allow_redirects=False)

    def _where(self) -> dict[str, str]:
        since = None if self._whole else self.lines.mark.since
        return {"follow": "true"} | ({"sinceTime": since} if since else {})

    def _question(self) -> Question:
        return Question("get", "pods/log", self._asker.access.namespace, self.pod)

    async def _find_end(self, session: aiohttp.ClientSession) -> Refusal | None:
        """Take the last line that is there for one that was returned."""
        async with self._ask(session, tailLines="1", limitBytes=str(_TAIL_BYTES)) as response:
            if response.status != 200:
                return await refusal_of(response, self._question())
            last = stamp_of(await read_up_to(response.content, _TAIL_BYTES))
        if last is not None:
            self.lines.mark.begin_after(last)
        self._from_end = False
        self.lines.connect()
        return None

    async def _pump(self, content: aiohttp.StreamReader, patience: asyncio.Timeout) -> _Ending:
        loop = asyncio.get_running_loop()
        while True:
            patience.reschedule(loop.time() + self._asker.pace.silence)
            piece = await content.read(PIECE_BYTES)
            patience.reschedule(None)
            if not piece:
                return _Ended()
            self._queue.append(piece)
            self._queued += len(piece)
            self.bytes += len(piece)
            self._heard_at = self._now
            while self._queued >= self._asker.bounds.poll_bytes:
                self._taken.clear()
                await self._taken.wait()

    # --- what next -------------------------------------------------------------------------------------------------

    def _judge(self, ending: _Ending, *, brought: bool) -> float:
        """Draw the conclusions from how a connection ended; returns how long to wait until the next."""
        asked_at, self._asked_at = self._asked_at, None
        self._current = False
        again = False
        if isinstance(ending, _Ended):
            # Whoever was asked has said everything that was there when it was asked.
            self._caught_up(asked_at)
            self._asker.ended.set()
            self.problem = self._empty_words()
        elif isinstance(ending, _Broken):
            self.problem = ending.words
        elif isinstance(ending, Refusal):
            again = self._heed(ending)
        if brought:
            self._wait, self._whole = self._asker.pace.first, False
        if again or isinstance(ending, _Silent):
            return 0.0
        return self._pause(ending.retry_after if isinstance(ending, Refusal) else None)

    def _caught_up(self, at: Instant | None) -> None:
        if at is not None:
            self.caught_up_at = at if self.caught_up_at is None else max(at, self.caught_up_at)

    def _empty_words(self) -> str | None:
        half = self.lines.half
        if half and not half[:1].isdigit():
            return "the node answers without the log: is the container gone? Tried again"
        return None

    def _heed(self, refusal: Refusal) -> bool:
        """Returns whether to ask again at once."""
        self.problem = refusal.words
        if refusal.meaning == "nothing":
            # Who is not there writes nothing; what begins now is read from its beginning.
            self._from_end = False
            self._caught_up(self._now)
            self._asker.ended.set()
        elif refusal.meaning == "expired" and not self._whole:
            self._whole = True
            self._lost_at = self._now
            self.lost[GONE] += 1
            return True
        return False

    def _pause(self, wanted: float | None) -> float:
        pace = self._asker.pace
        wait, self._wait = self._wait, min(self._wait * 2.0, pace.longest)
        return max(wait * (0.5 + pace.random() / 2.0), wanted or 0.0)


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    transport = response.connection.transport if response.connection is not None else None
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is None:
        return
    with contextlib.suppress(OSError):  # already closed: reading will tell
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, seconds in _KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, seconds)


def words_of(error: Exception) -> str:
    """Why there is no connection, for a person; without addresses and numbers, which change at every attempt."""
    if isinstance(error, AccessError):
        return str(error)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the API server's certificate is not trusted: check `ca_file` and the host's name in `api`"
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    told = inner.strerror if isinstance(inner, OSError) else None
    return f"no connection to the API server: tried again ({told or type(inner).__name__})"
