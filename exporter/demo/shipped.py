"""Recordings that come with the exporter: real sessions, to be shown where nothing of the kind can run.

Each is a file `NAME.jsonl.gz` with `NAME.json` beside it, which says what ran and how its energy came to be known;
machine, driver and date stand in the recording itself.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.domain.errors import UsageError
from exporter.recording.recording import Recording
from exporter.recording.words import when_and_where

FOLDER = Path(__file__).parent / "recordings"
_ENDING = ".jsonl.gz"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A recording that is to be shown.

    Attributes:
        name: of one that is shipped, or of a file. path: the file.
        ran, energy: what it was and how its energy came to be known, in words; empty where nobody said.
    """

    name: str
    path: Path
    ran: str = ""
    energy: str = ""


def shipped(folder: Path = FOLDER) -> Mapping[str, Chosen]:
    """All that there are, by name."""
    names = sorted(path.name.removesuffix(_ENDING) for path in folder.glob(f"*{_ENDING}"))
    return {name: _labelled(name, folder) for name in names}


def find(wanted: str, folder: Path = FOLDER) -> Chosen:
    """One of these by its name, or any file.

    Raises:
        UsageError: there is neither; says which there are.
    """
    known = shipped(folder)
    if wanted in known:
        return known[wanted]
    if (path := Path(wanted)).is_file():
        return Chosen(path.name, path)
    there = "; ".join(f"{each.name} ({in_words(each)})" for each in known.values())
    raise UsageError(f"--recording {wanted}: no such file, and none that is shipped: there are {there or 'none'}")


def in_words(chosen: Chosen) -> str:
    """When and where it was recorded, what was metered, and what ran.

    Raises:
        RecordingError: it is none.
    """
    with Recording(chosen.path) as recording:
        header = recording.header
    drivers = sorted({f"driver {device.driver}" for device in header.devices if device.driver})
    devices = sorted({device.model or device.name for device in header.devices})
    return "; ".join([when_and_where(header), ", ".join([*devices, *drivers]), *filter(None, [chosen.ran])])


def _labelled(name: str, folder: Path) -> Chosen:
    label = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return Chosen(name, folder / f"{name}{_ENDING}", label["ran"], label["energy"])
