"""The tape: what was told, compressed into a file by a thread of its own. No trouble with the file reaches metering.

Theory of operation. Whoever meters hands over what was told since the last time, about once a second, and never waits.
A thread makes lines of it, compresses and writes them. A disk that hangs fills the bounded queue between the two, a
full one raises in the thread: both end the recording, with one message. Every few seconds all that came so far is made
readable, so that a crash costs no more than that.
"""

import logging
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Full, Queue
from threading import Lock, Thread
from typing import BinaryIO, Literal

from exporter.domain.errors import RecordingError, UsageError
from exporter.domain.readings import Reading
from exporter.recording.entries import Entry, Header
from exporter.recording.format import GZIP_WINDOW, end_line, header_line
from exporter.recording.writing import Writer

log = logging.getLogger(__name__)

Ending = Literal["stopped", "full", "failed"]
Told = Sequence[Entry | Reading]

MAX_BYTES = 1_000_000_000
_MOST_WAITING = 120
"""Hand-overs that may wait for the disk: two minutes of them."""
_FLUSH_EVERY = 10
_JOIN_SECONDS = 10.0


class Tape:
    """One recording being written.

    Attributes:
        ended: why nothing more is written; None while it goes on.
        failures: 1 once it has ended because it could not be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool = False,
        max_bytes: int = MAX_BYTES,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self.ended: Ending | None = None
        self._overwrite = overwrite
        self._max_bytes = max_bytes
        self._on_end = on_end
        self._lock = Lock()
        self._waiting: Queue[Told | None] = Queue(_MOST_WAITING)
        self._thread: Thread | None = None
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is there already: --force overwrites it")

    @property
    def failures(self) -> int:
        """How often writing has failed; once is the end."""
        return int(self.ended == "failed")

    def start(self, header: Header) -> None:
        """Begin the file.

        Raises:
            RecordingError: it cannot be written.
        """
        assert self._thread is None, "a tape records one session"
        try:
            file = self.path.open("wb" if self._overwrite else "xb")
        except OSError as error:
            raise RecordingError(f"{self.path} cannot be written: {error.strerror}") from error
        self._thread = Thread(target=self._run, args=(file, header), name="recorder", daemon=True)
        self._thread.start()

    def take(self, told: Told) -> None:
        """Write this, in a while. Never waits."""
        if self.ended is None:
            try:
                self._waiting.put_nowait(told)
            except Full:
                self._fail("the disk takes no more")

    def close(self) -> None:
        """Write what is waiting and complete the file. May be called twice."""
        if self._thread is None:
            return
        if self.ended is None:
            try:
                self._waiting.put(None, timeout=_JOIN_SECONDS)
            except Full:
                self._fail("the disk takes no more")
        self._thread.join(_JOIN_SECONDS)
        if self._thread.is_alive():
            self._fail("the disk takes no more")

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self, file: BinaryIO, header: Header) -> None:
        try:
            with file:
                ending = self._record(_Packed(file), header)
            self._end(ending)
        except OSError as error:
            self._fail(error.strerror or str(error))
        except Exception as error:
            log.exception("a bug in the recorder")
            self._fail(str(error))

    def _record(self, packed: "_Packed", header: Header) -> Ending:
        """Write until told to stop; says why it stopped."""
        writer, lines, turns, ending = Writer(header), 1, 0, None
        packed.write([header_line(header)])
        packed.flush()
        while ending is None:
            told = self._waiting.get()
            written = list(writer.lines(told or ()))
            packed.write(written)
            lines, turns = lines + len(written), turns + 1
            if turns % _FLUSH_EVERY == 0:
                packed.flush()
            ending = "stopped" if told is None else "full" if packed.size >= self._max_bytes else self.ended
        packed.write([end_line(lines)] if ending != "failed" else [])
        packed.finish()
        return ending

    def _end(self, ending: Ending) -> None:
        if self._settle(ending) and ending == "full":
            log.info("recording %s is complete: it has reached its size", self.path)
            self._on_end()

    def _fail(self, why: str) -> None:
        if self._settle("failed"):
            log.error("recording %s ends here, metering goes on: %s", self.path, why)
            self._on_end()

    def _settle(self, ending: Ending) -> bool:
        """Whether this is how it ended: it ends once."""
        with self._lock:
            first, self.ended = self.ended is None, self.ended or ending
        return first


class _Packed:
    """Lines, compressed into a file.

    Attributes:
        size: bytes written.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._deflate = zlib.compressobj(wbits=GZIP_WINDOW)
        self.size = 0

    def write(self, lines: Sequence[str]) -> None:
        """Write some more, in a while."""
        self._put(self._deflate.compress("".join(f"{line}\n" for line in lines).encode("ascii")))

    def flush(self) -> None:
        """Make all of it readable now."""
        self._put(self._deflate.flush(zlib.Z_SYNC_FLUSH))
        self._file.flush()

    def finish(self) -> None:
        """Complete it."""
        self._put(self._deflate.flush())

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)
