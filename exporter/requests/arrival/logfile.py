"""One open log file: how far it has been read, and whether it was truncated since."""

import os
from collections import Counter

from exporter.domain.units import Instant
from exporter.requests.arrival import TRUNCATED
from exporter.requests.arrival.envelope import EnvelopeDecoder
from exporter.requests.arrival.marks import NO_HEAD, Mark, head_digest, identity_of
from exporter.requests.arrival.splitting import LineSplitter

CHUNK_BYTES = 16 * 1024
_HEAD_BYTES = 256
_REJOIN_BYTES = 4 << 20
_MTIME_GRAIN_SECONDS = 0.01
"""Kernels stamp files with the latest timer tick, up to this much before the write."""

_LATE_WRITES_SECONDS = 5.0
"""A writer is given so long, after its last line, to notice that its file was rotated."""

_UNREPLACED_SECONDS = 3600.0
"""A file renamed away without a replacement is probably still written to: rotation without a reopen."""

NEVER = Instant(float("-inf"))


def line_start(fd: int, end: int, longest: int) -> int:
    """The beginning of the line in which `end` falls: a half line there is still growing and is taken whole.

    But for a JSON array, which has an end of its own.
    """
    at = _after_newline(fd, end, longest)
    is_array = os.pread(fd, 2, at) == b"[{" and os.pread(fd, 2, max(0, end - 2)) == b"}]"
    return end if is_array else at


def _after_newline(fd: int, end: int, longest: int) -> int:
    at = end
    while at > max(0, end - longest):
        size = min(CHUNK_BYTES, at)
        newline = os.pread(fd, size, at - size).rfind(b"\n")
        if newline >= 0:
            return at - size + newline + 1
        at -= size
    return at


class LogFile:
    """An open file and how far it has been read.

    Attributes:
        path: its name now. pattern: which pattern gave it.
        decoder: takes envelopes off its lines; handed on to the file that replaces this one.
        predecessor: the file it replaced, to be read to its end first.
        end_seen: the latest poll that reached the end.
        nameless_since: when it was seen that its name no longer leads to it; None while it does.
        replaced: whether another file has its name now. deleted: whether it has no name at all.
        grown_at: the latest poll that found something new.
    """

    def __init__(self, fd: int, stat: os.stat_result, mark: Mark, longest: int, dropped: Counter[str]) -> None:
        self.fd = fd
        self.identity = identity_of(stat)
        self.path = mark.path
        self.pattern = mark.pattern
        self.decoder = EnvelopeDecoder(mark.envelope, longest)
        self.predecessor: LogFile | None = None
        self.end_seen = NEVER
        self.nameless_since: Instant | None = None
        self.replaced = False
        self.deleted = False
        self.grown_at = NEVER
        self._longest = longest
        self._dropped = dropped
        self._base = mark.offset
        self._splitter = LineSplitter(longest, dropped)
        self._rejoin = mark.rejoin
        self._head_bytes = mark.head_bytes
        self._head = mark.head
        self._size = stat.st_size
        self._changed_ns = stat.st_mtime_ns
        self._refresh_head()

    @property
    def offset(self) -> int:
        """The end of the last complete line that was read."""
        return self._base + self._splitter.returned

    @property
    def position(self) -> int:
        """The end of what was read, half lines included."""
        return self._base + self._splitter.taken

    @property
    def lag(self) -> int:
        """Bytes that are there and were not read."""
        return max(0, self._size - self.position)

    @property
    def is_early(self) -> bool:
        """Whether any of the files before it has not been read to its end; one of them may be empty."""
        before = self.predecessor
        while before is not None and not before.lag:
            before = before.predecessor
        return before is not None

    def not_after(self, now: Instant, wall_offset: float | None) -> Instant:
        """When lines read now were there: now, or when the file was last written if that is plausible and earlier."""
        if wall_offset is None:
            return now
        written = Instant(self._changed_ns / 1e9 + wall_offset + _MTIME_GRAIN_SECONDS)
        return written if self.end_seen < written < now else now

    def notice(self, stat: os.stat_result) -> bool:
        """Take in how the file is now. Returns whether it was truncated; then it has to `start_over`."""
        self.deleted = stat.st_nlink == 0
        if stat.st_size == self._size and stat.st_mtime_ns == self._changed_ns:
            return False
        self._size = stat.st_size
        self._changed_ns = stat.st_mtime_ns
        # Truncated and grown again past where we were: only its beginning tells.
        if self._size < self.position or head_digest(self.fd, self._head_bytes) != self._head:
            return True
        self._refresh_head()
        return False

    def is_over(self, now: Instant) -> bool:
        """Whether nothing more is expected of a file that lost its name."""
        if self.nameless_since is None or self.lag:
            return False
        patience = _LATE_WRITES_SECONDS if self.replaced or self.deleted else _UNREPLACED_SECONDS
        return now - max(self.nameless_since, self.grown_at) >= patience

    def start_over(self, *, half_is_lost: bool) -> None:
        """Read from the beginning. The half line at the end is counted where nothing holds its other half."""
        if half_is_lost and self._splitter.taken > self._splitter.returned:
            self._dropped[TRUNCATED] += 1
        self._base = self._rejoin = 0
        self._splitter = LineSplitter(self._longest, self._dropped)
        self._head_bytes, self._head = 0, NO_HEAD
        self._refresh_head()

    def read(self) -> list[str]:
        """Read one chunk, no further than what was there when last noticed, and return the lines it completes."""
        piece = os.pread(self.fd, min(CHUNK_BYTES, self.lag), self.position)
        if not piece:
            self._size = self.position  # truncated just now; the next notice will see it
            return []
        lines = self._splitter.feed(piece)
        if not self.lag:
            lines += self._splitter.take_array()
        return lines

    def tail(self) -> list[str]:
        """The half line at the end of a file that will not grow any more."""
        return self._splitter.flush()

    def rejoined(self) -> None:
        """Note that all lines read so far are out, unless an envelope still holds a piece."""
        if not self.decoder.joining or self.offset - self._rejoin > _REJOIN_BYTES:
            self._rejoin = self.offset

    def pieces_to_rejoin(self) -> list[str]:
        """The lines before the offset that hold the pieces of a line that goes on after it."""
        splitter = LineSplitter(self._longest, Counter())
        return splitter.feed(os.pread(self.fd, self._base - self._rejoin, self._rejoin))

    def mark(self) -> Mark:
        """Where we are."""
        return Mark(
            self.path,
            self.pattern,
            *self.identity,
            self._head_bytes,
            self._head,
            self.offset,
            self._rejoin,
            self.decoder.kind,
        )

    def close(self) -> None:
        """Let the file go."""
        os.close(self.fd)

    def _refresh_head(self) -> None:
        known = min(_HEAD_BYTES, self._size)
        if known > self._head_bytes:
            self._head_bytes = known
            self._head = head_digest(self.fd, known)
