"""Company: requests that are known to have been there, but not whose they were.

They hold their share of the slices like a request that never ends, so that neither their neighbours nor idle get it;
what is left of it when a slice closes is unattributed. Until then it gives way: a request that is told of late takes
the place of one of them.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from exporter.ledger.claims import Floats
from exporter.ledger.spread import Runs, spread

Stretch = tuple[float, float, float]
"""Start, end, and how many were there."""


class Company:
    """How many unknown requests one server had, over time: stretches in order of time that do not overlap.

    Attributes:
        stretches: who was there.
        suspected: when somebody may have been: nothing is reserved for that, but it is not taken for idle.
    """

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self.suspected: list[Stretch] = []

    def suspect(self, start: float, end: float) -> None:
        """Somebody may have been there in [start, end)."""
        self.suspected.append((start, end, 1.0))

    def add(self, start: float, end: float, count: float) -> None:
        """So many were there in [start, end), which is after all that was added before."""
        if count <= 0.0 or end <= start:
            return
        if self.stretches and self.stretches[-1][1:] == (start, count):
            start = self.stretches.pop()[0]
        self.stretches.append((start, end, count))

    def give_way(self, start: float, end: float) -> None:
        """One of those that were there in [start, end) is known now."""
        self.stretches = [piece for stretch in self.stretches for piece in _without_one(stretch, start, end)]

    def forget(self, before: float) -> None:
        """Let go of what ended before this instant."""
        self.stretches, self.suspected = (
            [one for one in stretches if one[1] > before] for stretches in (self.stretches, self.suspected)
        )

    def seconds(self, start: float, end: float) -> float:
        """Seconds of presence in [start, end), summed over all of them."""
        return sum(count * max(min(end, until) - max(start, since), 0.0) for since, until, count in self.stretches)

    def presence(self, first: int, stop: int, slice_seconds: float) -> Floats | None:
        """Seconds of presence in each of the slices [first, stop); None where nobody was there at all."""
        return _presence(self.stretches, first, stop, slice_seconds)

    def suspicion(self, first: int, stop: int, slice_seconds: float) -> Floats:
        """Above 0 in those of the slices [first, stop) in which somebody unknown was or may have been."""
        there = _presence([*self.stretches, *self.suspected], first, stop, slice_seconds)
        return there if there is not None else np.zeros(stop - first)

    def snapshot(self) -> list[list[Stretch]]:
        """What must survive a restart, as JSON values."""
        return [list(self.stretches), list(self.suspected)]

    def restore(self, snapshot: Iterable[Iterable[Iterable[float]]]) -> None:
        """Go on from a snapshot."""
        self.stretches, self.suspected = (
            [(start, end, count) for start, end, count in stretches] for stretches in snapshot
        )


def suspicion(companies: Iterable[Company], first: int, stop: int, slice_seconds: float) -> Floats:
    """Above 0 in those of the slices [first, stop) in which somebody unknown of any of them was or may have been."""
    return sum((one.suspicion(first, stop, slice_seconds) for one in companies), np.zeros(stop - first))


def _presence(stretches: Sequence[Stretch], first: int, stop: int, slice_seconds: float) -> Floats | None:
    since, until = first * slice_seconds, stop * slice_seconds
    near = [one for one in stretches if one[0] < until and one[1] > since]
    if not near:
        return None
    start, end, count = np.array(near).T
    columns = (np.clip(edge / slice_seconds - first, 0.0, stop - first) for edge in (start, end))
    return spread(Runs(*columns), count * slice_seconds, stop - first)


def _without_one(stretch: Stretch, start: float, end: float) -> list[Stretch]:
    """The stretch with one less inside [start, end)."""
    since, until, count = stretch
    begin, stop = max(since, start), min(until, end)
    if begin >= stop:
        return [stretch]
    pieces = ((since, begin, count), (begin, stop, count - 1.0), (stop, until, count))
    return [(first, last, there) for first, last, there in pieces if there > 0.0 and last > first]
