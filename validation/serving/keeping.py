"""Serving runs in a file, and back: with it and the recordings a run can be judged again.

Compressed JSON. Requests are rows of values in the order of their fields: there are thousands.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from validation.serving.run import Books, ClientTruth, DeviceBooks, Phase, ServingRun


class RunsError(Exception):
    """The file cannot be read, or is something else."""


def write(path: Path, runs: Sequence[ServingRun]) -> None:
    """Replace the file at once. Recordings are named relative to it."""
    text = json.dumps([_plain(run) for run in runs], separators=(",", ":"), allow_nan=False)
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_bytes(gzip.compress(text.encode(), mtime=0))
    fresh.replace(path)


def read(path: Path) -> tuple[ServingRun, ...]:
    """What a file holds.

    Raises:
        RunsError: it cannot be read, or is something else.
    """
    try:
        return tuple(_run(said, path.parent) for said in json.loads(gzip.decompress(path.read_bytes())))
    except OSError as error:
        raise RunsError(f"{path} cannot be read: {error}") from error
    except (ValueError, TypeError, KeyError, EOFError) as error:
        raise RunsError(f"{path} holds no serving runs: {type(error).__name__} {error}") from error


def _plain(run: ServingRun) -> Mapping[str, Any]:
    return {
        **asdict(run),
        "recording": None if run.recording is None else run.recording.name,
        "requests": [astuple(one) for one in run.requests],
    }


def _run(said: Mapping[str, Any], folder: Path) -> ServingRun:
    return ServingRun(
        **{
            **said,
            "recording": None if said["recording"] is None else folder / said["recording"],
            "requests": tuple(ClientTruth(*one) for one in said["requests"]),
            "phases": tuple(Phase(**one) for one in said["phases"]),
            "books": None if said["books"] is None else _books(said["books"]),
            "missing": tuple(said["missing"]),
        }
    )


def _books(said: Mapping[str, Any]) -> Books:
    return Books(**{**said, "devices": tuple(DeviceBooks(**one) for one in said["devices"])})
