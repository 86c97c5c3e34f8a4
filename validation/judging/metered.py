"""Joules between two instants, from a recording's own readings: a second opinion on the exporter's meter.

A counter is exact at its steps; a step is dated to the middle of the two looks between which it happened, and between
two steps energy is taken to have flowed evenly. Where there is no counter, power is integrated by trapezoids, and a
reading that is a mean over a window is dated back by half of it. Nothing here uses a slice, a policy or a share.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from exporter.domain.readings import CounterReading, Device, PowerReading, Reading

Floats = NDArray[np.float64]


@dataclass(slots=True)
class _Heard:
    """What one device said.

    Attributes:
        steps: instant and joules since the first reading, at each step of the counter. resets: times it went back.
        first, last: raw values of the counter.
    """

    device: Device
    steps: list[tuple[float, float]] = field(default_factory=list)
    powers: list[tuple[float, float]] = field(default_factory=list)
    resets: int = 0
    first: float | None = None
    last: float = 0.0
    looked: float = 0.0

    def take(self, reading: Reading) -> None:
        if isinstance(reading, CounterReading):
            self._count(reading.at, reading.joules)
        elif isinstance(reading, PowerReading):
            self.powers.append((reading.at - 0.5 * self.device.power_window_seconds, reading.watts))

    def _count(self, at: float, joules: float) -> None:
        if self.first is None:
            self.first = self.last = joules
        elif joules != self.last:
            total = self.steps[-1][1] if self.steps else 0.0
            self.steps.append((0.5 * (self.looked + at), total + self._gained(joules)))
            self.last = joules
        self.looked = at

    def _gained(self, joules: float) -> float:
        gained = joules - self.last
        if gained < 0.0 and self.device.counter_range_joules is not None:
            return gained + self.device.counter_range_joules
        self.resets += gained < 0.0
        return max(gained, 0.0)


class Metered:
    """All devices of a recording together. `resets`: times a counter went back; then its sums are not to be trusted."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._heard = {device.name: _Heard(device) for device in devices}

    def take(self, readings: Iterable[Reading]) -> None:
        """More was said."""
        for reading in readings:
            self._heard[reading.device].take(reading)

    @property
    def devices(self) -> tuple[Device, ...]:
        """All of them."""
        return tuple(one.device for one in self._heard.values())

    @property
    def resets(self) -> int:
        """Times a counter went back."""
        return sum(one.resets for one in self._heard.values())

    @property
    def period_seconds(self) -> float:
        """Time between steps of the slowest sensor, by its median; 0 where nothing stepped."""
        tracks = [np.diff(at) for at, _ in (_track(one) for one in self._heard.values()) if len(at) > 1]
        return max((float(np.median(gaps)) for gaps in tracks), default=0.0)

    def counted(self, device: str) -> float | None:
        """Joules from the first step of a device's counter to its last; None without two steps, or after a reset.

        What the first step itself counted was drawn before anybody listened, in part.
        """
        one = self._heard[device]
        return one.steps[-1][1] - one.steps[0][1] if len(one.steps) > 1 and not one.resets else None

    def joules(self, start: float, end: float) -> float | None:
        """Between two instants, of all devices; None where one of them was not metered throughout."""
        total = 0.0
        for one in self._heard.values():
            at, joules = _track(one)
            if len(at) < 2 or start < at[0] - self._slack or end > at[-1] + self._slack:
                return None
            total += float(np.diff(np.interp([start, end], at, joules))[0])
        return total

    def cells(self, edges: Floats) -> Floats:
        """Joules between each of these instants and the next, of all devices; 0 where nothing was metered."""
        total = np.zeros(len(edges) - 1)
        for one in self._heard.values():
            at, joules = _track(one)
            if len(at) > 1:
                total += np.diff(np.interp(edges, at, joules))
        return total

    @property
    def _slack(self) -> float:
        return 2.0 * self.period_seconds


def _track(one: _Heard) -> tuple[Floats, Floats]:
    """Instants, and joules until each."""
    if len(one.steps) > 1:
        at, joules = np.array(one.steps).T
        return at, joules
    if len(one.powers) < 2:
        return np.zeros(0), np.zeros(0)
    at, watts = np.array(one.powers).T
    return at, np.concatenate(([0.0], np.cumsum(np.diff(at) * 0.5 * (watts[1:] + watts[:-1]))))
