"""Several feeds of one server as one, in which every request is told once."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from exporter.domain.health import LogView
from exporter.domain.units import Instant
from exporter.feeds.feed import Feed, Told
from exporter.feeds.joining import Joiner
from exporter.recording.values import UnfitError

log = logging.getLogger(__name__)


class JoinedFeed:
    """All that several sources tell of one server. The first is believed most."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self.server = feeds[0].server
        self._feeds = tuple(feeds)
        self._joiner = Joiner(len(feeds))

    @property
    def behind(self) -> bool:
        """Whether any of them has more."""
        return any(feed.behind for feed in self._feeds)

    def poll(self, now: Instant, wall_offset: float | None) -> Sequence[Told]:
        """What they have told, and what has waited long enough for the others."""
        passed_on: list[Told] = []
        for number, feed in enumerate(self._feeds):
            for told in feed.poll(now, wall_offset):
                passed_on += self._joiner.hear(number, told, now)
        return passed_on + self._joiner.release(now)

    def heard_until(self, now: Instant) -> Instant | None:
        """How far the slowest has been heard; requests that are held for others have not been passed on yet."""
        known = [feed.heard_until(now) for feed in self._feeds]
        until = [one for one in known if one is not None]
        return self._joiner.complete_until(min(until)) if len(until) == len(known) else None

    def tell_problems(self) -> None:
        """Each tells its own."""
        for feed in self._feeds:
            feed.tell_problems()

    def view(self) -> LogView:
        """All of them together."""
        views = [feed.view() for feed in self._feeds]
        lines: Counter[tuple[str, str]] = Counter()
        for view in views:
            lines.update(view.lines)
        return LogView(
            server=self.server,
            lines=dict(lines),
            files=sum(view.files for view in views),
            bytes=sum(view.bytes for view in views),
            rotations=sum(view.rotations for view in views),
            lag_bytes=sum(view.lag_bytes for view in views),
            problems={path: why for view in views for path, why in view.problems.items()},
        )

    def snapshot(self) -> Mapping[str, Any]:
        """Theirs, and what is held."""
        return {"feeds": [feed.snapshot() for feed in self._feeds], "joiner": self._joiner.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot of as many feeds; with others than now, all begin anew."""
        saved = snapshot.get("feeds")
        if not isinstance(saved, list) or len(saved) != len(self._feeds):
            return
        for feed, one in zip(self._feeds, saved, strict=True):
            feed.restore(one)
        try:
            self._joiner.restore(snapshot["joiner"])
        except (UnfitError, KeyError, TypeError, ValueError, AttributeError):
            log.warning("server %s: what was held of its requests is lost", self.server)
            self._joiner = Joiner(len(self._feeds))

    def close(self) -> None:
        """Close all of them."""
        for feed in self._feeds:
            feed.close()
