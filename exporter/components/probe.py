"""The sensor of one device, as the bench asks it.

A counter that wraps is made whole; one that falls back without a range was reset, and nothing can be measured across
that. A failed reading is skipped and counted. A sensor that says nothing new for long ends the study, whether it fails
or its counter stands still: to go on by power readings would put two ways of measuring under one name, and the result
could not say which number came from which.
"""

from collections import Counter
from dataclasses import dataclass

from exporter.components.plan import BenchClock
from exporter.components.repetition import Work
from exporter.domain.errors import ComponentsError
from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.ledger.check import Period
from exporter.power.source import PowerSource

_FEWEST_LOOKS = 10
"""A sensor is not called silent before it was asked so often, however long that takes beside slow runs."""
_LOOKS_PER_PERIOD = 20
_ASKING_SHARE = 0.1
"""Asking the sensor may take this share of the time in which it is asked often: a call holds the driver's lock."""
_UNKNOWN_SECONDS = 0.005
"""How often a sensor is asked whose period is not known."""
_FINER_THAN_LOOKS = 100
"""A value that is new at each of so many looks is renewed faster than we ask."""
_NO_READING, _NOTHING_NEW = "no reading", "nothing new"
"""Why a look was in vain, where it is not for a failure."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the sensor said, and how much work was done by then.

    Attributes:
        at: instant of the reading.
        value: joules of the counter, wraps undone; or watts.
        runs: of the work.
    """

    at: float
    value: float
    runs: float


class Probe:
    """Asks one device of a source.

    Attributes:
        failures: looks that were answered by a failure, by reason.
        answers: looks that were answered.
    """

    def __init__(self, source: PowerSource, device: Device, clock: BenchClock, patience_seconds: float) -> None:
        self.device = device
        self.failures: Counter[str] = Counter()
        self.answers = 0
        self._source = source
        self._clock = clock
        self._patience = patience_seconds
        self._period = Period()
        self._cost = 0.0
        self._wraps = 0.0
        self._last: float | None = None
        self._waits_since: float | None = None
        self._in_vain: Counter[str] = Counter()

    @property
    def period_seconds(self) -> float | None:
        """Measured update period; None where it is finer than we ask, or no sensor is behind the readings."""
        return self._period.seconds

    def look_seconds(self, least: float) -> float:
        """How often to ask where it matters when the value changes, and never more often than `least`."""
        period = self.period_seconds
        share = _UNKNOWN_SECONDS if period is None else period / _LOOKS_PER_PERIOD
        return max(share, least, self._cost / _ASKING_SHARE)

    def look(self, runs: float) -> Look | None:
        """Ask now; None where the device says nothing.

        Raises:
            ComponentsError: it has said nothing new for long, or its counter was reset.
        """
        reading = self._ask()
        if not isinstance(reading, CounterReading | PowerReading):
            self._wait_on(_NO_READING if reading is None else reading.reason)
            return None
        self.answers += 1
        value = reading.joules if isinstance(reading, CounterReading) else reading.watts
        return Look(reading.at, self._take(value), runs)

    def learn_period(self, work: Work, poll_seconds: float, most_seconds: float) -> None:
        """Ask often until the update period is known, or it is plain that it will not be."""
        if self.device.method == "estimated":
            return
        began, before, changes = self._clock.now(), self._last, 0
        while self.period_seconds is None and self._clock.now() - began < most_seconds:
            work.go(max(poll_seconds, self._cost / _ASKING_SHARE))
            look = self.look(work.runs)
            if look is None:
                continue
            changed = before is not None and look.value != before
            self._period.see(look.at, changed=changed)
            changes = changes + 1 if changed else 0
            before = look.value
            if changes == _FINER_THAN_LOOKS:
                return

    def _ask(self) -> Reading | None:
        """The reading that is wanted, else a failure, else nothing."""
        began = self._clock.now()
        readings = self._source.read()
        self._cost = max(0.9 * self._cost, self._clock.now() - began)
        mine = [reading for reading in readings if reading.device == self.device.name]
        wanted = CounterReading if self.device.has_counter else PowerReading
        failures = [reading for reading in mine if isinstance(reading, ReadFailure)]
        return next(iter([reading for reading in mine if isinstance(reading, wanted)] or failures), None)

    def _take(self, value: float) -> float:
        before, self._last = self._last, value
        if self.device.has_counter and before is not None and value < before:
            self._wraps += self._range(before, value)
        if self.device.has_counter and value == before:
            self._wait_on(_NOTHING_NEW)
        else:
            self._waits_since = None
            self._in_vain.clear()
        return value + self._wraps

    def _range(self, before: float, after: float) -> float:
        if self.device.counter_range_joules is None:
            raise ComponentsError(
                f"the energy counter of {self.device.name} fell from {before:.0f} J to {after:.0f} J: "
                "the driver was reloaded; measure again"
            )
        return self.device.counter_range_joules

    def _wait_on(self, why: str) -> None:
        now = self._clock.now()
        self._waits_since = now if self._waits_since is None else self._waits_since
        self._in_vain[why] += 1
        if why not in {_NO_READING, _NOTHING_NEW}:
            self.failures[why] += 1
        if now - self._waits_since >= self._patience and self._in_vain.total() >= _FEWEST_LOOKS:
            raise ComponentsError(self._silence(now - self._waits_since))

    def _silence(self, seconds: float) -> str:
        name, ((why, _), *_) = self.device.name, self._in_vain.most_common(1)
        if why == _NOTHING_NEW:
            return (
                f"the energy counter of {name} has stood still for {seconds:.0f} s: "
                "nothing can be measured by it; reload the driver, or meter another device"
            )
        return f"{name} has told nothing new for {seconds:.0f} s ({why}): see what `doctor` says"
