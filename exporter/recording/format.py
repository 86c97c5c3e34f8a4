"""The format: one JSON value a line, the first an object, all others arrays that begin with what they are.

    {"format": "llm-energy-exporter recording", "version": 1, ...}      the header
    ["kept", key, base64]                                               books of an earlier process, in parts ...
    ["restored"]                                                        ... that were taken up
    ["readings", channel, at, value, channel, at, value, ...]           readings, one after the other
    ["started", server, heard, id, at, ...]                             an event, by its kind
    ["gauge", server, at, uncertainty, running, waiting, prompt, output]  what a server said of itself
    ["advance", now, server, heard_until, server, heard_until, ...]     time passed
    ["finish", now, ...]                                                the story ended
    ["end", lines]                                                      the recording is complete

Theory of operation. A recording is worth something only if every number survives: floats are written so that they read
back as the same float. Instants are seconds since 1970 and so, from 2004 to 2038, multiples of 2^-22 s. They are
written as whole ticks of that size since the latest advance, six or seven digits instead of seventeen, and quicker to
read; one that is no such multiple, or too far away, is written as itself: whole numbers are ticks, others seconds.
Channels number counter, power and failure of each device; servers are numbered as in the settings. Fields of an event
stand in their order, those at the end that hold their default are left out; so do a gauge's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from exporter.domain.events import (
    Completed,
    Counted,
    Ended,
    FirstToken,
    ServerRestarted,
    Started,
)
from exporter.domain.units import Instant
from exporter.recording.entries import Header
from exporter.recording.values import UnfitError, from_json, to_json

NAME = "llm-energy-exporter recording"
VERSION = 1
GZIP_WINDOW = 31
"""What zlib calls gzip."""
FOREIGN = "this is no recording of llm-energy-exporter"

_OF_THE_FILE = frozenset({"format", "version"})
_TICKS_A_SECOND = float(1 << 22)
_MOST_TICKS = float(1 << 53)
INSTANTS = frozenset({"at", "start", "end", "first_token"})
KINDS: Mapping[str, type[Any]] = {
    "started": Started,
    "first_token": FirstToken,
    "ended": Ended,
    "completed": Completed,
    "counted": Counted,
    "restarted": ServerRestarted,
}


class GarbledError(Exception):
    """A line that this format does not have."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an event. `default` is MISSING where it must be written."""

    name: str
    instant: bool
    default: Any


def _fields_of(kind: type[Any]) -> tuple[Field, ...]:
    return tuple(Field(one.name, one.name in INSTANTS, one.default) for one in fields(kind))


FIELDS = {tag: _fields_of(kind) for tag, kind in KINDS.items()}
TAGS = {kind: tag for tag, kind in KINDS.items()}


def header_line(header: Header) -> str:
    """The first line."""
    return json.dumps({"format": NAME, "version": VERSION, **to_json(header)}, separators=(",", ":"))


def end_line(lines: int) -> str:
    """The last line of a complete recording; `lines`: how many stand before it."""
    return json.dumps(["end", lines], separators=(",", ":"))


def read_header(value: Any) -> Header:
    """The header that stands in the first line.

    Raises:
        GarbledError: it is another kind of file, written by a newer version, or says something impossible.
    """
    if not isinstance(value, dict) or value.get("format") != NAME:
        raise GarbledError(FOREIGN)
    if value.get("version") != VERSION:
        raise GarbledError(
            f"this is a recording of format {value.get('version')!r:.20}, and this version of the exporter "
            f"reads format {VERSION}: use the version that recorded it, {value.get('exporter')!r:.40}"
        )
    try:
        header: Header = from_json(
            Header, _as_today({key: one for key, one in value.items() if key not in _OF_THE_FILE})
        )
    except UnfitError as error:
        raise GarbledError(f"header: {error}") from error
    return header


def _as_today(header: Any) -> Any:
    """A header as it is written today: servers once had one place where their requests are told, and no list."""
    settings = header.get("settings")
    servers = settings.get("servers") if isinstance(settings, dict) else None
    for server in servers if isinstance(servers, list) else []:
        if isinstance(server, dict) and isinstance(server.get("requests"), dict):
            server["requests"] = [server["requests"]]
    return header


class Ticks:
    """Instants as ticks since `since`, and back, without loss."""

    __slots__ = ("since",)

    def __init__(self, since: float) -> None:
        self.since = since

    def written(self, instant: float) -> float:
        """Whole ticks, or seconds as a float where ticks would lose something."""
        ticks = (instant - self.since) * _TICKS_A_SECOND
        if abs(ticks) < _MOST_TICKS and self.since + int(ticks) / _TICKS_A_SECOND == instant:
            return int(ticks)
        return float(instant)

    def read(self, value: Any) -> Instant:
        """The instant.

        Raises:
            GarbledError: the value is no number.
        """
        if type(value) is int:
            return Instant(self.since + value / _TICKS_A_SECOND)
        if type(value) is not float:
            raise GarbledError("an instant is missing")
        return Instant(value)
