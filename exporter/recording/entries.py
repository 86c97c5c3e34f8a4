"""What a recording holds: a header, and then all that the pipeline was told, in that order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.domain.events import RequestEvent
from exporter.domain.gauges import Gauge
from exporter.domain.readings import Device, Reading
from exporter.domain.settings import Settings
from exporter.domain.units import Instant


@dataclass(frozen=True, slots=True)
class Machine:
    """What recorded. The same machine with the same versions computes the same, bit by bit; others do to rounding."""

    system: str
    processor: str
    cores: int
    python: str
    numpy: str


@dataclass(frozen=True, slots=True)
class Header:
    """How it began.

    Attributes:
        exporter: the version that recorded.
        begin: when the pipeline was made. wall: the wall clock then, in ISO 8601, for people.
        settings: what the pipeline depends on; where logs lie and where the exporter listened is left out.
        devices: in the order the pipeline got them.
        calibrations: by server name, what it is estimated with, as a calibration file holds it.
    """

    exporter: str
    begin: Instant
    wall: str
    settings: Settings
    devices: tuple[Device, ...]
    machine: Machine
    calibrations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Restored:
    """Books of an earlier process were taken up: the store that the pipeline was given."""

    store: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Readings:
    """Power sources said this, one after the other."""

    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class News:
    """A server's requests said this; `heard_at` None: before we listened."""

    server: str
    event: RequestEvent
    heard_at: Instant | None


@dataclass(frozen=True, slots=True)
class Gauged:
    """A server said this of itself."""

    server: str
    gauge: Gauge


@dataclass(frozen=True, slots=True)
class Advance:
    """Time came to `now`. `progress`: how far servers had been heard by then, where that was news."""

    now: Instant
    progress: Mapping[str, Instant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finish:
    """The story ended at `now`."""

    now: Instant
    progress: Mapping[str, Instant] = field(default_factory=dict)


Entry = Restored | Readings | News | Gauged | Advance | Finish
