"""The end of a log as readers understand it. Only counts leave this module: what the log says stays in it."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Counted, Dropped, Ended, RequestEvent, ServerRestarted, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant, later
from exporter.requests.arrival.envelope import EnvelopeDecoder
from exporter.requests.arrival.naming import open_to_read
from exporter.requests.arrival.splitting import LineSplitter
from exporter.requests.fronts.profiles import PROFILES
from exporter.requests.parts.counting import Counting
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS, ReaderKind

SAMPLE_BYTES = 256 * 1024
_LONGEST_LINE = 1 << 20
_DAY_SECONDS = 86400.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """The end of a file.

    Attributes:
        lines: complete lines, without container envelopes.
        written: when the file was last written, by its own clock.
        size: of the whole file, in bytes.
        part: what of the log this is, in words; empty: told by its size.
    """

    lines: tuple[Line, ...] = field(repr=False)
    written: Instant
    size: int
    part: str = ""


@dataclass(frozen=True, slots=True)
class Understanding:
    """What a reader made of a sample.

    Attributes:
        used: lines that told of requests. ignored, dropped: the others, by reason.
        timed: requests whose time is told. counted: those that are told without it. ends: ends that are told.
        tokens: events that told a number of output tokens.
        last: the instant of the latest event if it stood in the very last line, None otherwise.
        latest: the latest instant of all.
    """

    used: int
    ignored: Mapping[str, int]
    dropped: Mapping[str, int]
    timed: int
    counted: int
    ends: int
    tokens: int
    last: Instant | None
    latest: Instant | None


def take(path: str) -> Sample:
    """Read the end of a file.

    Raises:
        OSError: it cannot be read.
    """
    fd = open_to_read(path)
    try:
        stat = os.fstat(fd)
        begin = max(stat.st_size - SAMPLE_BYTES, 0)
        raw = os.pread(fd, SAMPLE_BYTES, begin)
    finally:
        os.close(fd)
    written = Instant(stat.st_mtime)
    whole = raw.partition(b"\n")[2] if begin else raw
    return Sample(tuple(_lines(whole, written)), written, stat.st_size)


def _lines(raw: bytes, written: Instant) -> Iterator[Line]:
    """The lines as if each had just been seen to appear, which is how a log is read live."""
    envelopes = EnvelopeDecoder()
    splitter = LineSplitter(_LONGEST_LINE, Counter())
    for text in (*splitter.feed(raw), *splitter.flush()):
        line = envelopes.feed(Line(text, later(written, -_POLL_SECONDS), written))
        if isinstance(line, Line):
            yield line


def understand(sample: Sample, reader: RequestReader) -> Understanding:
    """What this reader, read live, makes of the sample."""
    return _hear(sample.lines, reader)


def stamped(sample: Sample, reader: RequestReader) -> Understanding:
    """What the stamps alone say: as if nothing were known of when the lines were read."""
    unbounded = later(sample.written, _DAY_SECONDS)
    return _hear((line._replace(not_before=Instant(-inf), not_after=unbounded) for line in sample.lines), reader)


def guesses(sample: Sample) -> Iterator[tuple[str, Understanding]]:
    """What every kind of reader makes of it, each with the words that name it in a configuration."""
    for words, kind, options in _candidates():
        try:
            yield words, understand(sample, kind.build(options, None))
        except ConfigError:
            continue  # it wants options that nobody can guess


def _candidates() -> Iterator[tuple[str, ReaderKind, Mapping[str, Any]]]:
    for name, kind in READERS.items():
        if name == "jsonl":
            for profile in PROFILES:
                yield f"jsonl with profile: {profile}", kind, {"profile": profile}
        else:
            yield name, kind, {}


def _hear(lines: Iterable[Line], reader: RequestReader) -> Understanding:
    fates: dict[str, Counter[str]] = {"used": Counter(), "ignored": Counter(), "dropped": Counter()}
    events: list[RequestEvent] = []
    last: Instant | None = None
    for line in lines:
        heard = reader.feed(line)
        last = None
        if isinstance(heard, Used):
            fates["used"][""] += 1
            events += heard.events
            last = _latest(heard.events)
        else:
            fates["dropped" if isinstance(heard, Dropped) else "ignored"][heard.reason] += 1
    counting = Counting()
    for event in events:
        counting.hear(event)
    return Understanding(
        used=fates["used"].total(),
        ignored=dict(fates["ignored"]),
        dropped=dict(fates["dropped"]),
        timed=counting.timed,
        counted=counting.counted,
        ends=sum(isinstance(event, Ended | Completed) for event in events),
        tokens=sum(isinstance(event, Ended | Completed) and event.output_tokens is not None for event in events),
        last=last,
        latest=_latest(events),
    )


def _latest(events: Iterable[RequestEvent]) -> Instant | None:
    """Of the events whose instant is told by a stamp; the others may have that of the reading."""
    told = (event for event in events if not isinstance(event, Counted | ServerRestarted))
    return max((_instant(event) for event in told), default=None)


def _instant(event: RequestEvent) -> Instant:
    return event.end if isinstance(event, Completed) else event.at
