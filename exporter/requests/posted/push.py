"""Events that a program pushes, a JSON object a line: its own requests, or windows such as training steps.

What is posted to /api/v1/events comes here too (exporter/server/intake.py). What an event holds is in pushed.

    server: train      only events whose `server` is this, or is left out; by default any

An event that comes again, because its sender was not sure, changes nothing. An id that comes again with something
else is refused: one of the two is wrong, and nobody can say which.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Ended, FirstToken, Heard, Ignored, RequestEvent, Started, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.parts.stamps import Moment, moment, time_zone
from exporter.requests.posted.pushed import EventError, Pushed, read_event
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "as the program tells it",
    "first_token": "where the program tells it",
    "end": "as the program tells it",
    "tokens": "where the program tells them",
    "clock": "as fine as the program's; without a time, the moment of receipt",
}
ADVICE = (
    "POST newline-delimited JSON to http://HOST:9460/api/v1/events; GET /api/v1/events/schema says what a line may "
    "hold. Tell a long window's start when it starts, so that its share is kept for it while it runs."
)

FUTURE_TOLERANCE_SECONDS = 60.0
CLOCK_UNCERTAINTY_SECONDS = 1e-6
LONGEST_LINE = 65_536
_MOST_KNOWN = 65_536
_MOST_SAVED = 4096

DUPLICATE = Ignored("duplicate")
OTHER_SERVER = Ignored("other_server")
BAD_JSON = Dropped("bad_json")
BAD_EVENT = Dropped("bad_event")
_CONFLICT = Dropped("conflict")
_NO_TIME = Dropped("no_time")


class RefusalError(Exception):
    """An event that cannot be used. Its text says why and repeats no value.

    Attributes:
        dropped: how it is counted.
    """

    def __init__(self, dropped: Dropped, why: str) -> None:
        super().__init__(why)
        self.dropped = dropped


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of pushed events.

    Raises:
        ConfigError: an option is unknown or wrong, or the time zone is unknown.
    """
    time_zone(timezone)
    for key in options:
        if key != "server":
            raise ConfigError(f"options.{key}", "unknown; allowed is server")
    server = options.get("server")
    if server is not None and (not isinstance(server, str) or not server):
        raise ConfigError("options.server", f"must be the `server` of the events that are meant; got {server!r}")
    return PushReader(server)


def parse(text: str) -> Pushed:
    """What a line says.

    Raises:
        RefusalError: it is no event.
    """
    if len(text) > LONGEST_LINE:
        raise RefusalError(BAD_EVENT, f"is longer than {LONGEST_LINE} characters")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise RefusalError(BAD_JSON, "is not JSON") from None
    return parse_value(value)


def parse_value(value: Any) -> Pushed:
    """What a JSON value says.

    Raises:
        RefusalError: it is no event.
    """
    try:
        return read_event(value)
    except EventError as why:
        raise RefusalError(BAD_EVENT, str(why)) from None


class PushCore:
    """One server's pushed events: knows which were told before."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()

    def hear(self, pushed: Pushed, wall_offset: float, heard: Moment) -> RequestEvent | Ignored:
        """The event in our words, or why it is passed over.

        Args:
            pushed: the event.
            wall_offset: seconds that make an instant of the sender's wall-clock stamps.
            heard: when: the time of an event without one.

        Raises:
            RefusalError: it contradicts what was told before, or is from the future.
        """
        if pushed.at is not None and pushed.at + wall_offset > heard.at + FUTURE_TOLERANCE_SECONDS:
            raise RefusalError(BAD_EVENT, "is from the future: compare the sender's clock with this machine's")
        key = f"{pushed.event} {pushed.id}"
        digest = blake2b(repr(pushed._replace(server=None)).encode("utf-8", "replace"), digest_size=8).hexdigest()
        known = self._known.get(key)
        if known == digest:
            return DUPLICATE
        if known is not None or any(f"{other} {pushed.id}" in self._known for other in _EXCLUDED[pushed.event]):
            raise RefusalError(
                _CONFLICT, "id: was told before, of something else; every request and window needs its own"
            )
        self._known[key] = digest
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return _event(pushed, wall_offset, heard)

    def snapshot(self) -> Mapping[str, Any]:
        """The latest that were told, as JSON values."""
        return {"known": list(self._known.items())[-_MOST_SAVED:]}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        try:
            self._known = OrderedDict((str(key), str(digest)) for key, digest in snapshot["known"][-_MOST_KNOWN:])
        except (KeyError, TypeError, ValueError):
            return


_EXCLUDED: Mapping[str, tuple[str, ...]] = {
    "complete": ("end",),
    "start": ("end", "complete"),
    "first_token": ("end", "complete"),
    "end": ("complete",),
}
"""What an id must not have been told to be before: what is over does not start, and ends once."""


def _event(pushed: Pushed, wall_offset: float, heard: Moment) -> RequestEvent:
    at, sure = heard if pushed.at is None else Moment(Instant(pushed.at + wall_offset), CLOCK_UNCERTAINTY_SECONDS)
    if pushed.event == "start":
        return Started(pushed.id, at, sure, pushed.model, pushed.prompt_tokens, pushed.tenant, pushed.trace_id)
    if pushed.event == "first_token":
        return FirstToken(pushed.id, at, sure)
    counts = (pushed.model, pushed.prompt_tokens, pushed.cached_tokens, pushed.output_tokens)
    if pushed.event == "end":
        return Ended(pushed.id, at, sure, pushed.outcome, "finish" if pushed.outcome != "aborted" else "abort", *counts)
    first = None if pushed.first_token is None else Instant(pushed.first_token + wall_offset)
    start = Instant(pushed.start + wall_offset)
    return Completed(
        pushed.id, start, at, sure, sure, first, pushed.queued, pushed.outcome, *counts, pushed.tenant, pushed.trace_id
    )


class PushReader:
    """Reads pushed events from a file. Those without a time need a live reading."""

    def __init__(self, server: str | None) -> None:
        self._server = server
        self._core = PushCore()

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        if not line.text.strip():
            return Ignored("empty")
        try:
            pushed = parse(line.text)
            if self._server is not None and pushed.server not in (None, self._server):
                return OTHER_SERVER
            when = moment(line, None)
            if pushed.at is None and when is None:
                return _NO_TIME
            heard = self._core.hear(pushed, line.wall_offset or 0.0, when or Moment(line.not_after, 0.0))
        except RefusalError as refusal:
            return refusal.dropped
        return heard if isinstance(heard, Ignored) else Used((heard,))

    def snapshot(self) -> Mapping[str, Any]:
        """Which events were told."""
        return self._core.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        self._core.restore(snapshot)
