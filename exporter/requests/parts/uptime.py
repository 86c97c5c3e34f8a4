"""Clocks that say the time since a process started, and when that process began.

Such a clock orders a process's lines, shows by going back that another process has begun, and can be turned into
instants once lines were seen to arrive.
"""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, Literal

from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.parts.stamps import Moment, reading_window

_RESTART_SECONDS = 1.0

Continuity = Literal["same", "doubted", "new"]
"""Whether a line is from the process that wrote those before, from another one, or one of the two."""


class Runs:
    """Tells by their clock which lines are of one process, and when another one has begun.

    A clock that goes back shows a new process, or a line that came late. One line alone cannot tell; the next one can:
    it goes on from the late line's neighbours, or from the new process's start.
    """

    def __init__(self) -> None:
        self.latest = -inf
        self.doubted: float | None = None

    def hear(self, elapsed: float, *, starting: bool) -> Continuity:
        """Take a line's clock; `starting` where the line is one that a process prints at its start."""
        if self.doubted is not None and elapsed < self.latest:
            self.latest, self.doubted = max(self.doubted, elapsed), None
            return "new"
        back = self.latest - elapsed
        # Threads' lines may swap places; a start's do not.
        if back > _RESTART_SECONDS or (starting and back > 0):
            self.doubted = elapsed
            return "doubted"
        self.latest, self.doubted = max(self.latest, elapsed), None
        return "same"


class Uptime:
    """Turns the time since a process started into instants, by bounds on when it did.

    Each line was read after it was written: that bounds the start from above. Most were not there yet at the poll
    before: that bounds it from below. The bounds tighten with every line; until there is a lower one, nothing is known.

    Attributes:
        anchors: when the processes still to come must have started, where that is known beforehand.
    """

    def __init__(self, anchors: Iterable[float] = ()) -> None:
        self.anchors = list(anchors)
        self._runs = Runs()
        self._low, self._high = -inf, inf
        self._doubted = (0.0, -inf, inf)  # a line that may be another process's: its clock, and bounds on that start
        self._take_anchor()

    def hear(self, elapsed: float, line: Line, *, starting: bool) -> Continuity:
        """Learn from a line, unless it is in doubt. A new process's first line was the one in doubt before this."""
        first, last = reading_window(line)
        run = self._runs.hear(elapsed, starting=starting)
        if run == "doubted":
            self._doubted = (elapsed, first - elapsed, last - elapsed)
            return run
        if run == "new":
            _, self._low, self._high = self._doubted
            self._take_anchor()
        self._low = max(self._low, first - elapsed)
        self._high = min(self._high, last - elapsed)
        return run

    def began(self) -> Moment | None:
        """When the line that was last in doubt was written; None while the clock is not anchored."""
        return self.at(self._doubted[0])

    def at(self, elapsed: float) -> Moment | None:
        """The instant; None while the clock is not anchored."""
        if self._low == -inf:
            return None
        # A line that a buffer held back pushes the lower bound too far: then the upper one is the better witness.
        low = min(self._low, self._high)
        return Moment(Instant((low + self._high) / 2 + elapsed), (self._high - low) / 2)

    def snapshot(self) -> Mapping[str, Any]:
        """What to go on from, as JSON values."""
        bounds = {"low": self._low, "high": self._high, "latest": self._runs.latest}
        finite = {name: _finite(bound) for name, bound in bounds.items()}
        doubted = None if self._runs.doubted is None else [_finite(bound) for bound in self._doubted]
        return {"anchors": self.anchors, "doubted": doubted} | finite

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        low, high, latest, doubted = (snapshot[key] for key in ("low", "high", "latest", "doubted"))
        self.anchors = [float(anchor) for anchor in snapshot["anchors"]]
        self._low, self._high, self._runs.latest = _or(low, -inf), _or(high, inf), _or(latest, -inf)
        if doubted is not None:
            elapsed, low, high = doubted
            self._runs.doubted = float(elapsed)
            self._doubted = (float(elapsed), _or(low, -inf), _or(high, inf))

    def _take_anchor(self) -> None:
        if self.anchors:
            self._low = self._high = self.anchors.pop(0)


def _finite(bound: float) -> float | None:
    return None if abs(bound) == inf else bound


def _or(bound: Any, infinite: float) -> float:
    return infinite if bound is None else float(bound)
