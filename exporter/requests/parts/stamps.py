"""When a line was written, and how sure that is.

There are two witnesses, both intervals. The stamp in a line says [stamp, stamp + precision). The reading says that the
line appeared in (not_before, not_after]. The true instant lies where they overlap: its middle is the best estimate,
half its width the uncertainty. So a live line with a one-second stamp is placed by the moment of its reading, a line
read late (a buffered pipe, a file read back) by its stamp, and nobody has to choose.

A container runtime's envelope is a third witness, microseconds late; it beats stamps of a second and coarser.

Text stamps are turned to seconds a minute at a time: a log repeats its minute thousands of times, and calendars, time
zones and missing years are slow.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from math import inf
from typing import NamedTuple
from zoneinfo import ZoneInfo

from exporter.domain.errors import ConfigError
from exporter.domain.lines import Line
from exporter.domain.units import Instant

ENVELOPE_UNCERTAINTY_SECONDS = 0.001
FUTURE_TOLERANCE_SECONDS = 1.0
"""A stamp this far after the reading is still believed: two clocks may disagree, and a file's time is coarse."""

_DAY_SECONDS = 86400.0
_LONGEST_TEXT = 64
_ISO_MINUTE = len("2026-11-21T04:17:")
_FORMAT_TAILS = frozenset({"", ".%f", ",%f", "%z", " %z", ".%f%z", ",%f%z", ".%f %z", ",%f %z"})
_STAMP = re.compile(r"(.*?\D)(\d\d)(?:[.,](\d{1,12}))?(?: ?(Z|z|[+-]\d\d:?\d\d))?", re.DOTALL | re.ASCII)
_PRECISIONS = tuple(float(f"1e-{digits}") for digits in range(13))


class Moment(NamedTuple):
    """The best estimate of an instant, and the half width of the interval that holds the true one, in seconds."""

    at: Instant
    uncertainty: float


class Stamp(NamedTuple):
    """What a wall clock said: the true time lies in [seconds, seconds + precision), seconds since the epoch."""

    seconds: float
    precision: float


def moment(line: Line, stamp: Stamp | None) -> Moment | None:
    """When the line was written; None where nothing tells: no usable stamp in a file that was read back."""
    if line.envelope is not None and (stamp is None or stamp.precision >= 1.0):
        return Moment(line.envelope, ENVELOPE_UNCERTAINTY_SECONDS)
    if stamp is None or (line.wall_offset is None and line.not_before > -inf):
        return _reading(line)
    low = stamp.seconds + (line.wall_offset or 0.0)
    if low > line.not_after + FUTURE_TOLERANCE_SECONDS:
        return _reading(line) or Moment(line.not_after, stamp.precision / 2)
    return _overlap(low, low + stamp.precision, line)


def reading_window(line: Line) -> tuple[float, float]:
    """The interval in which the line was written, by everything but its stamp."""
    if line.envelope is not None:
        return line.envelope - 2 * ENVELOPE_UNCERTAINTY_SECONDS, line.envelope
    return line.not_before, line.not_after


def _reading(line: Line) -> Moment | None:
    if line.not_before == -inf:
        return None
    middle = (line.not_before + line.not_after) / 2
    # A file's modification time may be a tick before the poll that did not see it yet.
    return Moment(Instant(middle), abs(line.not_after - line.not_before) / 2)


def _overlap(low: float, high: float, line: Line) -> Moment:
    first = max(line.not_before, low)
    last = min(line.not_after, high)
    if first > last:
        first, last = low, high
    return Moment(Instant((first + last) / 2), (last - first) / 2)


def time_zone(name: str | None) -> tzinfo | None:
    """The zone of stamps that have none; None means this machine's.

    Raises:
        ConfigError: there is no such zone here.
    """
    if name is None:
        return None
    if name.upper() == "UTC":  # known even where no zone database is installed
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError("timezone", f"unknown time zone {name!r}: use an IANA name such as Europe/Paris") from error


MinuteReader = Callable[[str, Instant], datetime | None]
"""Turns a stamp's text up to its seconds into a naive local minute; gets `not_after` to find a missing year."""


