"""Sensors of a board that draws known power, polled as a source would poll them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from exporter.domain.readings import CounterReading, Device, PowerReading, Reading
from exporter.domain.units import Instant, Joules, Watts
from exporter.ledger.integral import Segment
from exporter.ledger.meter import Meter

COUNTER = Device("gpu0", "gpu", has_counter=True, limit_watts=700.0)
POWER = Device("gpu0", "gpu", limit_watts=700.0)

Power = Callable[[float], float]
Energy = Callable[[float], float]


def steadily(watts: float) -> Energy:
    """Energy since 0 of a board that draws always the same."""
    return lambda at: watts * at


def counts(
    energy: Energy, start: float, end: float, *, poll: float = 0.05, step: float = 0.1, phase: float = 0.0
) -> list[Reading]:
    """Polls of a counter that steps every `step` seconds."""
    polls = np.arange(start, end, poll).tolist()
    return [CounterReading("gpu0", Instant(at), Joules(float(energy(_last_step(at, step, phase))))) for at in polls]


def _last_step(at: float, step: float, phase: float) -> float:
    return float(np.floor((at - phase) / step + 1e-9) * step + phase)


def powers(watts: Power, start: float, end: float, *, poll: float = 0.2) -> list[Reading]:
    """Polls of an exact, instant power sensor."""
    return [PowerReading("gpu0", Instant(at), Watts(watts(at))) for at in np.arange(start, end, poll).tolist()]


def both(*readings: Sequence[Reading]) -> Iterator[Reading]:
    """In the order of their instants; counter first where they are the same."""
    everything = [reading for each in readings for reading in each]
    return iter(sorted(everything, key=lambda reading: (reading.at, isinstance(reading, PowerReading))))


def listen(meter: Meter, readings: Iterator[Reading] | Sequence[Reading]) -> list[Segment]:
    """All that a meter makes of these readings."""
    return [segment for reading in readings for segment in meter.receive(reading)]


def joules(segments: Sequence[Segment]) -> float:
    """All of it."""
    return sum(segment.joules for segment in segments)


def between(segments: Sequence[Segment], start: float, end: float) -> float:
    """Energy of these segments that lies in [start, end)."""
    overlap = ((max(0.0, min(one.end, end) - max(one.start, start)), one) for one in segments)
    return sum(one.joules * seconds / (one.end - one.start) for seconds, one in overlap)
