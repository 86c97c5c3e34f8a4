"""What was booked in a period, whoever told it. Nothing here is worked out by a factor."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.domain.events import Outcome
from exporter.domain.readings import Device, Method
from exporter.domain.snapshot import Direction, HistogramValue, Share


@dataclass(frozen=True, slots=True)
class DeviceBook:
    """One device's books over the period: metered = sum(booked) + unsettled, as far as its source can tell exactly.

    Attributes:
        device: what it is. place: which of several exporters it belongs to (`instance`); empty where there is one.
        metered_joules, booked, unsettled_joules: see DeviceView; over the period, unsettled may be negative (what was
            open at its beginning has been booked since).
    """

    device: Device
    place: str
    metered_joules: float
    booked: Mapping[Share, float]
    unsettled_joules: float

    @property
    def off_by(self) -> float:
        """How far the books are from adding up, relative to what was metered; 0 where nothing was."""
        booked = sum(self.booked.values()) + self.unsettled_joules
        return abs(self.metered_joules - booked) / self.metered_joules if self.metered_joules > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """One model on one server on one place.

    Attributes:
        server, model, place: whose. engine: what serves it (`vllm`), as its request source is called; empty where not
            known. devices: those that serve it, by name, of `DeviceBook`s of the same place; empty where not known.
        method: how its energy came to be known; None where it is not known at all.
        requests, tokens: settled ones.
        energy, energy_per_output_token, duration, time_to_first_token: of settled requests; None where nothing is
            known. In joules and seconds.
    """

    server: str
    model: str
    place: str
    engine: str
    devices: tuple[str, ...]
    method: Method | None
    requests: Mapping[Outcome, int]
    tokens: Mapping[Direction, int]
    energy: HistogramValue | None
    energy_per_output_token: HistogramValue | None
    duration: HistogramValue | None
    time_to_first_token: HistogramValue | None

    @property
    def joules(self) -> float | None:
        """Of all its requests."""
        return None if self.energy is None else self.energy.sum


@dataclass(frozen=True, slots=True)
class Account:
    """What was booked in a period.

    Attributes:
        name: of the source, short: a file's name, a URL, a label the user gave.
        origin: the source in words (`a recording`, `Prometheus at ...`).
        begin, end: Unix seconds.
        books: by device. usages: by server and model.
        intensity_grams_per_kwh, pue: as configured in the exporter; None where it has none.
        cautions: what a reader must know before believing these figures, a sentence each.
    """

    name: str
    origin: str
    begin: float
    end: float
    books: tuple[DeviceBook, ...]
    usages: tuple[Usage, ...]
    intensity_grams_per_kwh: float | None = None
    pue: float | None = None
    cautions: tuple[str, ...] = field(default=())

    @property
    def seconds(self) -> float:
        """Length of the period."""
        return self.end - self.begin

    @property
    def metered_joules(self) -> float:
        """Of all devices."""
        return sum(book.metered_joules for book in self.books)
