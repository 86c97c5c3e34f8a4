"""What may be said about a recording that is to be written, wherever one is."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.domain.errors import UsageError

if TYPE_CHECKING:
    from exporter.recording.tape import Tape

_SIZE = re.compile(r"(?P<number>[0-9]{1,6}(?:\.[0-9]{1,3})?) ?(?P<unit>[kMGT]?)B")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Declare what `open_tape` reads."""
    parser.add_argument("--max-size", metavar="SIZE", help="end the recording at this size, e.g. 200MB (default: 1GB)")
    parser.add_argument("--force", action="store_true", help="overwrite the recording if it is there already")


def open_tape(path: Path, options: argparse.Namespace, on_end: Callable[[], None] = lambda: None) -> "Tape":
    """A tape as the command line wants it.

    Args:
        path: the file.
        options: with `max_size` and `force`.
        on_end: called, in another thread, when it ends before it is told to.

    Raises:
        UsageError: the size is none, or the file is there and may not be overwritten.
    """
    from exporter.recording.tape import MAX_BYTES, Tape  # noqa: PLC0415 - few are recorded

    max_bytes = MAX_BYTES if options.max_size is None else _bytes(options.max_size)
    return Tape(path, overwrite=options.force, max_bytes=max_bytes, on_end=on_end)


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if not match:
        raise UsageError(f"--max-size {text}: should be a size with its unit, such as 200MB or 1GB")
    return round(float(match["number"]) * _UNITS[match["unit"]])
