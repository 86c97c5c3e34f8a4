"""Writing a file wholly or not at all."""

import os
from pathlib import Path

from exporter.domain.errors import ExporterError


def write_whole(path: Path, text: str) -> None:
    """Write a file, in one piece for whoever reads it meanwhile.

    Raises:
        ExporterError: it cannot be written; what was there before still is.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ExporterError(f"{path} cannot be written: {error.strerror}") from error
