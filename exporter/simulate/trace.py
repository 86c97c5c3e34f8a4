"""The true energy of one replica over time: exact, and kept only as long as a sensor may still ask for it."""

from bisect import bisect_right

from exporter.simulate.engine import Step

_RESOLUTION_SECONDS = 1e-6
"""A shorter pause between two steps is rounding; its joules join the step after it."""

_KEPT = 1024
"""Edges kept: more than five seconds of the shortest steps. A sensor looks back an eighth of a second."""


class EnergyTrace:
    """Energy since time zero, piecewise linear: constant power within a step, idle power between steps."""

    def __init__(self, idle_watts: float) -> None:
        self._idle_watts = idle_watts
        self._edges = [0.0]
        self._joules = [0.0]

    def add(self, step: Step) -> None:
        """A step has begun, no earlier than the one before ended."""
        pause = step.start - self._edges[-1]
        idle = self._idle_watts * pause
        if pause > _RESOLUTION_SECONDS:
            self._mark(step.start, idle)
            idle = 0.0
        self._mark(step.end, idle + step.joules)
        if len(self._edges) > 2 * _KEPT:
            del self._edges[:-_KEPT], self._joules[:-_KEPT]

    def _mark(self, at: float, joules: float) -> None:
        self._edges.append(at)
        self._joules.append(self._joules[-1] + joules)

    def joules(self, at: float) -> float:
        """Energy from time zero to `at`, which must not lie further back than what is kept; negative before zero."""
        edges, joules = self._edges, self._joules
        piece = bisect_right(edges, at)
        if piece == len(edges):
            return joules[-1] + self._idle_watts * (at - edges[-1])
        if piece == 0:
            assert edges[0] == 0.0, "what is asked for has been forgotten"
            return self._idle_watts * at
        passed = (at - edges[piece - 1]) / (edges[piece] - edges[piece - 1])
        return joules[piece - 1] + passed * (joules[piece] - joules[piece - 1])
