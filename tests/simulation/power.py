"""The true power of a simulated run: constant within a step, constant between steps, known exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.domain.units import Instant, Joules, Watts
from exporter.simulate.batching import Run

Floats = NDArray[np.float64]

_RESOLUTION_SECONDS = 1e-6
"""Shorter pauses could vanish in an instant's rounding; their joules join the step after them."""


@dataclass(frozen=True, slots=True)
class PowerTrace:
    """Piecewise constant power; idle before the first and after the last edge.

    Energy comes from cumulated joules, not from watts x edges: an edge since the epoch is good to 0.2 us only.

    Attributes:
        edges: instants at which the power changes, ascending; one longer than `watts`.
        cumulated_joules: energy from the first edge to each edge.
        idle_watts: power outside.
    """

    edges: Floats
    cumulated_joules: Floats
    idle_watts: float

    @property
    def watts(self) -> Floats:
        """Power between each edge and the next."""
        return np.diff(self.cumulated_joules) / np.diff(self.edges)

    def counter(self, at: Floats) -> Floats:
        """An ideal energy counter, read at these instants: joules since the first edge, negative before it."""
        outside = np.maximum(at - self.edges[-1], 0.0) - np.maximum(self.edges[0] - at, 0.0)
        return np.asarray(np.interp(at, self.edges, self.cumulated_joules) + self.idle_watts * outside)

    def energy(self, start: float, end: float) -> Joules:
        """Joules between two instants."""
        before, after = self.counter(np.array([start, end]))
        return Joules(float(after - before))

    def power(self, at: float) -> Watts:
        """Power at an instant; at an edge, that of the piece that begins there."""
        piece = int(np.searchsorted(self.edges, at, side="right")) - 1
        if not 0 <= piece < len(self.edges) - 1:
            return Watts(self.idle_watts)
        (joules,), (seconds,) = (np.diff(of[piece : piece + 2]) for of in (self.cumulated_joules, self.edges))
        return Watts(float(joules / seconds))

    def breakpoints(self) -> list[tuple[Instant, Watts]]:
        """Every instant at which the power changes, and what it changes to; the last one to idle."""
        watts = [*self.watts.tolist(), self.idle_watts]
        return [(Instant(at), Watts(power)) for at, power in zip(self.edges.tolist(), watts, strict=True)]

    def share(self, share: float) -> "PowerTrace":
        """One GPU's part of it."""
        return PowerTrace(self.edges, self.cumulated_joules * share, self.idle_watts * share)


def power_trace(run: Run) -> PowerTrace:
    """Power of all GPUs of a run together."""
    steps, idle = run.steps, run.physics.idle_watts
    edges, joules = [0.0], [0.0]
    for start, end, energy in zip(steps.start.tolist(), steps.end.tolist(), steps.joules.tolist(), strict=True):
        pause = start - edges[-1]
        if pause > _RESOLUTION_SECONDS:
            joules.append(joules[-1] + idle * pause)
            edges.append(start)
            pause = 0.0
        joules.append(joules[-1] + idle * pause + energy)
        edges.append(end)
    last = run.end - run.begin
    joules.append(joules[-1] + idle * (last - edges[-1]))
    edges.append(last)
    return PowerTrace(run.begin + np.array(edges), np.array(joules), idle)


def gpu_traces(run: Run) -> tuple[PowerTrace, ...]:
    """Power of each GPU of a run; their energies sum to that of `power_trace`."""
    whole = power_trace(run)
    return tuple(whole.share(share) for share in run.physics.gpu_shares)
