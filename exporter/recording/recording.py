"""Reading a recording: a header, and then entries as they come, however long it is.

A recording that was cut off, by a crash or a full disk, is read up to the cut, and `cut` says so. Anything else that is
not as it should be is an error that names the line.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from exporter.domain.errors import RecordingError
from exporter.recording.entries import Entry, Header
from exporter.recording.format import FOREIGN, GarbledError, read_header
from exporter.recording.reading import Reader
from exporter.recording.unpacking import unpacked

_MAGIC = b"\x1f\x8b"
_GARBLED = (ArithmeticError, LookupError, TypeError, ValueError)
"""What comes of reading a line that we did not write."""


class Recording:
    """A recording open for reading, once, from beginning to end.

    Attributes:
        header: how it began.
        cut: why it ended before its end, for a person; empty where it is complete, or was not read to its end yet.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            RecordingError: it cannot be read, or is no recording, or a newer version's.
        """
        self.path = path
        self.cut = ""
        self._file = _opened(path)
        self._size = path.stat().st_size
        self._number = 0
        self._lines = unpacked(self._file)
        try:
            self.header = self._header()
        except RecordingError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @property
    def progress(self) -> float:
        """The part of the file that has been read, from 0 to 1."""
        return min(self._file.tell() / self._size, 1.0)

    def entries(self) -> Iterator[Entry]:
        """All that the pipeline was told, in that order.

        Raises:
            RecordingError: a line is garbled, or the file can be read no further.
        """
        reader = Reader(self.header)
        while (text := self._next()) is not None:
            try:
                entry = reader.entry(json.loads(text))
            except GarbledError as error:
                raise self._error(str(error)) from error
            except _GARBLED as error:
                raise self._error("this is no line of a recording") from error
            if entry is not None:
                yield entry
        self._check_end(reader)

    def _check_end(self, reader: Reader) -> None:
        if reader.lines is None:
            self.cut = f"{self.path} was cut off after line {self._number}; what was told after that is not known"
        elif reader.lines != self._number - 1:
            raise self._error(f"{reader.lines} lines should stand before the last, not {self._number - 1}")

    def _header(self) -> Header:
        first = self._next()
        if first is None:
            raise self._error(f"{FOREIGN}, or was cut off before it began")
        try:
            return read_header(json.loads(first))
        except GarbledError as error:
            raise self._error(str(error)) from error
        except _GARBLED as error:
            raise self._error(FOREIGN) from error

    def _next(self) -> str | None:
        try:
            text = next(self._lines, None)
        except GarbledError as error:
            raise RecordingError(f"{self.path}, after line {self._number}: {error}") from error
        except OSError as error:
            raise RecordingError(f"{self.path}, after line {self._number}: cannot be read: {error.strerror}") from error
        self._number += text is not None
        return text

    def _error(self, problem: str) -> RecordingError:
        where = f", line {self._number}" if self._number else ""
        return RecordingError(f"{self.path}{where}: {problem}")


def _opened(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
        magic = file.read(len(_MAGIC))
        file.seek(0)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    if magic != _MAGIC:
        file.close()
        raise RecordingError(f"{path}: {FOREIGN}")
    return file
