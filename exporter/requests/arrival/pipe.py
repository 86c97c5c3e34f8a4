"""Standard input as a source of lines: `server 2>&1 | llm-energy-exporter run`."""

import contextlib
import fcntl
import os
import select
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from exporter.domain.events import Dropped
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.arrival import Bounds, Tally
from exporter.requests.arrival.envelope import EnvelopeDecoder, EnvelopeKind
from exporter.requests.arrival.logfile import CHUNK_BYTES, NEVER
from exporter.requests.arrival.splitting import LineSplitter

_PIPE_BYTES = 1 << 20


class Pipe:
    """Reads what a pipe, a terminal or a redirected file holds. See `exporter.requests.arrival.Arrival`.

    The descriptor is asked before each read instead of being made non-blocking: that flag would be set for everyone
    who shares it, and break a terminal's other users. Nothing survives a restart: a pipe cannot be read again.
    """

    def __init__(self, fd: int = 0, *, envelope: EnvelopeKind = "auto", bounds: Bounds | None = None) -> None:
        self._fd = fd
        self._bounds = bounds or Bounds()
        self._dropped: Counter[str] = Counter()
        self._problems: dict[str, str] = {}
        self._splitter = LineSplitter(self._bounds.line_bytes, self._dropped)
        self._decoder = EnvelopeDecoder(envelope, self._bounds.line_bytes)
        self._end_seen = NEVER
        self._ready = select.poll()
        self._ready.register(fd, select.POLLIN)
        self.ended = False
        self.caught_up = False
        self.caught_up_at: Instant | None = None
        with contextlib.suppress(OSError):
            # A full pipe stops the server that writes it: give it as much room as the kernel lets anybody have.
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def poll(self, now: Instant, wall_offset: float | None) -> list[Line]:
        """Return the lines that have arrived."""
        lines: list[Line] = []
        room = self._bounds.poll_bytes
        self.caught_up = False
        while not self.caught_up and room > 0 and len(lines) < self._bounds.poll_lines:
            piece = self._piece()
            room -= len(piece)
            self.caught_up = not piece
            texts = self._splitter.feed(piece) if piece or not self.ended else self._splitter.flush()
            lines += self._unwrapped(Line(text, self._end_seen, now, wall_offset) for text in texts)
        if self.caught_up:
            self._end_seen = self.caught_up_at = now
        return lines

    @property
    def tally(self) -> Tally:
        """How reading goes."""
        return Tally(
            files=int(not self.ended),
            bytes=self._splitter.taken,
            problems=dict(self._problems),
            dropped=dict(self._dropped),
        )

    def snapshot(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Nothing to go on from."""

    def close(self) -> None:
        """Stop reading; standard input itself stays open."""
        self.ended = True

    def _piece(self) -> bytes:
        """What is there now; empty where nothing is, or where nothing will come any more."""
        if self.ended or not self._ready.poll(0):
            return b""
        try:
            piece = os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:  # somebody else made it non-blocking, and another reader was faster
            return b""
        except OSError as error:
            self._problems["-"] = f"standard input cannot be read: {error.strerror}"
            piece = b""
        self.ended = not piece
        return piece

    def _unwrapped(self, lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            inner = self._decoder.feed(line)
            if isinstance(inner, Dropped):
                self._dropped[inner.reason] += 1
            elif inner is not None:
                yield inner
