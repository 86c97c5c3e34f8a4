"""Energy of work that is done again and again, from a sensor that is renewed far more slowly.

Theory of operation. An energy counter stands still between its steps and is exact at them, so it is measured from one
*observed step* to another, at least so many seconds of counter time later:

    lead-in │ chunk, look, chunk, look ... step │ chunk, chunk, chunk, ... │ chunk, look, chunk, look ... step
            │      looked at often              │   looked at seldom       │      looked at often
                                           here ◄──────── energy ────────► and here

A step lies between the two looks that enclose it (never further back than one period), and is placed in their middle:
that many runs were done by then. What the counter says late it says late at both ends, and the difference is right.

How large the error is. The energy between steps is exact to the counter's last digit. Each end is placed to half a
chunk either way, so the runs, and with them the joules of one, are off by at most one chunk over the whole. They have
no bias: where a step falls in its chunk is chance, or, where rests and chunks beat time with the sensor, another place
in each trial, since every lead-in is longer by another share of a chunk. Looks come 20 to a period, but no more often
than the plan allows: at 5 s of counter time the error is at most 0.04 % for a period of 20 ms, 0.1 % for 100 ms and
0.5 % for 500 ms. Where one run takes longer than a period the ends are known to half a period.

What asking and waiting for the device cost is in the gross figures: at most a tenth of the time in which the counter is
looked at often, which is two periods or so of the whole, and a twentieth of the shortest chunks; in the net figures
idle power of that time is taken off.

Without a counter, power readings are weighted by the time since the one before. After a lead-in longer than the window
over which they are means, and with work that stays the same, their mean is right however they lag; the sensor's gain
and what it does not sample (an A100's 25 ms of every 100) stay in.
"""

from dataclasses import dataclass

from exporter.components.plan import BenchClock, Plan
from exporter.components.probe import Look, Probe
from exporter.components.repetition import Work
from exporter.domain.errors import ComponentsError

_UNKNOWN_PERIOD_SECONDS = 0.5
"""Taken for the lead-in where the period is not known: the slowest of known sensors."""
_COARSE_LOOKS = 10.0
"""Between the ends chunks are this much longer: waiting for the device costs less, and nobody need look."""
_WATCH_SECONDS = 1.0
"""Between the ends the sensor is asked so often, to notice that it fails, stands still or wraps."""
_POWER_POLL_SECONDS = 0.1
"""Power is asked no less often, as long as runs allow."""
_GOLDEN = 0.6180339887498949
_UNLIMITED_WATTS = 10_000.0
"""What a device of unknown limit cannot draw: the largest boards of 2026 draw some 2 kW."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Work that was metered: its energy, how long it took, and how many runs there were. Fractions are meant."""

    joules: float
    seconds: float
    runs: float

    @property
    def watts(self) -> float:
        """Mean power."""
        return self.joules / self.seconds


class Bench:
    """Measures work under one sensor."""

    def __init__(self, probe: Probe, clock: BenchClock, plan: Plan) -> None:
        self._probe = probe
        self._clock = clock
        self._plan = plan
        self._stretches = 0

    def measure(self, work: Work, seconds: float) -> Stretch:
        """Do the work for so long, lead-in apart, and meter it.

        Raises:
            ComponentsError: the sensor is silent, fails too often, or says what cannot be.
        """
        self._lead_in(work)
        by_counter = self._probe.device.has_counter
        stretch = self._by_counter(work, seconds) if by_counter else self._by_power(work, seconds)
        self._believe(stretch.watts)
        return stretch

    # --- by counter ------------------------------------------------------------------------------------------------

    def _by_counter(self, work: Work, seconds: float) -> Stretch:
        first = self._next_step(work)
        self._go_on(work, first.at + seconds)
        last = self._next_step(work)
        return Stretch(last.value - first.value, last.at - first.at, last.runs - first.runs)

    def _next_step(self, work: Work) -> Look:
        """The counter's next step, as a look at the moment at which it happened."""
        before: Look | None = None
        while True:
            look = self._probe.look(work.runs)
            if look is not None and before is not None and look.value != before.value:
                return self._placed(before, look)
            before = look  # after a failed look nobody knows when the value changed: the next step will do
            work.go(self._probe.look_seconds(self._plan.poll_seconds))

    def _placed(self, before: Look, after: Look) -> Look:
        period = self._probe.period_seconds
        earliest = before.at if period is None else max(before.at, after.at - period)
        at = 0.5 * (earliest + after.at)
        share = (at - before.at) / (after.at - before.at)
        return Look(at, after.value, before.runs + share * (after.runs - before.runs))

    def _go_on(self, work: Work, until: float) -> None:
        fine = self._probe.look_seconds(self._plan.poll_seconds)
        until -= 0.5 * fine  # a step that is due just then falls into the middle of a chunk
        watched = self._clock.now()
        while (left := until - self._clock.now()) > 0.1 * fine:
            work.go(min(_COARSE_LOOKS * fine, left))
            if self._clock.now() - watched >= _WATCH_SECONDS:
                self._probe.look(work.runs)
                watched = self._clock.now()

    # --- by power --------------------------------------------------------------------------------------------------

    def _by_power(self, work: Work, seconds: float) -> Stretch:
        failed, answered = self._probe.failures.total(), self._probe.answers
        first = last = self._next_power(work)
        joules = 0.0
        while last.at - first.at < seconds:
            look = self._next_power(work)
            joules += look.value * (look.at - last.at)
            last = look
        if self._probe.failures.total() - failed > self._probe.answers - answered:
            why, _ = self._probe.failures.most_common(1)[0]
            raise ComponentsError(f"most power readings of {self._probe.device.name} failed: {why}")
        return Stretch(joules, last.at - first.at, last.runs - first.runs)

    def _next_power(self, work: Work) -> Look:
        while True:
            work.go(self._power_poll_seconds())
            look = self._probe.look(work.runs)
            if look is not None:
                return look

    def _power_poll_seconds(self) -> float:
        """Once a window or period: what is asked more often says the same, or noise where it is an estimate."""
        renewed = max(self._probe.device.power_window_seconds, self._probe.period_seconds or 0.0)
        return max(min(renewed, _POWER_POLL_SECONDS), self._plan.poll_seconds)

    # --- both ------------------------------------------------------------------------------------------------------

    def _lead_in(self, work: Work) -> None:
        steps = 2.0 * (self._probe.period_seconds or self._assumed_period())
        window = 0.0 if self._probe.device.has_counter else self._probe.device.power_window_seconds
        until = self._clock.now() + max(self._plan.lead_seconds, window + steps) + self._shift()
        while (left := until - self._clock.now()) > 0.0:
            work.go(min(left, _POWER_POLL_SECONDS))

    def _assumed_period(self) -> float:
        """An estimate is made anew for every window; of a sensor that has not told its period the worst is assumed."""
        device = self._probe.device
        window = device.power_window_seconds if device.method == "estimated" and not device.has_counter else 0.0
        return window or _UNKNOWN_PERIOD_SECONDS

    def _shift(self) -> float:
        """Another share of a chunk each time, spread evenly."""
        self._stretches += 1
        return self._stretches * _GOLDEN % 1.0 * self._probe.look_seconds(self._plan.poll_seconds)

    def _believe(self, watts: float) -> None:
        device = self._probe.device
        most = _UNLIMITED_WATTS if device.limit_watts is None else 3.0 * device.limit_watts
        if not 0.0 <= watts <= most:
            raise ComponentsError(f"{device.name} cannot have drawn {watts:.0f} W: its sensor jumped; measure again")
