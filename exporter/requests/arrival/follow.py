"""Following log files by name, through everything that may happen to them.

Theory of operation. A pattern leads to names, a name to a file, and each of these may change while we look. Files are
therefore followed by identity, never by name:

* once a second the patterns are resolved; a file not known yet is opened;
* at every poll each name is looked up. Leads it elsewhere, the file was rotated: it is read to its end, then its
  replacement from the beginning, and it is watched a little longer because its writer may not have noticed yet;
* leads it to the file we know, the same call says whether the file grew or was truncated. What was not read before that
  may stand in a copy beside it, known by how it begins: the copy is read to its end, then the file from the beginning;
* what is read is exactly what was there when the poll began, so that a poll which leaves nothing unread has seen
  everything written before its own instant.

A half line at the end of a file stays there until it is completed, or until its file is given up after rotation.
Only regular files are followed. What cannot be followed is a problem with words for a person, and is tried again.
"""

import glob
import os
import stat as kinds
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from exporter.domain.events import Dropped
from exporter.domain.lines import Line
from exporter.domain.settings import StartAt
from exporter.domain.units import Instant
from exporter.requests.arrival import Bounds, Tally
from exporter.requests.arrival.envelope import EnvelopeKind
from exporter.requests.arrival.logfile import NEVER, LogFile, line_start
from exporter.requests.arrival.marks import Identity, Mark, Marks, identity_of
from exporter.requests.arrival.naming import (
    advice_on,
    generations_since,
    look_up,
    names_of,
    open_to_read,
    refusal_of,
    sibling_of,
)

_RESCAN_SECONDS = 1.0


