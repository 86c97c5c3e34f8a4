"""One device's timeline: from readings to joules over intervals.

Theory of operation. An energy counter is the integral of power, so it is believed first: between two of its steps the
difference is the energy, however late it was read. It steps every 20 to 500 ms and is polled faster; a step is taken to
have happened in the middle of the interval in which it can have happened. Power readings are integrated beside it: to
check it (their ratio is published), to stand in for it where it is missing, stuck or absurd, and to bridge a reset.

    counter in use --- stuck, or ratio outside 0.5..2 for a minute ---> power in use
    power in use   --- ratio inside 0.8..1.25 for a minute          ---> counter in use

A power reading that is a running mean over a window describes the middle of that window: it is dated back by half of
it. A failed reading publishes nothing. Where power alone is known a hole stays a hole, counted in seconds; the counter
spans holes, and what it says across one is marked interpolated. All waits are for a sensor that steps many times a
second; they grow with the period of a slower one (`patience.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.domain.units import Watts
from exporter.ledger.check import CounterCheck, Period
from exporter.ledger.integral import PowerTrack, Segment
from exporter.ledger.patience import Patience

_DISTRUST = (0.5, 2.0)
_TRUST = (0.8, 1.25)
_UNLIMITED_WATTS = 10_000.0
"""What a device of unknown limit cannot draw: the largest boards of 2026 draw some 2 kW."""


@dataclass(slots=True)
class _Step:
    """Where the counter stands: since when at which value, and when it was last seen so."""

    at: float
    joules: float
    seen: float


class Meter:
    """Turns one device's readings into segments. `frontier`: the energy before it is known for good."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.frontier: float | None = None
        self.counter_in_use = device.has_counter
        self.readings = 0
        self.failures: dict[str, int] = {}
        self.resets = 0
        self.interpolated_joules = 0.0
        self.lost_seconds = 0.0
        self.patience = Patience(device)
        self._power = PowerTrack(device.power_window_seconds, self.patience.sample_seconds)
        self._check = CounterCheck(self.patience.check_seconds)
        self._counter_period = Period(self.patience.look_seconds)
        self._power_period = Period(self.patience.look_seconds, always_new=device.period_seconds > 0.0)
        self._step: _Step | None = None
        self._stepped = False
        self._watched = False
        self._last_watts: float | None = None
        self._counter_watts: tuple[float, float] | None = None

    # --- what is known ---------------------------------------------------------------------------------------------

    @property
    def ratio(self) -> float | None:
        """Counter over integrated power, over the latest minute, or sixty periods of a slow sensor."""
        return self._check.ratio

    @property
    def period_seconds(self) -> float | None:
        """Measured update period of what the energy comes from."""
        return (self._counter_period if self.counter_in_use else self._power_period).seconds

    @property
    def grain_seconds(self) -> float:
        """Nothing is known of what happened within so much time; 0 where that is too short to matter."""
        return self.patience.period(self.period_seconds) if self.device.period_seconds else 0.0

    @property
    def gap_seconds(self) -> float:
        """Time whose energy is unknown for good."""
        return self.lost_seconds

    def watts(self, now: float) -> Watts | None:
        """The latest power; None when the sensor has been silent."""
        for latest in (self._power.latest, self._counter_watts):
            if latest is not None and now - latest[0] <= self.patience.stale_seconds:
                return Watts(latest[1])
        return None

    # --- readings come in ------------------------------------------------------------------------------------------

    def receive(self, reading: Reading) -> list[Segment]:
        """Take in a reading of this device; returns the energy that is now known."""
        if isinstance(reading, ReadFailure):
            self.failures[reading.reason] = self.failures.get(reading.reason, 0) + 1
            return []
        self.readings += 1
        segments = self._hear_counter(reading) if isinstance(reading, CounterReading) else self._hear_power(reading)
        return self._publish(segments)

    def _publish(self, segments: list[Segment]) -> list[Segment]:
        for segment in segments:
            self.frontier = segment.end if self.frontier is None else max(segment.end, self.frontier)
            if segment.interpolated:
                self.interpolated_joules += segment.joules
        return segments

    def _hear_power(self, reading: PowerReading) -> list[Segment]:
        self._power_period.see(reading.at, changed=reading.watts != self._last_watts)
        self._last_watts = reading.watts
        segment = self._power.add(reading.at, reading.watts)
        if self.counter_in_use:
            return self._leave_silent_counter(reading.at)
        if segment is None:
            self._skip_hole()
            return []
        if self.frontier is None or segment.start == self.frontier:
            return [segment]
        return list(self._power.between(self.frontier, segment.end))

    def _skip_hole(self) -> None:
        """Power is in use, and nothing will ever tell the energy from the frontier to where it began anew."""
        begin = self._power.begin
        if self.frontier is not None and begin is not None and begin > self.frontier:
            self.lost_seconds += begin - self.frontier
            self.frontier = begin

    def _hear_counter(self, reading: CounterReading) -> list[Segment]:
        step = self._step
        if step is None:
            self._step = _Step(reading.at, reading.joules, reading.at)
            return self._begin_counting(reading.at)
        changed = reading.joules != step.joules
        self._counter_period.see(reading.at, changed=changed)
        if not changed:
            step.seen = reading.at
            return []
        return self._counter_stepped(step, reading)

    def _begin_counting(self, at: float) -> list[Segment]:
        """The counter's first word: what was before it, only power may know."""
        if self.frontier is None:
            self.frontier = at
        elif self.counter_in_use and at > self.frontier:
            return self._bridge(self.frontier, at)
        return []

    def _counter_stepped(self, step: _Step, reading: CounterReading) -> list[Segment]:
        at = self._moment_of_step(step, reading.at)
        joules = self._difference(step.joules, reading.joules)
        believable = 0.0 <= joules <= self._most(at - step.at)
        hole = reading.at - step.seen > self.patience.hole_seconds(self._counter_period.seconds)
        watched, self._watched = self._watched, reading.at - step.seen <= self.patience.look_seconds
        self._step = _Step(at, reading.joules, reading.at)
        if not self._stepped:
            return self._first_step(at)
        if not believable:
            self.resets += 1
            self._check.mark(at, -1.0, None)
            return self._bridge(step.at, at) if self.counter_in_use else []
        self._check.mark(at, reading.joules, self._power.integral(at))
        if not self.counter_in_use:
            return self._return_to_counter(at)
        self._counter_watts = (at, joules / (at - step.at))
        if self._check.within(_DISTRUST) is False:
            self.counter_in_use = False
        return [Segment(step.at, at, joules, interpolated=hole, whole=watched and self._watched)]

    def _first_step(self, at: float) -> list[Segment]:
        """The first step holds energy from before we listened, nobody knows how much: counting begins at its end."""
        self._stepped = True
        if not self.counter_in_use or self.frontier is None:
            return []
        known, self.frontier = list(self._power.between(self.frontier, at)), at
        return known

    def _moment_of_step(self, step: _Step, seen: float) -> float:
        """The middle of the interval in which the step can have happened."""
        earliest = max(step.seen, step.at, seen - (self.patience.period(self._counter_period.seconds) or seen))
        return max(0.5 * (earliest + seen), step.at + 1e-6)

    def _difference(self, before: float, after: float) -> float:
        wrap = self.device.counter_range_joules
        return after - before + (wrap if wrap is not None and after < before else 0.0)

    def _most(self, seconds: float) -> float:
        """More joules than this in so many seconds is a counter that jumped, not a device that drew."""
        limit = 3.0 * self.device.limit_watts if self.device.limit_watts is not None else _UNLIMITED_WATTS
        return limit * max(seconds, 1.0)

    # --- when the counter cannot be believed -----------------------------------------------------------------------

    def _bridge(self, start: float, end: float) -> list[Segment]:
        """Energy across a reset, from power; what power does not know either is lost, and said so."""
        segments = list(self._power.between(start, end))
        self.frontier = end
        self.lost_seconds += (end - start) - sum(segment.end - segment.start for segment in segments)
        return segments

    def _leave_silent_counter(self, now: float) -> list[Segment]:
        """Fall back to power when the counter has said nothing new for long while power went on."""
        since = self._power.begin
        if self._step is not None and since is not None:
            since = max(since, self._step.at)
        if since is None or now - since < self.patience.stuck_seconds(self._counter_period.seconds):
            return []
        before, after = self._power.integral(since), self._power.integral(now)
        if before is None or after is None or after - before < 1.0:
            return []
        self.counter_in_use = False
        return self._bridge(since if self.frontier is None else self.frontier, self._power.end)

    def _return_to_counter(self, at: float) -> list[Segment]:
        """Power is in use: trust the counter again after a good minute, from this step of it on."""
        if not self._check.within(_TRUST) or self.frontier is None or at <= self.frontier:
            return []
        self.counter_in_use = True
        return list(self._power.between(self.frontier, at))

    # --- across restarts -------------------------------------------------------------------------------------------

    def snapshot(self) -> Mapping[str, Any]:
        """What must survive a restart, as JSON values."""
        step = self._step
        return {
            "frontier": self.frontier,
            "counter_in_use": self.counter_in_use,
            "step": [step.at, step.joules, step.seen] if step is not None else None,
            "resets": self.resets,
            "interpolated_joules": self.interpolated_joules,
            "lost_seconds": self.gap_seconds,
            "period": self._counter_period.seconds,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where a meter of the same device left off: the counter knows what was used meanwhile."""
        self.frontier = snapshot["frontier"]
        self.resets = snapshot["resets"]
        self.interpolated_joules = snapshot["interpolated_joules"]
        self.lost_seconds = snapshot["lost_seconds"]
        self._counter_period.seconds = snapshot["period"]
        if self.device.has_counter and snapshot["counter_in_use"] and snapshot["step"] is not None:
            self._step = _Step(*snapshot["step"])
            self._stepped = True
