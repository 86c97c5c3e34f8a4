"""Places in files, kept to be found again: after a restart, after rotation, in a copy.

A name says little: rotation gives it to another file. Device and inode say more, but an inode is used again once its
file is gone, and a truncated file keeps its own. So a file is also known by a digest of its first bytes.
"""

import hashlib
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from exporter.requests.arrival.envelope import EnvelopeKind
from exporter.requests.arrival.naming import copies_of, open_to_read

Identity = tuple[int, int]
"""Device and inode."""

_MARKS = 256


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

    @property
    def identity(self) -> Identity:
        """Which file."""
        return self.device, self.inode

    @classmethod
    def of_unread(cls, path: str, pattern: str, stat: os.stat_result) -> "Mark":
        """The end of a file of which nothing is known but that it is so long."""
        return cls(path, pattern, *identity_of(stat), 0, NO_HEAD, stat.st_size, stat.st_size, "auto")

    def json(self) -> Mapping[str, Any]:
        """As JSON values."""
        return asdict(self)

    def fits(self, fd: int, stat: os.stat_result) -> bool:
        """Whether the open file is the one marked, neither replaced nor truncated since."""
        # A device number may change with a reboot or a mount; inode and head together do not lie.
        same = stat.st_ino == self.inode and (self.head_bytes > 0 or stat.st_dev == self.device)
        return same and stat.st_size >= self.offset and head_digest(fd, self.head_bytes) == self.head

    def was_truncated(self) -> bool:
        """Whether the file that has the name now holds something else; no where it cannot be read."""
        try:
            return not self.is_of(self.path)
        except OSError:
            return False

    def is_of(self, path: str) -> bool:
        """Whether the name leads to the file marked. Raises OSError."""
        fd = open_to_read(path)
        try:
            return self.fits(fd, os.fstat(fd))
        finally:
            os.close(fd)

    def at_the_beginning_of(self, stat: os.stat_result) -> "Mark":
        """Nothing read yet of another file that once had the same name."""
        unread = Mark.of_unread(self.path, self.pattern, stat)
        return replace(unread, offset=0, rejoin=0, envelope=self.envelope)

    def in_a_copy(self) -> tuple["Mark", str] | None:
        """The same place in the copy that was made before the file was truncated, and the copy's name."""
        for path, stat in copies_of(self.path) if self.head_bytes else ():
            moved = replace(self, device=stat.st_dev, inode=stat.st_ino)
            with suppress(OSError):
                if stat.st_ino != self.inode and moved.is_of(path):
                    return moved, path
        return None


def identity_of(stat: os.stat_result) -> Identity:
    """What a stat says about which file it is."""
    return stat.st_dev, stat.st_ino


def head_digest(fd: int, size: int) -> str:
    """A digest of the first `size` bytes: the bytes themselves may be part of a prompt."""
    return hashlib.blake2b(os.pread(fd, size, 0), digest_size=16).hexdigest()


NO_HEAD = hashlib.blake2b(b"", digest_size=16).hexdigest()
"""The digest of no bytes."""


class Marks:
    """The places kept: of files let go, and of those followed before a restart. The oldest give way to new ones.

    Attributes:
        forgotten: how many were given up because nothing is left to read on.
    """

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        self.forgotten = 0

    def __iter__(self) -> Iterator[Mark]:
        return iter(list(self._marks))

    def restore(self, marks: Sequence[Mark], patterns: Container[str]) -> None:
        """Take over what was saved, but for patterns that are not followed any more."""
        self._marks = list(marks)
        self.forget(lambda mark: mark.pattern not in patterns)

    def keep(self, mark: Mark) -> None:
        """Keep a place, instead of an earlier one in the same file."""
        self._marks = [known for known in self._marks if known.inode != mark.inode or known.path != mark.path]
        self._marks = [*self._marks, mark][-_MARKS:]

    def take(self, fd: int, stat: os.stat_result) -> Mark | None:
        """The place in this open file, which is kept no longer; None where there is none."""
        mark = next((mark for mark in self._marks if mark.fits(fd, stat)), None)
        if mark is not None:
            self._marks.remove(mark)
        return mark

    def drop(self, mark: Mark) -> None:
        """Keep it no longer, if it is kept at all: another stands for it."""
        self._marks = [known for known in self._marks if known is not mark]

    def forget(self, is_lost: Callable[[Mark], bool]) -> None:
        """Give up those of which this is true, and count them."""
        kept = [mark for mark in self._marks if not is_lost(mark)]
        self.forgotten += len(self._marks) - len(kept)
        self._marks = kept
