"""Power readings and their integral."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from exporter.ledger.patience import HOLE_SECONDS, LONGEST_HOLE_SECONDS

_MOST_POINTS = 8192
"""Points kept: at 20 Hz, more than three minutes."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Energy used over [start, end), evenly as far as the sensor tells.

    `interpolated`: the readings had a hole there. `whole`: a counter's step, both ends of which were looked at closely,
    so that this is the energy of just this time.
    """

    start: float
    end: float
    joules: float
    interpolated: bool = False
    whole: bool = False


class PowerTrack:
    """Power readings of one device and their integral.

    Kept as three columns of bare numbers: as tuples, the points of eight boards would take ten megabytes. Readings
    leave a hole between them where they are much further apart than those before, and further than `joined_seconds`.
    """

    def __init__(self, window_seconds: float, joined_seconds: float = 0.0) -> None:
        self._lag = window_seconds / 2.0
        self._joined = joined_seconds
        self._at, self._watts, self._joules = array("d"), array("d"), array("d")
        self._gap = 0.0

    def add(self, at: float, watts: float) -> Segment | None:
        """Take in a reading; returns the energy since the one before, None where there is none or a hole."""
        at -= self._lag
        if not self._at:
            self._append(at, watts, 0.0)
            return None
        last_at, last_watts, total = self._at[-1], self._watts[-1], self._joules[-1]
        if at <= last_at:
            return None
        usual, self._gap = self._gap, at - last_at
        if self._gap > max(min(max(HOLE_SECONDS, 5.0 * usual), LONGEST_HOLE_SECONDS), self._joined):
            self._forget(len(self._at))
            self._append(at, watts, 0.0)
            return None
        joules = 0.5 * (last_watts + watts) * (at - last_at)
        self._append(at, watts, total + joules)
        if len(self._at) > _MOST_POINTS:
            self._forget(_MOST_POINTS // 2)
        return Segment(last_at, at, joules)

    def _append(self, at: float, watts: float, joules: float) -> None:
        self._at.append(at)
        self._watts.append(watts)
        self._joules.append(joules)

    def _forget(self, count: int) -> None:
        """Forget the oldest points."""
        for column in (self._at, self._watts, self._joules):
            del column[:count]

    @property
    def latest(self) -> tuple[float, float] | None:
        """The latest reading, as (instant it describes, watts)."""
        return (self._at[-1], self._watts[-1]) if self._at else None

    @property
    def begin(self) -> float | None:
        """Since when power is known without a hole."""
        return self._at[0] if self._at else None

    @property
    def end(self) -> float:
        """Until when power is known; only where it is known at all."""
        return self._at[-1]

    def integral(self, at: float) -> float | None:
        """Joules since the latest hole, up to `at`; power holds on after its latest reading. None before the hole."""
        if not self._at or at < self._at[0]:
            return None
        index = bisect_right(self._at, at)
        since, watts, joules = self._at[index - 1], self._watts[index - 1], self._joules[index - 1]
        elapsed = at - since
        if index == len(self._at):
            return joules + watts * elapsed
        until, watts_then = self._at[index], self._watts[index]
        return joules + elapsed * (watts + 0.5 * (watts_then - watts) * elapsed / (until - since))

    def between(self, start: float, end: float) -> Iterator[Segment]:
        """The energy of [start, end) in pieces, as far as it is known: not for long after the latest reading."""
        if not self._at:
            return
        start, end = max(start, self._at[0]), min(end, self._at[-1] + HOLE_SECONDS)
        if end <= start:
            return
        inside = self._at[bisect_right(self._at, start) : bisect_left(self._at, end)]
        for first, last in pairwise((start, *inside, end)):
            before, after = self.integral(first), self.integral(last)
            if before is not None and after is not None:
                yield Segment(first, last, after - before)
