"""Entries as lines of a recording."""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, astuple
from typing import Any

from exporter.domain.readings import CounterReading, PowerReading, ReadFailure, Reading
from exporter.recording.entries import Advance, Entry, Finish, Gauged, Header, News, Readings, Restored
from exporter.recording.format import FIELDS, TAGS, Ticks

_MOST_READINGS = 1_000
"""In one line: lines stay short enough to read one at a time."""


class Writer:
    """Entries as lines."""

    def __init__(self, header: Header) -> None:
        self._ticks = Ticks(header.begin)
        self._servers = {server.name: number for number, server in enumerate(header.settings.servers)}
        self._devices = {device.name: number for number, device in enumerate(header.devices)}

    def lines(self, told: Iterable[Entry | Reading]) -> Iterator[str]:
        """Lines for what was told, without their ends. Readings that follow each other share one."""
        readings: list[Any] = []
        for one in told:
            if isinstance(one, CounterReading | PowerReading | ReadFailure):
                readings += self._reading(one)
                if len(readings) < 3 * _MOST_READINGS:
                    continue
            if readings:
                yield _dumped(["readings", *readings])
                readings = []
            if not isinstance(one, CounterReading | PowerReading | ReadFailure):
                yield from self._entry(one)
        if readings:
            yield _dumped(["readings", *readings])

    def _entry(self, entry: Entry) -> Iterator[str]:
        match entry:
            case News():
                yield _dumped(self._news(entry))
            case Gauged(server, gauge):
                values = [self._ticks.written(gauge.at), *astuple(gauge)[1:]]
                while values[-1] is None:
                    values.pop()
                yield _dumped(["gauge", self._servers[server], *values])
            case Advance() | Finish():
                yield _dumped(self._passed(entry))
            case Restored():
                for key, value in entry.store.items():
                    yield _dumped(["kept", key, base64.b64encode(value).decode("ascii")])
                yield _dumped(["restored"])
            case Readings():
                yield from self.lines(entry.readings)

    def _reading(self, reading: Reading) -> tuple[int, float, float | str]:
        channel, at = 3 * self._devices[reading.device], self._ticks.written(reading.at)
        match reading:
            case CounterReading():
                return channel, at, reading.joules
            case PowerReading():
                return channel + 1, at, reading.watts
            case ReadFailure():
                return channel + 2, at, reading.reason

    def _news(self, news: News) -> list[Any]:
        tag = TAGS[type(news.event)]
        values: list[Any] = []
        kept = 0
        for one in FIELDS[tag]:
            value = getattr(news.event, one.name)
            values.append(self._ticks.written(value) if one.instant and value is not None else value)
            if one.default is MISSING or value != one.default:
                kept = len(values)
        heard = self._ticks.written(news.heard_at) if news.heard_at is not None else None
        return [tag, self._servers[news.server], heard, *values[:kept]]

    def _passed(self, entry: Advance | Finish) -> list[Any]:
        line: list[Any] = ["advance" if isinstance(entry, Advance) else "finish", self._ticks.written(entry.now)]
        self._ticks = Ticks(entry.now)
        for server, until in entry.progress.items():
            line += (self._servers[server], self._ticks.written(until))
        return line


def _dumped(line: Sequence[Any]) -> str:
    return json.dumps(line, separators=(",", ":"))
