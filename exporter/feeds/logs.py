"""A log as a feed: how its text arrives, and the reader that understands it."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from exporter.domain.events import Ignored, Used
from exporter.domain.health import LogView
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.feeds.feed import Told
from exporter.requests.arrival import Arrival
from exporter.requests.reader import RequestReader

log = logging.getLogger(__name__)


class LogFeed:
    """One server's log being read."""

    def __init__(self, server: str, arrival: Arrival, reader: RequestReader) -> None:
        self.server = server
        self._arrival = arrival
        self._reader = reader
        self._lines: Counter[tuple[str, str]] = Counter()
        self._said: dict[str, str] = {}

    @property
    def behind(self) -> bool:
        """Whether there is more to read."""
        return not self._arrival.caught_up

    def poll(self, now: Instant, wall_offset: float | None) -> Sequence[Told]:
        """Read what the log has."""
        told: list[Told] = []
        for line in self._arrival.poll(now, wall_offset):
            told += self._hear(line)
        return told

    def _hear(self, line: Line) -> Sequence[Told]:
        heard = self._reader.feed(line)
        if not isinstance(heard, Used):
            self._lines["ignored" if isinstance(heard, Ignored) else "dropped", heard.reason] += 1
            return ()
        self._lines["used", ""] += 1
        live = line.not_after if line.not_before > -inf else None
        return [Told(event, live) for event in heard.events]

    def heard_until(self, now: Instant) -> Instant | None:
        """How far the log has been read; a log that has ended tells nothing more."""
        return now if self._arrival.ended else self._arrival.caught_up_at

    def tell_problems(self) -> None:
        """Say what keeps a file from being read."""
        problems = self._arrival.tally.problems
        for path in self._said.keys() - problems.keys():
            del self._said[path]
        for path, why in problems.items():
            if self._said.get(path) != why:
                log.warning("log of server %s: %s: %s", self.server, path, why)
        self._said.update(problems)

    def view(self) -> LogView:
        """How reading goes."""
        tally = self._arrival.tally
        dropped = Counter({("dropped", reason): count for reason, count in tally.dropped.items()})
        return LogView(
            server=self.server,
            lines=dict(self._lines + dropped),
            files=tally.files,
            bytes=tally.bytes,
            rotations=tally.rotations,
            lag_bytes=tally.lag_bytes,
            problems=dict(tally.problems),
        )

    def snapshot(self) -> Mapping[str, Any]:
        """Where reading stands, and the reader's memory."""
        return {"arrival": self._arrival.snapshot(), "reader": self._reader.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        if "arrival" in snapshot and "reader" in snapshot:
            self._arrival.restore(snapshot["arrival"])
            self._reader.restore(snapshot["reader"])

    def close(self) -> None:
        """Close its files."""
        self._arrival.close()
