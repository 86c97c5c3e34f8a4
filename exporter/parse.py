"""The command `parse`: read a log as the exporter would and show what it says, as JSON lines.

For finding out what a server's log can tell, and for logs after the fact. Nothing of a line's text is shown but what
became an event's field: a prompt in the log stays there.
"""

import io
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from exporter.domain.errors import UsageError
from exporter.domain.events import Dropped, Ignored, RequestEvent, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.arrival.envelope import EnvelopeDecoder
from exporter.requests.arrival.splitting import LineSplitter
from exporter.requests.parts.counting import Counting
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS

_LONGEST_LINE = 1 << 20
_PIECE = 1 << 20
_INSTANTS = frozenset({"at", "start", "end", "first_token"})
_RARE = frozenset({"tenant", "trace_id"})


def parse_file(  # noqa: PLR0913, PLR0917 - the command's options
    path: str | None,
    kind: str,
    options: Mapping[str, Any],
    timezone: str | None,
    out: TextIO,
    report: TextIO,
) -> int:
    """Read a finished log, `path` or standard input where it is None, and write its events to `out`.

    Returns:
        The exit code: 0, or 1 where the log told of no request.

    Raises:
        ConfigError: the options or the time zone are wrong.
        UsageError: there is no such kind of log, or the file cannot be read.
    """
    if kind not in READERS:
        raise UsageError(f"unknown source {kind!r}: one of {', '.join(READERS)}")
    reader_kind = READERS[kind]
    reader = reader_kind.build(options, timezone)
    try:
        log = _Log(path)
        if reader_kind.survey:
            reader.restore(reader_kind.survey(line for line in log.lines() if isinstance(line, Line)))
        return run(log.lines(), reader, out, report, reader_kind.advice)
    except OSError as error:
        raise UsageError(f"cannot read {path or 'standard input'}: {error.strerror}") from error


def run(lines: Iterable[Line | Dropped], reader: RequestReader, out: TextIO, report: TextIO, advice: str = "") -> int:
    """Feed the lines to the reader, write its events to `out` and a summary to `report`, with the advice at its end.

    What never became a line is counted like one that said nothing.

    Returns:
        The exit code: 0, or 1 where the lines told of no request.
    """
    heard: Counter[tuple[str, str]] = Counter()
    said: Counter[str] = Counter()
    counting = Counting()
    for line in lines:
        news = reader.feed(line) if isinstance(line, Line) else line
        if isinstance(news, Used):
            heard["used", ""] += 1
            for event in news.events:
                said[type(event).__name__] += 1
                counting.hear(event)
                out.write(event_json(event) + "\n")
        else:
            heard["ignored" if isinstance(news, Ignored) else "dropped", news.reason] += 1
    requests = counting.timed + counting.counted
    _summarise(requests, heard, said, report)
    if advice:
        report.write(f"advice: {advice}\n")
    return 0 if requests else 1


def event_json(event: RequestEvent) -> str:
    """An event as a line of JSON: its type, then its fields; instants as RFC 3339 in UTC, to the microsecond.

    What hardly any source tells stands there only where it is told.
    """
    fields: dict[str, Any] = {"type": type(event).__name__.lower()}
    for name, value in asdict(event).items():
        if name in _RARE and value is None:
            continue
        if name in _INSTANTS and value is not None:
            fields[name] = _rfc3339(value)
        else:
            fields[name] = round(value, 6) if isinstance(value, float) else value
    return json.dumps(fields)


def _rfc3339(instant: Instant) -> str:
    try:
        return datetime.fromtimestamp(instant, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # a stamp of the year 20000 in the log
        return str(instant)


def _summarise(requests: int, heard: Counter[tuple[str, str]], said: Counter[str], report: TextIO) -> None:
    report.write(f"requests found: {requests}\n")
    report.writelines(f"  {name.lower()}: {number}\n" for name, number in sorted(said.items()))
    report.write(f"lines: {heard.total()}\n")
    report.writelines(
        f"  {fate}{': ' + reason if reason else ''}: {number}\n" for (fate, reason), number in sorted(heard.items())
    )


class _Log:
    """A finished log, readable more than once."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        # Standard input flows only once; a command that ends soon may keep it.
        self._bytes = sys.stdin.buffer.read() if path is None else b""
        self._written = Instant(time.time() if path is None else Path(path).stat().st_mtime)

    def lines(self) -> Iterator[Line | Dropped]:
        """The lines without their container envelopes, as written some time before the file last changed."""
        envelopes = EnvelopeDecoder()
        lost: Counter[str] = Counter()
        with io.BytesIO(self._bytes) if self._path is None else Path(self._path).open("rb") as stream:
            for text in _texts(stream, lost):
                line = envelopes.feed(Line(text, Instant(-inf), self._written))
                if line is not None:
                    yield line
        for reason in lost.elements():
            yield Dropped(reason)


def _texts(stream: BinaryIO, lost: Counter[str]) -> Iterator[str]:
    splitter = LineSplitter(_LONGEST_LINE, lost)
    while piece := stream.read(_PIECE):
        yield from splitter.feed(piece)
    yield from splitter.flush()
