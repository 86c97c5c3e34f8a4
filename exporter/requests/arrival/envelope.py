r"""Envelopes: what container runtimes put around the lines of a log.

    CRI     2026-01-01T12:00:00.123456789Z stdout F text       P instead of F: the line goes on in the next piece
    docker  {"log":"text\n","stream":"stdout","time":"2026-01-01T12:00:00.123456789Z"}   no \n: the line goes on

The runtime stamps a line when it reads it, microseconds after the server wrote it: a better witness than the one-second
stamps within. Pieces of standard output and standard error alternate freely, so each stream is joined on its own.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple

from exporter.domain.events import Dropped
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.arrival import LINE_TOO_LONG

EnvelopeKind = Literal["auto", "none", "cri", "docker"]

_UNDECIDED_LINES = 8
_CRI = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))"
    r" (stdout|stderr) ([FP])(?::\S*)?(?: |$)"
)
_DOCKER_START = '{"log":"'
_DOCKER_KEYS = {"log", "stream", "time", "attrs"}


class _Piece(NamedTuple):
    stream: str
    stamp: float | None
    text: str
    last: bool


class EnvelopeDecoder:
    """Takes the envelopes off the lines of one log. Pure; bounded by `longest` characters per stream.

    With `auto`, the first lines decide, and stay as they are until they have. A line without the envelope that the
    others have passes untouched.

    Attributes:
        kind: what was decided; `auto` until then.
    """

    def __init__(self, kind: EnvelopeKind = "auto", longest: int = 1 << 20) -> None:
        self.kind = kind
        self._longest = longest
        self._undecided = _UNDECIDED_LINES
        self._streams: dict[str, _Joiner] = {}

    @property
    def joining(self) -> bool:
        """Whether a line has begun that is not complete yet."""
        return bool(self._streams)

    def feed(self, line: Line) -> Line | Dropped | None:
        """The line without its envelope; None while it goes on; Dropped where it grew too long."""
        if self.kind == "auto":
            self._decide(line.text)
        piece = _PARSERS[self.kind](line.text)
        if piece is None:
            return line
        joiner = self._streams.get(piece.stream)
        if joiner is None:
            if piece.last:
                return _unwrapped(line, piece, piece.text)
            joiner = self._streams[piece.stream] = _Joiner(self._longest)
        joiner.add(piece.text)
        if not piece.last:
            return None
        del self._streams[piece.stream]
        text = joiner.text
        return Dropped(LINE_TOO_LONG) if text is None else _unwrapped(line, piece, text)

    def _decide(self, text: str) -> None:
        for kind in ("cri", "docker"):
            if _PARSERS[kind](text):
                self.kind = kind
                return
        self._undecided -= bool(text)
        if not self._undecided:
            self.kind = "none"


class _Joiner:
    """The pieces of one line. `text` is None when they are longer than we keep."""

    def __init__(self, longest: int) -> None:
        self._room = longest
        self._pieces: list[str] = []

    def add(self, text: str) -> None:
        self._room -= len(text)
        if self._room < 0:
            self._pieces.clear()
        elif text:
            self._pieces.append(text)

    @property
    def text(self) -> str | None:
        return None if self._room < 0 else "".join(self._pieces)


def _unwrapped(line: Line, piece: _Piece, text: str) -> Line:
    # While the wall clock is being set, the runtime's stamp is as doubtful as any other.
    known = piece.stamp is not None and line.wall_offset is not None
    envelope = Instant(piece.stamp + line.wall_offset) if known else None  # type: ignore[operator]
    return Line(text.removesuffix("\r"), line.not_before, line.not_after, line.wall_offset, envelope)


def _bare(_text: str) -> _Piece | None:
    return None


def _cri(text: str) -> _Piece | None:
    found = _CRI.match(text)
    if found is None:
        return None
    stamp, stream, tag = found.groups()
    return _Piece(stream, _seconds(stamp), text[found.end() :], tag == "F")


def _docker(text: str) -> _Piece | None:
    if not text.startswith(_DOCKER_START):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not record.keys() <= _DOCKER_KEYS or record.get("stream") not in ("stdout", "stderr"):
        return None
    log, stamp = record["log"], _seconds(record.get("time"))
    if not isinstance(log, str) or stamp is None:
        return None
    return _Piece(record["stream"], stamp, log.removesuffix("\n"), log.endswith("\n"))


def _seconds(stamp: object) -> float | None:
    """An RFC 3339 stamp as seconds since the epoch. Digits past the microsecond are cut: a float has no room."""
    try:
        moment = datetime.fromisoformat(stamp)  # type: ignore[arg-type]
        return moment.timestamp() if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


_PARSERS: dict[EnvelopeKind, Callable[[str], _Piece | None]] = {
    "auto": _bare,
    "none": _bare,
    "cri": _cri,
    "docker": _docker,
}
