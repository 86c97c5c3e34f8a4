"""What power sources say: which devices there are, and one reading at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from exporter.domain.units import Instant, Joules, Watts

DeviceKind = Literal["gpu", "cpu", "dram"]
Method = Literal["measured", "estimated", "simulated", "recorded", "time_proxy"]
"""How energy came to be known: by a sensor, by a model of one, by a simulation, from a recording of another time and
place, or by a calibrated proxy."""
_DOUBTFUL: tuple[Method, ...] = ("simulated", "recorded", "estimated")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Device:
    """Something that draws power and can be asked about it.

    Attributes:
        name: short and stable on this machine: `gpu0`, `cpu0`, `dram0`; the label `device`.
        kind: the label `kind`.
        uuid: the vendor's identity where there is one, else empty.
        model: product name, the label `name`.
        method: `measured` by a sensor, `estimated` by a model of it, `simulated`, or `recorded` at another time.
        has_counter: whether it has an energy counter.
        counter_range_joules: where the energy counter wraps to zero; None where it does not.
        power_window_seconds: the power reading is the mean over this long before it was read; 0 means instant.
        limit_watts: what it can draw at most, to tell an absurd reading; None where unknown.
        driver: version of the driver that was asked; empty where there is none.
        power_limit_watts: what it is let draw, as set when it was opened; None where unknown.
        origin: of one that is played from a recording: when, on what and how that was metered, in words; else empty.
        period_seconds: new values come at most this far apart while all is well; 0: many times a second.
    """

    name: str
    kind: DeviceKind
    uuid: str = ""
    model: str = ""
    method: Method = "measured"
    has_counter: bool = False
    counter_range_joules: float | None = None
    power_window_seconds: float = 0.0
    limit_watts: float | None = None
    driver: str = ""
    power_limit_watts: float | None = None
    origin: str = ""
    period_seconds: float = 0.0


def worst_method(devices: Iterable[Device]) -> Method:
    """How the energy of all these together came to be known: what mixes methods is called by the worst of them."""
    methods = {device.method for device in devices}
    return next((method for method in _DOUBTFUL if method in methods), "measured")


def together(watts: Sequence[float | None]) -> float | None:
    """The sum of all these; None where there are none or one of them is not known."""
    known = [each for each in watts if each is not None]
    return sum(known) if known and len(known) == len(watts) else None


@dataclass(frozen=True, slots=True)
class CounterReading:
    """The device's energy counter: joules since some moment long ago."""

    device: str
    at: Instant
    joules: Joules


@dataclass(frozen=True, slots=True)
class PowerReading:
    """The device's power."""

    device: str
    at: Instant
    watts: Watts


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """The device was asked and did not answer. `reason` is from a closed set, e.g. `gpu_is_lost`, `not_supported`."""

    device: str
    at: Instant
    reason: str


Reading = CounterReading | PowerReading | ReadFailure
