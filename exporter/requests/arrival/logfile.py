"""One open log file: where we are in it, and whether it is still the file that we knew.

A name says little: rotation gives it to another file. Device and inode say more, but an inode is used again once its
file is gone, and a truncated file keeps its own. So a file is also known by a digest of its first bytes.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from exporter.domain.units import Instant
from exporter.requests.arrival import TRUNCATED
from exporter.requests.arrival.envelope import EnvelopeDecoder, EnvelopeKind
from exporter.requests.arrival.splitting import LineSplitter

Identity = tuple[int, int]
"""Device and inode."""

CHUNK_BYTES = 16 * 1024
_HEAD_BYTES = 256
_REJOIN_BYTES = 4 << 20

NEVER = Instant(float("-inf"))


@dataclass(frozen=True, slots=True)
class Mark:
    """Where we were in a file: enough to find it again after a restart and to go on exactly there.

    Attributes:
        path: its name then. pattern: which pattern gave it.
        head_bytes, head: length and digest of the beginning by which it is known again.
        offset: the end of the last line returned.
        rejoin: where to read again, silently, to have the pieces of a line in envelopes that was not complete.
        envelope: what was decided about envelopes.
    """

    path: str
    pattern: str
    device: int
    inode: int
    head_bytes: int
    head: str
    offset: int
    rejoin: int
    envelope: EnvelopeKind

    def json(self) -> Mapping[str, Any]:
        """As JSON values."""
        return asdict(self)

    def fits(self, fd: int, stat: os.stat_result) -> bool:
        """Whether the open file is the one marked, neither replaced nor truncated since."""
        # A device number may change with a reboot or a mount; inode and head together do not lie.
        same = stat.st_ino == self.inode and (self.head_bytes > 0 or stat.st_dev == self.device)
        return same and stat.st_size >= self.offset and head_digest(fd, self.head_bytes) == self.head


def identity_of(stat: os.stat_result) -> Identity:
    """What a stat says about which file it is."""
    return stat.st_dev, stat.st_ino


def head_digest(fd: int, size: int) -> str:
    """A digest of the first `size` bytes: the bytes themselves may be part of a prompt."""
    return hashlib.blake2b(os.pread(fd, size, 0), digest_size=16).hexdigest()


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


NO_HEAD = hashlib.blake2b(b"", digest_size=16).hexdigest()
"""The digest of no bytes."""


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
    def changed(self) -> float:
        """Modification time on the wall clock."""
        return self._changed_ns / 1e9

    def notice(self, stat: os.stat_result) -> bool:
        """Take in how the file is now. Returns whether it was truncated; then it is read from its beginning."""
        self.deleted = stat.st_nlink == 0
        if stat.st_size == self._size and stat.st_mtime_ns == self._changed_ns:
            return False
        self._size = stat.st_size
        self._changed_ns = stat.st_mtime_ns
        # Truncated and grown again past where we were: only its beginning tells.
        if self._size >= self.position and head_digest(self.fd, self._head_bytes) == self._head:
            return False
        self._start_over()
        return True

    def read(self) -> list[str]:
        """Read one chunk, no further than what was there when last noticed, and return the lines it completes."""
        piece = os.pread(self.fd, min(CHUNK_BYTES, self.lag), self.position)
        if not piece:
            self._size = self.position  # truncated just now; the next notice will see it
            return []
        lines = self._splitter.feed(piece)
        if not self.lag:
            lines += self._splitter.take_array()
        self._refresh_head()
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

    def _start_over(self) -> None:
        self._dropped[TRUNCATED] += self._splitter.taken > self._splitter.returned
        self._base = self._rejoin = 0
        self._splitter = LineSplitter(self._longest, self._dropped)
        self._head_bytes, self._head = 0, NO_HEAD

    def _refresh_head(self) -> None:
        known = min(_HEAD_BYTES, self.position)
        if known > self._head_bytes:
            self._head_bytes = known
            self._head = head_digest(self.fd, known)
