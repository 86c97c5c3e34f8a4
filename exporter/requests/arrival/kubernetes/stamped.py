r"""Lines with stamps, cut from bytes; and which of them were returned before.

    2026-01-01T12:00:00.123456789Z text\n

Stamps are nanoseconds since the epoch, by the node's wall clock, and nearly in order: standard output and standard
error are stamped apart, and clocks are set. So a log is known by position: what was returned is a beginning of what
the server sends again, and the first line that was not returned ends it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from exporter.requests.arrival import LINE_TOO_LONG, TRUNCATED

WITHOUT_STAMP = "without_stamp"
"""Why a line was dropped: it cannot be told from one returned before, so it is none of the log's."""

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)(?: |$)")
_HEAD_BYTES = 64
_SECOND = 1_000_000_000
_DISORDER = _SECOND // 10
_KEPT = 128
_LATEST = 250_000_000_000 * _SECOND
"""A stamp of the year 9892."""


class Stamped(NamedTuple):
    """A line of a log. `stamp` in nanoseconds since the epoch."""

    stamp: int
    text: str

    @property
    def seconds(self) -> float:
        """The stamp in seconds since the epoch."""
        return self.stamp / _SECOND  # of two whole numbers, and therefore rounded once


class Mark:
    """Where we are in one log: the last stamps that were returned, each with how often. Bounded."""

    def __init__(self, floor: int | None = None, last: int | None = None, seen: Iterable[tuple[int, int]] = ()) -> None:
        self._floor = floor
        self._last = last
        self._seen = dict(seen)

    def note(self, stamp: int) -> None:
        """A line with this stamp was returned."""
        self._last = stamp
        self._seen[stamp] = self._seen.get(stamp, 0) + 1
        if len(self._seen) > _KEPT:
            oldest = next(iter(self._seen))
            del self._seen[oldest]
            self._floor = max(oldest, self._floor if self._floor is not None else oldest)

    def begin_after(self, stamp: int) -> None:
        """Whatever bears this stamp or an earlier one is taken for returned."""
        self._floor = self._last = stamp

    @property
    def since(self) -> str | None:
        """`sinceTime` from which nothing can be missed; None where nothing was returned yet."""
        seconds = self._since()
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def resumption(self, *, whole: bool = False) -> "Resumption":
        """What to skip in an answer to `since`; `whole`: in one to no `since` at all."""
        seconds = None if whole else self._since()
        first = -inf if seconds is None else seconds * _SECOND
        return Resumption(self._floor, {stamp: count for stamp, count in self._seen.items() if stamp >= first})

    def json(self) -> Mapping[str, Any]:
        """As JSON values."""
        return {"floor": self._floor, "last": self._last, "seen": list(self._seen.items())}

    @staticmethod
    def read(saved: Mapping[str, Any]) -> "Mark":
        """From JSON values.

        Raises:
            KeyError, TypeError, ValueError: they are none.
        """
        seen = [(_checked(stamp), _checked(count)) for stamp, count in saved["seen"][-_KEPT:]]
        floor, last = (None if saved[key] is None else _checked(saved[key]) for key in ("floor", "last"))
        return Mark(floor, last, seen)

    def _since(self) -> int | None:
        return None if self._last is None else (self._last - _DISORDER) // _SECOND


def _checked(value: Any) -> int:
    if not isinstance(value, int) or not 0 < value <= _LATEST:
        raise ValueError("no stamp, or no count")
    return value


class Resumption:
    """Tells, line by line from the beginning of an answer, which were returned before.

    Attributes:
        over: no later line was.
        found: some line was: the log is still the one that we knew.
    """

    def __init__(self, floor: int | None, left: dict[int, int]) -> None:
        self._floor = -inf if floor is None else floor
        self._left = left
        self.over = not left and floor is None
        self.found = self.over

    def knows(self, stamp: int) -> bool:
        """Whether this line was returned before."""
        if self.over:
            return False
        count = self._left.get(stamp, 0)
        if count == 0 and stamp > self._floor:
            self.over = True
            return False
        self.found = True
        if count == 0:
            return True
        if count > 1:
            self._left[stamp] = count - 1
        else:
            del self._left[stamp]
            self.over = not self._left
        return True


