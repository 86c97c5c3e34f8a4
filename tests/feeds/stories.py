"""Requests as they were, and what sources of several kinds tell of them."""

import random
from dataclasses import dataclass, field
from typing import Literal
from zlib import crc32

from exporter.domain.events import Completed, Ended, RequestEvent, Started
from exporter.domain.units import Instant
from exporter.feeds.feed import Told
from exporter.feeds.joining import Joiner

BEGIN = 1_790_000_000.0
POLL_SECONDS = 0.1
Ids = Literal["same", "engine", "local", "other"]


@dataclass(frozen=True)
class Request:
    """Arrives, executes, ends; a front sees it end somewhat later."""

    name: str
    arrival: float
    start: float
    end: float
    gone: float
    tokens: int


@dataclass(frozen=True)
class Source:
    """How a source tells.

    Attributes:
        ids: the request's own, what an engine makes of it, its own numbers, or unrelated ones.
        is_front: whether it sees arrival and the client's end, or execution.
        tells_starts: live, or only the whole at the end. lag: seconds from an end to its news.
        sees: the part of all requests that it tells of at all; others go past it.
        knows_tokens: whether it tells them.
    """

    ids: Ids = "same"
    is_front: bool = True
    tells_starts: bool = True
    lag: float = 0.02
    sees: float = 1.0
    knows_tokens: bool = True

    def name(self, index: int, request: Request) -> str:
        match self.ids:
            case "same":
                return request.name
            case "engine":
                return f"chatcmpl-{request.name}"
            case "local":
                return str(index)
            case "other":
                return f"{crc32(request.name.encode()):08x}-elsewhere"

    def tells(self, index: int, request: Request) -> list[tuple[float, RequestEvent]]:
        """Its news, by when it comes."""
        id_, tokens = self.name(index, request), request.tokens if self.knows_tokens else None
        start, end = (request.arrival, request.gone) if self.is_front else (request.start, request.end)
        if not self.tells_starts:
            whole = Completed(id_, Instant(start), Instant(end), 0.001, 0.001, output_tokens=tokens)
            return [(end + self.lag, whole)]
        return [
            (start + self.lag, Started(id_, Instant(start), 0.001)),
            (end + self.lag, Ended(id_, Instant(end), 0.001, output_tokens=tokens)),
        ]


def load(seed: int, number: int, *, a_second: float = 5.0) -> list[Request]:
    """Random overlapping requests."""
    random_, at, requests = random.Random(seed), BEGIN, []  # noqa: S311 - a load, no secret
    for index in range(number):
        at += random_.expovariate(a_second)
        start = at + random_.choice([0.002, random_.uniform(0.0, 0.8)])
        end = start + random_.uniform(0.02, 3.0)
        gone = end + random_.uniform(0.0005, 0.02)
        requests.append(Request(f"request-{seed}-{index}-of-many", at, start, end, gone, random_.randint(1, 400)))
    return requests


@dataclass
class Passed:
    """What was passed on. `lives`: one a request, by its id; `started`: ids whose start was passed on alone so far."""

    lives: dict[str, Completed] = field(default_factory=dict)
    started: dict[str, Started] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def take(self, told: list[Told]) -> None:
        for one in told:
            self.told.append(one)
            match one.event:
                case Started() as event:
                    assert event.id not in self.started
                    self.started[event.id] = event
                case Ended() as event:
                    assert event.id not in self.lives
                    begun = self.started[event.id]
                    self.lives[event.id] = Completed(
                        event.id, begun.at, event.at, output_tokens=event.output_tokens, outcome=event.outcome
                    )
                case Completed() as event:
                    assert event.id not in self.lives
                    self.lives[event.id] = event


def news(requests: list[Request], sources: list[Source], seed: int = 0) -> list[tuple[float, int, RequestEvent]]:
    """Everything that all sources tell, in the order in which it comes."""
    random_ = random.Random(seed)  # noqa: S311
    told = [
        (at, number, event)
        for index, request in enumerate(requests)
        for number, source in enumerate(sources)
        if random_.random() < source.sees
        for at, event in source.tells(index, request)
    ]
    return sorted(told, key=lambda one: (one[0], one[1]))


def play(joiner: Joiner, told: list[tuple[float, int, RequestEvent]], *, and_then: float = 40.0) -> Passed:
    """Let a joiner hear it all, polled ten times a second."""
    passed, waiting, now = Passed(), list(told), BEGIN
    end = max((at for at, _, _ in told), default=BEGIN) + and_then
    while now < end:
        now += POLL_SECONDS
        while waiting and waiting[0][0] <= now:
            at, number, event = waiting.pop(0)
            passed.take(joiner.hear(number, Told(event, Instant(at)), Instant(now)))
        passed.take(joiner.release(Instant(now)))
    return passed
