"""Lines of a recording as entries."""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING
from types import NoneType
from typing import Any, get_args

from exporter.domain.events import Closing, Outcome, RequestEvent
from exporter.domain.gauges import Gauge
from exporter.domain.readings import CounterReading, PowerReading, ReadFailure, Reading
from exporter.domain.units import Instant, Joules, Watts
from exporter.recording.entries import Advance, Entry, Finish, Gauged, Header, News, Readings, Restored
from exporter.recording.format import FIELDS, KINDS, GarbledError, Ticks

_NUMBER = frozenset({int, float})
_FITS: Mapping[str, Callable[[Any], bool]] = {
    "id": lambda value: type(value) is str,
    **dict.fromkeys(("model", "tenant", "trace_id"), lambda value: type(value) in {str, NoneType}),
    "outcome": lambda value: value in get_args(Outcome),
    "closing": lambda value: value in get_args(Closing),
    **dict.fromkeys(
        ("prompt_tokens", "cached_tokens", "output_tokens"), lambda value: type(value) in {int, float, NoneType}
    ),
    **dict.fromkeys(
        ("uncertainty", "start_uncertainty", "end_uncertainty", "queued_seconds"), lambda value: type(value) in _NUMBER
    ),
}


class Reader:
    """Lines as entries.

    Attributes:
        lines: how many stand before the last, as that says; None until it has been read.
    """

    def __init__(self, header: Header) -> None:
        self._ticks = Ticks(header.begin)
        self._servers = [server.name for server in header.settings.servers]
        self._devices = [device.name for device in header.devices]
        self._kept: dict[str, bytes] = {}
        self.lines: int | None = None

    def entry(self, line: list[Any]) -> Entry | None:
        """What the line says; None where the entry goes on in the next.

        Raises:
            GarbledError, IndexError, TypeError, ValueError: it is no line of this format.
        """
        if self.lines is not None:
            raise GarbledError("something follows the end")
        tag = line[0]
        if tag == "readings":
            return Readings(tuple(self._readings(line)))
        if tag in KINDS:
            return self._news(tag, line)
        if tag == "gauge":
            return self._gauged(line)
        if tag in {"advance", "finish"}:
            return self._passed(tag, line)
        return self._seldom(tag, line)

    def _seldom(self, tag: str, line: list[Any]) -> Entry | None:
        if tag == "kept":
            self._kept[str(line[1])] = base64.b64decode(line[2], validate=True)
            return None
        if tag == "restored":
            kept, self._kept = self._kept, {}
            return Restored(kept)
        if tag == "end":
            self.lines = int(line[1])
            return None
        raise GarbledError("a line of unknown kind")

    def _readings(self, line: list[Any]) -> Iterator[Reading]:
        ticks = self._ticks
        if len(line) % 3 != 1:
            raise GarbledError("a reading is incomplete")
        for channel, at, value in zip(line[1::3], line[2::3], line[3::3], strict=True):
            number, kind = divmod(channel, 3)
            device = self._named(self._devices, number)
            if (type(value) is str) if kind == 2 else (type(value) in _NUMBER):
                yield _reading(kind, device, ticks.read(at), value)
            else:
                raise GarbledError("a reading of the wrong kind")

    def _news(self, tag: str, line: list[Any]) -> News:
        values = line[3:]
        declared = FIELDS[tag]
        if len(values) > len(declared):
            raise GarbledError("an event says more than it can")
        for index, (one, value) in enumerate(zip(declared, values, strict=False)):
            if one.instant:
                values[index] = self._ticks.read(value) if value is not None or one.default is MISSING else None
            elif not _FITS[one.name](value):
                raise GarbledError(f"an event's {one.name} is of the wrong kind")
        event: RequestEvent = KINDS[tag](*values)
        heard = self._ticks.read(line[2]) if line[2] is not None else None
        return News(self._named(self._servers, line[1]), event, heard)

    def _gauged(self, line: list[Any]) -> Gauged:
        _, server, at, uncertainty, *counts = line
        if type(uncertainty) not in _NUMBER or any(type(one) not in {*_NUMBER, NoneType} for one in counts):
            raise GarbledError("a gauge of the wrong kind")
        return Gauged(self._named(self._servers, server), Gauge(self._ticks.read(at), uncertainty, *counts))

    def _passed(self, tag: str, line: list[Any]) -> Advance | Finish:
        now = self._ticks.read(line[1])
        self._ticks = Ticks(now)
        servers = (self._named(self._servers, number) for number in line[2::2])
        progress = dict(zip(servers, map(self._ticks.read, line[3::2]), strict=True))
        return Advance(now, progress) if tag == "advance" else Finish(now, progress)

    def _named(self, names: list[str], number: Any) -> str:
        if type(number) is not int or not 0 <= number < len(names):
            raise GarbledError("a device or server that the header does not name")
        return names[number]


def _reading(kind: int, device: str, at: Instant, value: Any) -> Reading:
    if kind == 0:
        return CounterReading(device, at, Joules(value))
    return PowerReading(device, at, Watts(value)) if kind == 1 else ReadFailure(device, at, value)