class StampedLines:
    """Cuts the streams of one log, one connection after the other, into lines that were not returned before.

    Attributes:
        mark: of what was returned. dropped: lines lost, by reason.
        anew: how often a log began that was not the one known: rotated, or of another container.
        new: lines that were not returned before, dropped ones among them.
    """

    def __init__(self, longest: int, mark: Mark | None = None) -> None:
        self.mark = mark or Mark()
        self.dropped: Counter[str] = Counter()
        self.anew = 0
        self.new = 0
        self._longest = longest + _HEAD_BYTES
        self._parts: list[bytes] = []
        self._size = 0
        self._too_long = False
        self._known = Resumption(None, {})
        self._torn: int | None = None
        self._in_step = True

    @property
    def half(self) -> bytes:
        """The beginning of what has come of a line that is not complete."""
        return b"".join(self._parts)[:_HEAD_BYTES]

    def connect(self, *, whole: bool = False) -> None:
        """Another stream begins, from `mark.since` on, or from the log's beginning."""
        if self._known.over and self._in_step and (stamp := _stamp(self.half)) is not None:
            self._torn = stamp[0]
        self._clear()
        self._known = self.mark.resumption(whole=whole)
        self._in_step = self._known.over

    def feed(self, piece: bytes) -> list[Stamped]:
        """Take the next piece of the stream and return the new lines that it completes."""
        first, *others = piece.split(b"\n")
        self._keep(first)
        lines = []
        for other in others:
            if (line := self._complete()) is not None:
                lines.append(line)
            self._keep(other)
        return lines

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._longest:
            if part:
                self._parts.append(part)
        elif not self._too_long:
            self._parts = [b"".join([*self._parts, part])[:_HEAD_BYTES]]
            self._too_long = True

    def _clear(self) -> None:
        self._parts, self._size, self._too_long = [], 0, False

    def _complete(self) -> Stamped | None:
        raw, too_long = b"".join(self._parts), self._too_long
        self._clear()
        stamp = _stamp(raw)
        if stamp is None:
            # What precedes the first stamp after a break is the rest of a line that was returned before.
            if self._in_step:
                self.dropped[WITHOUT_STAMP] += 1
            return None
        self._in_step = True
        if self._known.knows(stamp[0]):
            return None
        self._first_new(stamp[0])
        self.mark.note(stamp[0])
        self.new += 1
        if too_long or len(raw) - stamp[1] > self._longest - _HEAD_BYTES:
            self.dropped[LINE_TOO_LONG] += 1
            return None
        return Stamped(stamp[0], raw[stamp[1] :].decode("utf-8", "replace").removesuffix("\r"))

    def _first_new(self, stamp: int) -> None:
        """What the first new line after a break shows of the time between."""
        if not self._known.found:
            self.anew += 1
            self._known.found = True
        if self._torn not in (None, stamp):
            self.dropped[TRUNCATED] += 1
        self._torn = None


def stamp_of(raw: bytes) -> int | None:
    """The stamp at the beginning of a line."""
    found = _stamp(raw)
    return None if found is None else found[0]


def _stamp(raw: bytes) -> tuple[int, int] | None:
    """The stamp at the beginning, and where the text after it begins."""
    found = _STAMP.match(raw)
    if found is None:
        return None
    head, fraction, zone = found.groups()
    seconds = _seconds(head, zone)
    return None if seconds is None else (seconds * _SECOND + int((fraction or b"0").ljust(9, b"0")), found.end())


@lru_cache(maxsize=64)
def _seconds(head: bytes, zone: bytes) -> int | None:
    try:
        return int(datetime.fromisoformat((head + zone).decode("ascii")).timestamp())
    except (ValueError, OverflowError):
        return None