class Follower:
    """Follows the files that the patterns match. See `exporter.requests.arrival.Arrival`.

    Args:
        patterns: paths or globs.
        start_at: where to begin in files that are there at the very first look; later ones begin at their beginning.
        envelope: how lines are wrapped.
        bounds: what may be used at most.
    """

    ended = False

    def __init__(
        self,
        patterns: Sequence[str],
        *,
        start_at: StartAt = "end",
        envelope: EnvelopeKind = "auto",
        bounds: Bounds | None = None,
    ) -> None:
        self._patterns = tuple(patterns)
        self._start_at = start_at
        self._envelope = envelope
        self._bounds = bounds or Bounds()
        self._files: dict[Identity, LogFile] = {}
        self._marks = Marks()
        self._known_patterns: set[str] = set()
        self._resuming = False
        self._problems: dict[str, str] = {}
        self._dropped: Counter[str] = Counter()
        self._scanned_at = self._scanned_before = NEVER
        self._wall_offset: float | None = None
        self._names_are_certain = False
        self._turn = 0
        self._bytes = self._rotations = 0
        self.caught_up = False
        self.caught_up_at: Instant | None = None

    def poll(self, now: Instant, wall_offset: float | None) -> list[Line]:
        """Return the lines that have arrived."""
        self._wall_offset = wall_offset
        self._look(now)
        if now - self._scanned_at >= _RESCAN_SECONDS:
            self._scan(now)
        lines = self._read(now, wall_offset)
        lines += self._let_go(now, wall_offset)
        self._conclude(now)
        return lines

    @property
    def tally(self) -> Tally:
        """How reading goes."""
        return Tally(
            files=len(self._files),
            bytes=self._bytes,
            rotations=self._rotations,
            lag_bytes=sum(file.lag for file in self._files.values()),
            problems=dict(self._problems),
            dropped=dict(self._dropped),
            forgotten=self._marks.forgotten,
        )

    def snapshot(self) -> Mapping[str, Any]:
        """Where we are in every file."""
        marks = [*self._marks, *(file.mark() for file in self._files.values())]
        return {"patterns": sorted(self._known_patterns), "files": [mark.json() for mark in marks]}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        try:
            known = {str(pattern) for pattern in snapshot["patterns"]}
            marks = [Mark(**fields) for fields in snapshot["files"]]
        except (KeyError, TypeError):
            return
        self._known_patterns = known & set(self._patterns)
        self._marks.restore(marks, self._known_patterns)
        self._resuming = True

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    # Which files there are.

    def _look(self, now: Instant) -> None:
        for file in list(self._files.values()):
            try:
                self._look_at(file, now)
            except OSError as error:
                self._lose(file, error)

    def _look_at(self, file: LogFile, now: Instant) -> None:
        named = None if file.replaced else look_up(file.path)
        if named is not None and identity_of(named) == file.identity:
            file.nameless_since = None
            self._take_in(file, named, now)
            return
        self._take_in(file, os.fstat(file.fd), now)
        if file.nameless_since is None:
            file.nameless_since = now
        if named is not None:
            self._meet(file.path, file.pattern)

    def _take_in(self, file: LogFile, stat: os.stat_result, now: Instant) -> None:
        if not file.notice(stat):
            return
        self._rotations += 1
        found = file.mark().in_a_copy()
        copy = self._open_nameless(*found, now) if found is not None else None
        if copy is not None:
            copy.replaced, copy.end_seen, copy.predecessor = True, file.end_seen, file.predecessor
            file.predecessor, file.decoder = copy, copy.decoder
        file.start_over(half_is_lost=copy is None)

    def _scan(self, now: Instant) -> None:
        self._scanned_before, self._scanned_at = self._scanned_at, now
        self._problems.clear()
        if self._resuming:
            self._find_rotated(now)
        for pattern in self._patterns:
            self._resolve(pattern)
        if self._resuming:
            self._marks.forget(self._is_lost)
            self._resuming = False
        for pattern in {*self._patterns} - {file.pattern for file in self._files.values()} - {*self._problems}:
            self._problems[pattern] = "no such file yet: it is followed as soon as it is there"
        names = {file.path for file in self._files.values()}
        self._names_are_certain = all(not glob.has_magic(name) and name in names for name in self._patterns)

    def _resolve(self, pattern: str) -> None:
        try:
            for path in names_of(pattern):
                self._meet(path, pattern)
        except OSError as error:
            self._problems[pattern] = advice_on(error)
        self._known_patterns.add(pattern)

    def _meet(self, path: str, pattern: str) -> None:
        stat = None
        try:
            stat = os.stat(path)  # noqa: PTH116 - a Path would cost more than the call
            known = self._files.get(identity_of(stat))
            if known is None:
                self._open(path, pattern, stat)
            elif known.nameless_since is not None:
                known.path, known.pattern, known.nameless_since, known.replaced = path, pattern, None, False
        except OSError as error:
            if os.path.lexists(path) or not isinstance(error, FileNotFoundError):
                self._problems[path] = advice_on(error)
            if stat is not None and self._begins_at_end(pattern):
                self._marks.keep(Mark.of_unread(path, pattern, stat))

    def _open(self, path: str, pattern: str, stat: os.stat_result) -> None:
        refusal = refusal_of(stat, path)
        if refusal is None and len(self._files) >= self._bounds.files:
            refusal = f"not followed: {self._bounds.files} files are already; narrow the pattern"
        if refusal is not None:
            self._problems[path] = refusal
            return
        fd = open_to_read(path)
        # The name may lead elsewhere by now: only the open file counts from here on.
        stat = os.fstat(fd)
        if identity_of(stat) in self._files or not kinds.S_ISREG(stat.st_mode):
            os.close(fd)
            return
        self._admit(fd, stat, path, pattern)
        self._problems.pop(path, None)

    def _admit(self, fd: int, stat: os.stat_result, path: str, pattern: str) -> LogFile:
        try:
            return self._begin(fd, stat, path, pattern)
        except OSError:
            os.close(fd)
            raise

    def _begin(self, fd: int, stat: os.stat_result, path: str, pattern: str) -> LogFile:
        mark = self._recall(fd, stat)
        is_new = mark is None
        if mark is None:
            offset = line_start(fd, stat.st_size, self._bounds.line_bytes) if self._begins_at_end(pattern) else 0
            mark = replace(Mark.of_unread(path, pattern, stat), offset=offset, rejoin=offset, envelope=self._envelope)
        file = LogFile(fd, stat, replace(mark, path=path, pattern=pattern), self._bounds.line_bytes, self._dropped)
        if is_new and pattern in self._known_patterns and self._is_fresh(stat):
            file.end_seen = self._scanned_before
        pieces = file.pieces_to_rejoin()
        self._succeed(file, is_new=is_new)
        self._files[file.identity] = file
        for text in pieces:
            file.decoder.feed(Line(text, NEVER, NEVER))
        return file

    def _succeed(self, file: LogFile, *, is_new: bool) -> None:
        """Put the file in the place of the one that had its name before."""
        for old in self._files.values():
            if old.path == file.path and old.nameless_since is not None and not old.replaced:
                old.replaced = True
                file.predecessor = old
                file.decoder = old.decoder
                if is_new:
                    self._rotations += 1
                    file.end_seen = old.end_seen

    def _is_fresh(self, stat: os.stat_result) -> bool:
        """Whether a file that was not there at the scan before was written since, and not moved here with old lines."""
        if self._resuming or self._wall_offset is None:
            return False
        return stat.st_mtime + self._wall_offset >= self._scanned_before

    def _begins_at_end(self, pattern: str) -> bool:
        return self._start_at == "end" and pattern not in self._known_patterns

    # Files known from before: a restart, or a time when they could not be read.

    def _recall(self, fd: int, stat: os.stat_result) -> Mark | None:
        if (mark := self._marks.take(fd, stat)) is None:
            return None
        start = mark.offset if mark.head_bytes else line_start(fd, mark.offset, self._bounds.line_bytes)
        return replace(mark, offset=start, rejoin=min(start, mark.rejoin))

    def _find_rotated(self, now: Instant) -> None:
        """Go on in files that lost their name or their content while we were away, and in those that came and went."""
        found = [(mark, self._follow_up(mark, now)) for mark in self._marks]
        known = {mark.inode for mark in self._marks} | {inode for _, inode in self._files}
        for mark, path in found:
            for name, stat in generations_since(mark.path, path) if path is not None else ():
                if stat.st_ino not in known:
                    known.add(stat.st_ino)
                    self._open_generation(mark.at_the_beginning_of(stat), name, now)

    def _follow_up(self, mark: Mark, now: Instant) -> str | None:
        """Reopen the file under the name that it has now, or its copy if it was truncated; returns that name."""
        here = look_up(mark.path)
        if here is None or here.st_ino != mark.inode:
            path = sibling_of(mark.path, mark.inode)
            return path if path is not None and self._reopen(mark, path, now) is not None else None
        copy = mark.in_a_copy() if mark.was_truncated() else None
        if copy is None or self._open_nameless(*copy, now) is None:
            return None
        self._marks.drop(mark)
        return copy[1]

    def _open_generation(self, mark: Mark, path: str, now: Instant) -> None:
        """A file that came and went under the same name while we were away: it succeeds the one before."""
        if len(self._files) < self._bounds.files:
            self._open_nameless(mark, path, now)
        else:
            self._marks.forgotten += 1

    def _open_nameless(self, mark: Mark, path: str, now: Instant) -> LogFile | None:
        """Read from here on in a file that was followed under another name, or would have been."""
        if mark.identity in self._files:
            return None
        self._marks.keep(mark)
        return self._reopen(mark, path, now)

    def _reopen(self, mark: Mark, path: str, now: Instant) -> LogFile | None:
        """Go on in a file that no longer has the name under which it was followed."""
        try:
            fd = open_to_read(path)
            stat = os.fstat(fd)
            if identity_of(stat) in self._files or not mark.fits(fd, stat):  # its inode was given to another file
                os.close(fd)
                return None
            file = self._admit(fd, stat, mark.path, mark.pattern)
        except OSError as error:
            self._problems[path] = advice_on(error)
            return None
        file.nameless_since = now
        return file

    def _is_lost(self, mark: Mark) -> bool:
        """A mark is kept only while what it stands for may come back: unreadable now, or its directory not there."""
        unreadable = mark.path in self._problems or mark.pattern in self._problems
        return not unreadable and os.path.isdir(Path(mark.path).parent)  # noqa: PTH112 - a Path would raise

    # What is in them.

    def _read(self, now: Instant, wall_offset: float | None) -> list[Line]:
        waiting = deque(file for file in self._files.values() if file.lag)
        waiting.rotate(self._turn)
        self._turn += 1
        lines: list[Line] = []
        room = self._bounds.poll_bytes
        while waiting and room > 0 and len(lines) < self._bounds.poll_lines:
            file = waiting.popleft()
            if not file.is_early:
                before = file.position
                lines += self._chunk(file, now, wall_offset)
                room -= file.position - before
            if file.lag and file.identity in self._files:
                waiting.append(file)
        self._bytes += self._bounds.poll_bytes - room
        return lines

    def _chunk(self, file: LogFile, now: Instant, wall_offset: float | None) -> list[Line]:
        try:
            texts = file.read()
        except OSError as error:
            self._lose(file, error)
            return []
        file.grown_at = now
        lines = self._lines(file, texts, now, wall_offset)
        file.rejoined()
        return lines

    def _lines(self, file: LogFile, texts: Iterable[str], now: Instant, wall_offset: float | None) -> list[Line]:
        not_after = file.not_after(now, wall_offset)
        lines = [Line(text, file.end_seen, not_after, wall_offset) for text in texts]
        return lines if file.decoder.kind == "none" else list(self._unwrapped(file, lines))

    def _unwrapped(self, file: LogFile, lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            inner = file.decoder.feed(line)
            if isinstance(inner, Dropped):
                self._dropped[inner.reason] += 1
            elif inner is not None:
                yield inner

    # How it ends.

    def _let_go(self, now: Instant, wall_offset: float | None) -> list[Line]:
        lines: list[Line] = []
        for file in [file for file in self._files.values() if file.is_over(now)]:
            lines += self._lines(file, file.tail(), now, wall_offset)
            file.rejoined()
            if not file.deleted:
                self._marks.keep(file.mark())
            self._drop(file)
        return lines

    def _lose(self, file: LogFile, error: OSError) -> None:
        self._problems[file.path] = advice_on(error)
        self._marks.keep(file.mark())
        self._drop(file)

    def _drop(self, file: LogFile) -> None:
        file.close()
        del self._files[file.identity]
        for other in self._files.values():
            if other.predecessor is file:
                other.predecessor = file.predecessor

    def _conclude(self, now: Instant) -> None:
        self.caught_up = not any(file.lag for file in self._files.values())
        for file in self._files.values():
            if not file.lag:
                file.end_seen = now
        if self.caught_up:
            # A file that a pattern matches since the last scan is not known yet.
            self.caught_up_at = now if self._names_are_certain else self._scanned_at
