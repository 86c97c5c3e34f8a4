"""A short look at a power source at work, through the real sampler and meter.

A device with a counter is metered twice from the same readings: once as it will be, once by its power alone. Over the
stretch of time that both cover, the two must tell about the same joules.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from exporter.domain.clock import Clock
from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.ledger.integral import Segment
from exporter.ledger.meter import Meter
from exporter.power.sampler import Sampler
from exporter.power.source import PowerSource

PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one device showed.

    Attributes:
        device: which.
        readings: values it gave.
        failures: by reason, how often it gave none.
        period_seconds: how often what its energy comes from changes; None where that cannot be told.
        always_new: it cannot, because every read found another value.
        mean_watts: None where it gave too little to tell.
        seconds: the stretch over which the following hold.
        counter_joules, power_joules: the same energy by counter and by integrated power; None without it.
    """

    device: Device
    readings: int
    failures: Mapping[str, int]
    period_seconds: float | None
    always_new: bool
    mean_watts: float | None
    seconds: float
    counter_joules: float | None
    power_joules: float | None

    def grain_seconds(self, interval_seconds: float) -> float | None:
        """The shortest time that its energy can be told for, asked that often; None where that is not known."""
        period = interval_seconds if self.always_new else self.period_seconds
        if self.device.has_counter:
            return period
        return max(period or 0.0, self.device.power_window_seconds) or None

    @property
    def ratio(self) -> float | None:
        """Counter over integrated power."""
        if self.counter_joules is None or not self.power_joules:
            return None
        return self.counter_joules / self.power_joules


@dataclass(frozen=True, slots=True)
class Probe:
    """What a source showed.

    Attributes:
        devices: each of its devices.
        call_seconds: how long it takes to ask all of them once.
        interval_seconds: how often they will be asked.
    """

    devices: tuple[Measured, ...]
    call_seconds: float
    interval_seconds: float

    @property
    def call_share(self) -> float:
        """The share of the time that calls will take."""
        return self.call_seconds / self.interval_seconds


def probe(
    source: PowerSource,
    interval_seconds: float,
    clock: Clock,
    *,
    seconds: float = PROBE_SECONDS,
    wait: Callable[[float], None] = time.sleep,
) -> Probe:
    """Watch the source for a while, and close it."""
    sampler = Sampler(source, interval_seconds, clock)
    sampler.start()
    try:
        wait(seconds)
    finally:
        sampler.stop()
    readings = sampler.drain()
    measured = tuple(measure(device, _of(device, readings)) for device in source.devices)
    return Probe(measured, sampler.call_seconds, sampler.interval_seconds)


def measure(device: Device, readings: Sequence[Reading]) -> Measured:
    """What these readings of one device say."""
    meter = Meter(device)
    segments = [segment for reading in readings for segment in meter.receive(reading)]
    if device.has_counter:
        del segments[:1]  # nobody saw when the counter's first step began
    by_power = _by_power(device, readings)
    start, end = _common(segments, by_power) if device.has_counter and by_power else _extent(segments)
    known = end > start
    return Measured(
        device=device,
        readings=sum(not isinstance(reading, ReadFailure) for reading in readings),
        failures=Counter(reading.reason for reading in readings if isinstance(reading, ReadFailure)),
        period_seconds=meter.period_seconds,
        always_new=meter.period_seconds is None and _always_new(device, readings),
        mean_watts=_joules(segments, start, end) / (end - start) if known else None,
        seconds=end - start if known else 0.0,
        counter_joules=_joules(segments, start, end) if known and device.has_counter else None,
        power_joules=_joules(by_power, start, end) if known and by_power else None,
    )


def _of(device: Device, readings: Iterable[Reading]) -> list[Reading]:
    return [reading for reading in readings if reading.device == device.name]


def _by_power(device: Device, readings: Iterable[Reading]) -> list[Segment]:
    meter = Meter(replace(device, has_counter=False))
    powers = (reading for reading in readings if not isinstance(reading, CounterReading))
    return [segment for reading in powers for segment in meter.receive(reading)]


def _always_new(device: Device, readings: Iterable[Reading]) -> bool:
    told = [_value(reading) for reading in readings if isinstance(reading, _telling(device))]
    changes = sum(before != after for before, after in pairwise(told))
    return changes > 0.9 * (len(told) - 1) > 0


def _telling(device: Device) -> type[CounterReading] | type[PowerReading]:
    """The readings that its energy comes from."""
    return CounterReading if device.has_counter else PowerReading


def _value(reading: CounterReading | PowerReading) -> float:
    return reading.joules if isinstance(reading, CounterReading) else reading.watts


def _extent(segments: Sequence[Segment]) -> tuple[float, float]:
    return (segments[0].start, segments[-1].end) if segments else (0.0, 0.0)


def _common(first: Sequence[Segment], second: Sequence[Segment]) -> tuple[float, float]:
    (a, b), (c, d) = _extent(first), _extent(second)
    return max(a, c), min(b, d)


def _joules(segments: Iterable[Segment], start: float, end: float) -> float:
    """Energy of [start, end): segments spend theirs evenly."""
    return sum(
        segment.joules * max(min(segment.end, end) - max(segment.start, start), 0.0) / (segment.end - segment.start)
        for segment in segments
    )
