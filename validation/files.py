"""Results as JSON, and back: the same values, to the last bit.

Numbers that are none (NaN, infinities) become null on the way out, since JSON has no word for them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from exporter.recording import values
from validation.results import StageResult, Validation

RESULTS, REPORT = "results.json", "report.md"
"""Names of the two files that are always there."""

MOST_FILES = 8
"""What a machine that is lent may give back. Pictures are what is left out: they can be drawn later from the others."""


class ResultsError(Exception):
    """A file is not what this program wrote."""


def to_json(validation: Validation) -> str:
    """As text."""
    return json.dumps(_plain(asdict(validation)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Validation:
    """Back from text.

    Raises:
        ResultsError: it is not such a text.
    """
    return cast("Validation", _said(text, Validation, "these are no results of a validation"))


def stage_to_json(result: StageResult) -> str:
    """One stage by itself, for a stage that runs in a process of its own."""
    return json.dumps(_plain(asdict(result)), allow_nan=False)


def stage_from_json(text: str) -> StageResult:
    """One stage, back from text.

    Raises:
        ResultsError: it is not such a text.
    """
    return cast("StageResult", _said(text, StageResult, "this is no result of a stage"))


def read(path: Path) -> Validation:
    """What a file holds.

    Raises:
        ResultsError: it cannot be read, or is something else.
    """
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from error


def write(path: Path, text: str) -> None:
    """Replace the file at once: whoever reads it sees the old text or the new one."""
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def room_for_picture(folder: Path, *, names: Sequence[str] = (), coming: int = 0) -> bool:
    """Whether one more file than there are may lie there. `names`: not counted. `coming`: others still to come."""
    there = sum(path.is_file() and path.name not in names for path in folder.iterdir())
    return there + coming < MOST_FILES


def _said(text: str, kind: Any, otherwise: str) -> Any:
    try:
        return values.from_json(kind, json.loads(text))
    except (ValueError, values.UnfitError) as error:
        raise ResultsError(f"{otherwise}: {error}") from error


def _plain(value: Any) -> Any:
    """What JSON knows. NumPy's numbers and arrays answer `tolist`."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Sequence):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int) else str(value)
