"""`POST /api/v1/events`: requests and windows that a program tells us itself; `GET /api/v1/events/schema`: how."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from aiohttp import web

from exporter.domain.events import Ignored
from exporter.domain.units import Instant
from exporter.feeds.opening import PushedServer
from exporter.requests.parts.stamps import Moment
from exporter.requests.posted.push import BAD_EVENT, BAD_JSON, RefusalError, parse, parse_value
from exporter.requests.posted.pushed import Pushed
from exporter.server.bodies import BREATH, Bodies, UnreadableError, off_the_loop, refuse_browsers
from exporter.server.intake import Intakes

MOST_BYTES = 4 << 20
MOST_LINES = 10_000
MOST_LISTED = 100
_RECEIPT_SECONDS = 0.005
"""How long an event without a time may have been on its way to us."""
_CONTENT_TYPES = ("application/x-ndjson", "application/jsonl", "application/json")


class _Line(NamedTuple):
    """A line that is not empty, by its number; an event, or why it is none."""

    number: int
    said: Pushed | RefusalError


class Events:
    """Puts the events that are posted into the inboxes of their servers."""

    def __init__(self, intakes: Intakes) -> None:
        self._now = intakes.now
        self._wall_offset = intakes.wall_offset
        self._intakes = {intake.server: intake for intake in intakes.push}
        self._first = intakes.push[0]
        self._bodies = Bodies()
        self._lock = asyncio.Lock()  # one body after the other: the room that there is is its own

    async def post(self, request: web.Request) -> web.Response:
        """The handler."""
        try:
            refuse_browsers(request)
            _check_content_type(request)
            one_value = request.content_type == "application/json"
            async with self._bodies.read(request, MOST_BYTES) as body, self._lock:
                return await self._answer(await off_the_loop(body, lambda: list(_lines(body, one_value=one_value))))
        except UnreadableError as refusal:
            return web.json_response({"error": str(refusal)}, status=refusal.status, headers=refusal.headers)

    async def _answer(self, lines: Sequence[_Line]) -> web.Response:
        if not lines:
            raise UnreadableError(400, "nothing was sent")
        if len(lines) > min(intake.inbox.room for intake in self._intakes.values()):
            raise UnreadableError(503, "too much was told at once", retry_seconds=1)
        fates: Counter[str] = Counter()
        rejected: list[dict[str, Any]] = []
        now, offset = self._now(), self._wall_offset() or 0.0
        for line in lines:
            try:
                fates[self._hear(line.said, offset, now)] += 1
            except RefusalError as refusal:
                rejected.append({"line": line.number, "error": str(refusal)})
            if line.number % BREATH == 0:
                await asyncio.sleep(0)
        nothing = all(isinstance(line.said, RefusalError) and line.said.dropped == BAD_JSON for line in lines)
        answer = {"accepted": fates["accepted"], "duplicates": fates["duplicates"], "rejected": rejected[:MOST_LISTED]}
        if len(rejected) > MOST_LISTED:
            answer["rejected_not_listed"] = len(rejected) - MOST_LISTED
        return web.json_response(answer, status=400 if nothing else 200)

    def _hear(self, said: Pushed | RefusalError, offset: float, now: Instant) -> str:
        """What became of this line. Raises RefusalError."""
        intake = self._first
        try:
            if isinstance(said, RefusalError):
                raise said
            intake = self._whose(said.server)
            heard = intake.core.hear(said, offset, Moment(now, _RECEIPT_SECONDS))
        except RefusalError as refusal:
            intake.inbox.count("dropped", refusal.dropped.reason)
            raise
        if isinstance(heard, Ignored):
            intake.inbox.count("ignored", heard.reason)
            return "duplicates"
        intake.inbox.put(heard, now)
        intake.inbox.count("used")
        return "accepted"

    def _whose(self, server: str | None) -> PushedServer:
        if server is None and len(self._intakes) == 1:
            return self._first
        if server is None or server not in self._intakes:
            raise RefusalError(BAD_EVENT, f"server: must be one of {', '.join(self._intakes)}")
        return self._intakes[server]


def _check_content_type(request: web.Request) -> None:
    if request.content_type not in _CONTENT_TYPES:
        raise UnreadableError(415, f"Content-Type must be one of {', '.join(_CONTENT_TYPES)}")


def _lines(body: bytes, *, one_value: bool) -> Iterator[_Line]:
    """The lines of a body, or the elements of one JSON array, or one object that stands on several lines."""
    text = body.decode("utf-8-sig", "replace")
    values = _whole(text) if one_value else None
    if values is not None:
        _check_number(len(values))
        yield from _numbered(values)
        return
    texts = text.split("\n")
    _check_number(len(texts))
    for number, one in enumerate(texts, 1):
        if one.strip():
            try:
                yield _Line(number, parse(one))
            except RefusalError as refusal:
                yield _Line(number, refusal)


def _numbered(values: Iterable[Any]) -> Iterator[_Line]:
    for number, value in enumerate(values, 1):
        try:
            yield _Line(number, parse_value(value))
        except RefusalError as refusal:
            yield _Line(number, refusal)


def _whole(text: str) -> list[Any] | None:
    """The events of a body that is one JSON value; None where it is not one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else [value]


def _check_number(lines: int) -> None:
    if lines > MOST_LINES:
        raise UnreadableError(413, f"more than {MOST_LINES} lines: send fewer at once")
