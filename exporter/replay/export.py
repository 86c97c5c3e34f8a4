"""Tables as files, written as rows come, so that a table may be longer than memory.

CSV needs nothing; Parquet needs pyarrow, which is an extra.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from exporter.domain.errors import RecordingError, UsageError
from exporter.replay.columns import Columns, Row

_ROW_GROUP = 10_000


class Sink(Protocol):
    """Where the rows of one table go."""

    def add(self, rows: Iterable[Row]) -> None:
        """Write some more."""
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


class CsvSink:
    """A table as CSV: numbers to their last digit; what is not known is empty."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns)

    def add(self, rows: Iterable[Row]) -> None:
        """Write some more."""
        self._writer.writerows(rows)

    def close(self) -> None:
        """Complete the file."""
        self._file.close()


class ParquetSink:
    """A table as Parquet: what is not known is null."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._arrow = pyarrow()
        kinds = {"text": self._arrow.string(), "number": self._arrow.float64(), "count": self._arrow.int64()}
        self._schema = self._arrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self._writer = self._arrow.parquet.ParquetWriter(path, self._schema)
        self._rows: list[Row] = []

    def add(self, rows: Iterable[Row]) -> None:
        """Write some more."""
        self._rows.extend(rows)
        if len(self._rows) >= _ROW_GROUP:
            self._write()

    def close(self) -> None:
        """Complete the file."""
        self._write()
        self._writer.close()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        columns = list(zip(*rows, strict=True)) or [()] * len(self._schema)
        arrays = [self._arrow.array(values, kind) for values, kind in zip(columns, self._schema.types, strict=True)]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))


def pyarrow() -> Any:
    """The library.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: PLC0415 - an extra: only who wants Parquet has it
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow: pip install 'llm-energy-exporter[parquet]'") from error
    return pyarrow


_SINKS: Mapping[str, Callable[[Path, Columns], Sink]] = {"csv": CsvSink, "parquet": ParquetSink}


class Export:
    """Tables in all the formats that are wanted.

    Args:
        folders: by format, `csv` and `parquet`.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders
        self._sinks: dict[str, Sequence[Sink]] = {}

    def open(self, table: str, columns: Columns) -> None:
        """Begin a table, in files that take its name; those of an earlier export are overwritten."""
        self._sinks[table] = [_SINKS[how](folder / f"{table}.{how}", columns) for how, folder in self._folders.items()]

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Write some rows."""
        sinks = self._sinks[table]
        if sinks:
            listed = list(rows)
            for sink in sinks:
                sink.add(listed)

    def close(self) -> None:
        """Complete all files."""
        for sinks in self._sinks.values():
            for sink in sinks:
                sink.close()
        self._sinks = {}


@contextmanager
def exporting(folders: Mapping[str, Path]) -> Iterator[Export]:
    """An export whose files are complete when the context ends.

    Raises:
        UsageError: what a format needs is not installed.
        RecordingError: a file cannot be written.
    """
    if "parquet" in folders:
        pyarrow()
    export = Export(folders)
    try:
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        try:
            yield export
        finally:
            export.close()
    except OSError as error:
        raise RecordingError(f"{error.filename or 'a table'} cannot be written: {error.strerror or error}") from error