class TextStamps:
    """Reads one form of text stamp: anything, then seconds, then maybe a fraction and a zone.

    An hour that comes twice when summer time ends is taken as the second one, unless that lies in the future of the
    reading: right when live, and at most an hour off when a file is read back.
    """

    def __init__(self, minute: MinuteReader, zone: tzinfo | None) -> None:
        self._minute = minute
        self._zone = zone
        self._known: tuple[str, str | None] = ("", None)
        self._known_seconds: float | None = None

    def read(self, text: str, not_after: Instant) -> Stamp | None:
        """The stamp, or None where the text is not one."""
        found = _STAMP.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
        if found is None:
            return None
        head, seconds, fraction, offset = found.groups()
        if self._known != (head, offset):
            self._known_seconds = self._start_of_minute(head, offset, not_after)
            self._known = (head, offset)
        if self._known_seconds is None:
            return None
        if fraction is None:
            return Stamp(self._known_seconds + int(seconds), 1.0)
        return Stamp(self._known_seconds + float(f"{seconds}.{fraction}"), _PRECISIONS[len(fraction)])

    def _start_of_minute(self, head: str, offset: str | None, not_after: Instant) -> float | None:
        try:
            minute = self._minute(head, not_after)
            return None if minute is None else _epoch(minute, _offset_zone(offset) or self._zone, not_after)
        except (ValueError, OverflowError, OSError):
            return None


def iso_stamps(zone: tzinfo | None) -> TextStamps:
    """`2026-11-21T04:17:10.157272179Z`, `2026-11-21 04:09:51,311`: RFC 3339 and what Python's logging makes of it."""
    return TextStamps(lambda head, _: datetime.fromisoformat(head[:-1]) if len(head) == _ISO_MINUTE else None, zone)


def month_day_stamps(zone: tzinfo | None) -> TextStamps:
    """`11-21 04:09:05`, without a year: the latest that puts the stamp at most a day after the line was read."""

    def minute(head: str, not_after: Instant) -> datetime | None:
        month, day, hour, minute = int(head[0:2]), int(head[3:5]), int(head[6:8]), int(head[9:11])
        present = datetime.fromtimestamp(not_after, zone)
        for year in range(present.year + 1, present.year - 9, -1):  # nine years back: 29 February can be rare
            guess = _date_or_none(year, month, day, hour, minute)
            if guess and _epoch(guess, zone, not_after) <= not_after + _DAY_SECONDS:
                return guess
        return None

    return TextStamps(minute, zone)


def format_stamps(form: str, zone: tzinfo | None) -> Callable[[str, Instant], Stamp | None]:
    """Stamps of a `strptime` format. Fast where the format ends in seconds, a fraction and a zone; else exact but slow.

    Raises:
        ValueError: the format cannot be read.
    """
    _try_format(form)
    head, seconds, tail = form.partition("%S")
    if not seconds or tail not in _FORMAT_TAILS or not head or head[-1].isalnum():
        return lambda text, not_after: _whole(text, form, zone, not_after)
    # The zone is read apart from the minute, so the minute is naive here.
    return TextStamps(lambda text, _: datetime.strptime(text, head), zone).read  # noqa: DTZ007


def _try_format(form: str) -> None:
    sample = datetime(2026, 11, 21, tzinfo=UTC)
    if datetime.strptime(sample.strftime(form), form).year != sample.year:  # noqa: DTZ007 - only tried, never used
        raise ValueError("the format has no year")


def _whole(text: str, form: str, zone: tzinfo | None, not_after: Instant) -> Stamp | None:
    try:
        read = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is added below where the text has none
        seconds = read.timestamp() if read.tzinfo else _epoch(read, zone, not_after)
    except (ValueError, OverflowError, OSError):
        return None
    return Stamp(seconds, 1e-6 if "%f" in form else 1.0)


def _date_or_none(year: int, month: int, day: int, hour: int, minute: int) -> datetime | None:
    try:
        return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - local by design; the zone comes in _epoch
    except ValueError:
        return None


def _offset_zone(text: str | None) -> tzinfo | None:
    if text is None:
        return None
    if text in "Zz":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _epoch(naive: datetime, zone: tzinfo | None, not_after: Instant) -> float:
    later = naive.replace(tzinfo=zone, fold=1).timestamp()
    if later <= not_after + 60.0:
        return later
    return naive.replace(tzinfo=zone, fold=0).timestamp()
