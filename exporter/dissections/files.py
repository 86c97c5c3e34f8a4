"""Result files on disk."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from exporter.dissections.document import from_json, to_json
from exporter.domain.dissection import Dissection
from exporter.domain.errors import ComponentsError

LARGEST_BYTES = 16 << 20
"""A case of a model has some five thousand: what is much larger is something else."""


def write(path: Path, dissections: Sequence[Dissection]) -> None:
    """Write them all.

    Raises:
        ComponentsError: it cannot be written.
    """
    write_text(path, to_json(dissections))


def write_text(path: Path, text: str) -> None:
    """Write a file and put it in its place when it is whole: who reads meanwhile sees the old or the new one.

    Raises:
        ComponentsError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise ComponentsError(f"{path} cannot be written: {error.strerror}") from error


def read(path: Path) -> tuple[Dissection, ...]:
    """What is in a file.

    Raises:
        ComponentsError: there is none, or it holds no results that this release can read; names the file and the place.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise ComponentsError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_BYTES:
        raise ComponentsError(f"{path} is no result file of `components`: larger than {LARGEST_BYTES} bytes")
    try:
        return from_json(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ComponentsError(
            f"{path} is no result file of `components`: no UTF-8 text (byte {error.start})"
        ) from error
    except ComponentsError as error:
        raise ComponentsError(f"{path}: {error}") from error
