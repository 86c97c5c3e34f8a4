"""What we are told directly: requests that pass through our reverse proxy, spans and events that are posted to us."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from exporter.domain.events import Completed, Ended, RequestEvent, Started
from exporter.domain.health import LogView
from exporter.domain.units import Instant
from exporter.feeds.feed import Told

FULL = "inbox_full"
"""Why a piece of news was dropped: more came between two polls than is held."""
_MOST_OPEN = 65_536


class Memory(Protocol):
    """What whoever puts news in must remember across restarts, such as what it has been told before."""

    def snapshot(self) -> Mapping[str, Any]:
        """As JSON values."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable one is as good as none."""
        ...


class Inbox:
    """News that is put in by whoever hears it, on the engine's own thread, and taken out at the next poll.

    Requests that were open when this process ended are over if their connections ended with it: `ends_with_us`. They
    are then told to be aborted at the time of the snapshot.
    """

    def __init__(
        self, server: str, *, ends_with_us: bool = False, memory: "Memory | None" = None, most: int = 100_000
    ) -> None:
        self.server = server
        self.behind = False
        self._memory = memory
        self._ends_with_us = ends_with_us
        self._most = most
        self._news: deque[Told] = deque()
        self._lines: Counter[tuple[str, str]] = Counter()
        self._open: dict[str, None] = {}
        self._polled: Instant | None = None

    @property
    def room(self) -> int:
        """How many more pieces of news it takes before the next poll."""
        return self._most - len(self._news)

    def put(self, event: RequestEvent, heard_at: Instant | None, aliases: tuple[str, ...] = ()) -> None:
        """Tell of a request. Never raises; what does not fit is counted."""
        if len(self._news) >= self._most:
            self.count("dropped", FULL)
            return
        if isinstance(event, Started) and len(self._open) < _MOST_OPEN:
            self._open[event.id] = None
        elif isinstance(event, Ended | Completed):
            self._open.pop(event.id, None)
        self._news.append(Told(event, heard_at, aliases))

    def count(self, fate: str, reason: str = "", number: int = 1) -> None:
        """Count pieces of news: `used`, or `ignored` or `dropped` for a reason from a closed set."""
        self._lines[fate, reason] += number

    def poll(self, now: Instant, wall_offset: float | None) -> Sequence[Told]:  # noqa: ARG002 - news has its instants
        """Take out what was put in."""
        self._polled = now
        news = list(self._news)
        self._news.clear()
        return news

    def heard_until(self, now: Instant) -> Instant | None:
        """Everything until now: nobody else holds any of it back."""
        return now

    def tell_problems(self) -> None:
        """Nothing keeps it from being heard."""

    def view(self) -> LogView:
        """How hearing goes."""
        return LogView(self.server, dict(self._lines), files=0, bytes=0, rotations=0, lag_bytes=0, problems={})

    def snapshot(self) -> Mapping[str, Any]:
        """Who is open, and when that was; what is remembered."""
        kept = {"open": list(self._open), "at": self._polled} if self._ends_with_us else {}
        return kept if self._memory is None else {**kept, "memory": self._memory.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Whoever was open then ended with our predecessor."""
        memory = snapshot.get("memory")
        if self._memory is not None and isinstance(memory, dict):
            self._memory.restore(memory)
        open_, at = snapshot.get("open"), snapshot.get("at")
        if not self._ends_with_us or not isinstance(open_, list) or not isinstance(at, int | float):
            return
        for id_ in open_[:_MOST_OPEN]:
            self.put(Ended(str(id_), Instant(at), outcome="aborted", closing="restart"), None)

    def close(self) -> None:
        """Nothing is open."""
