"""The machine's clocks, made into one that never steps.

Instants come from the monotonic clock, anchored to the wall clock once at start. Stamps in logs come from the wall
clock, which people and NTP may set: `wall_offset` is what turns the one into the other.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from exporter.domain.units import Instant

JITTER_SECONDS = 0.05
"""Two readings of the same pair of clocks differ by less; a larger difference is drift and is followed."""

STEP_SECONDS = 0.5
"""NTP slews differences below about this and steps larger ones."""

_BRACKET_SECONDS = 0.01
_TRIES = 3


class _Sighting(NamedTuple):
    """Steady clock minus wall clock, and how far off that may be because the two cannot be read at once."""

    offset: float
    width: float


class SystemClock:
    """Implements `exporter.domain.clock.Clock` on this machine's clocks.

    Attributes:
        steps: times that the wall clock was seen to be set.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._anchor = wall() - steady()
        self._held = 0.0
        self._last_seen = 0.0
        self.steps = 0

    def now(self) -> Instant:
        """The present instant."""
        return Instant(self._anchor + self._steady())

    def wall_offset(self) -> float:
        """Seconds to add to a wall-clock stamp written now to get an instant."""
        self._follow(self._sight())
        return self._held

    def look(self) -> bool:
        """Whether somebody set the wall clock since the last look. Cheap: meant for every poll."""
        seen = self._sight()
        stepped = abs(seen.offset - self._last_seen) > STEP_SECONDS + seen.width
        self.steps += stepped
        self._last_seen = seen.offset
        self._follow(seen)
        return stepped

    def real(self, seconds: float) -> float:
        """The same: this clock runs as fast as the world."""
        return seconds

    def _follow(self, seen: _Sighting) -> None:
        if abs(seen.offset - self._held) >= JITTER_SECONDS + seen.width:
            self._held = seen.offset

    def _sight(self) -> _Sighting:
        # Losing the processor between two clock reads looks like a step: bracket, and take the narrowest of a few.
        best = self._bracket()
        for _ in range(_TRIES - 1):
            if best.width <= _BRACKET_SECONDS:
                break
            best = min(best, self._bracket(), key=lambda seen: seen.width)
        return best

    def _bracket(self) -> _Sighting:
        before = self._steady()
        wall = self._wall()
        after = self._steady()
        return _Sighting(self._anchor + (before + after) / 2 - wall, after - before)
