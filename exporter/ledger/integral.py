"""Power readings and their integral."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

HOLE_SECONDS = 1.0
"""Readings further apart than this (or five times the gap before) leave a hole between them..."""
_LONGEST_HOLE_SECONDS = 10.0
"""...and further apart than this always do."""
_MOST_POINTS = 8192
"""Points kept: at 20 Hz, more than three minutes."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Energy used evenly over [start, end). `interpolated`: the readings had a hole there."""

    start: float
    end: float
    joules: float
    interpolated: bool = False


class PowerTrack:
    """Power readings of one device and their integral."""

    def __init__(self, window_seconds: float) -> None:
        self._lag = window_seconds / 2.0
        self._points: list[tuple[float, float, float]] = []
        self._gap = 0.0

    def add(self, at: float, watts: float) -> Segment | None:
        """Take in a reading; returns the energy since the one before, None where there is none or a hole."""
        at -= self._lag
        if not self._points:
            self._points.append((at, watts, 0.0))
            return None
        last_at, last_watts, total = self._points[-1]
        if at <= last_at:
            return None
        usual, self._gap = self._gap, at - last_at
        if self._gap > min(max(HOLE_SECONDS, 5.0 * usual), _LONGEST_HOLE_SECONDS):
            self._points.clear()
            self._points.append((at, watts, 0.0))
            return None
        joules = 0.5 * (last_watts + watts) * (at - last_at)
        self._points.append((at, watts, total + joules))
        if len(self._points) > _MOST_POINTS:
            del self._points[: _MOST_POINTS // 2]
        return Segment(last_at, at, joules)

    @property
    def latest(self) -> tuple[float, float] | None:
        """The latest reading, as (instant it describes, watts)."""
        return self._points[-1][:2] if self._points else None

    @property
    def begin(self) -> float | None:
        """Since when power is known without a hole."""
        return self._points[0][0] if self._points else None

    @property
    def end(self) -> float:
        """Until when power is known; only where it is known at all."""
        return self._points[-1][0]

    def integral(self, at: float) -> float | None:
        """Joules since the latest hole, up to `at`; power holds on after its latest reading. None before the hole."""
        if not self._points or at < self._points[0][0]:
            return None
        index = bisect_right(self._points, at, key=itemgetter(0))
        since, watts, joules = self._points[index - 1]
        elapsed = at - since
        if index == len(self._points):
            return joules + watts * elapsed
        until, watts_then, _ = self._points[index]
        return joules + elapsed * (watts + 0.5 * (watts_then - watts) * elapsed / (until - since))

    def between(self, start: float, end: float) -> Iterator[Segment]:
        """The energy of [start, end) in pieces, as far as it is known: not for long after the latest reading."""
        if not self._points:
            return
        start, end = max(start, self._points[0][0]), min(end, self._points[-1][0] + HOLE_SECONDS)
        if end <= start:
            return
        inside = (point[0] for point in self._points if start < point[0] < end)
        for first, last in pairwise((start, *inside, end)):
            before, after = self.integral(first), self.integral(last)
            if before is not None and after is not None:
                yield Segment(first, last, after - before)
