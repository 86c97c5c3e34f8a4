"""Room for weights, how fast they are written, memory, cores."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from validation.checking import Answer
from validation.options import Options
from validation.stage import Room

_WEIGHTS_BYTES = 8.2e9
"""Of the largest model that is written: 8B in Q8_0."""
_SAMPLE_BYTES = 256 << 20
_PIECE_BYTES = 8 << 20
_LEAST_MEMORY_BYTES = 16e9
_SLOW_SECONDS = 60.0


def answers(room: Room, options: Options) -> Iterator[Answer]:
    """Each of them."""
    wanted = 1e8 if options.fake else _WEIGHTS_BYTES
    free = shutil.disk_usage(room.scratch).free
    yield Answer("room for weights", free > wanted, f"{free / 1e9:.0f} GB free in {room.scratch.parent}")
    rate = _written(room.scratch / "sample", room)
    seconds = wanted / rate
    words = f"{rate / 1e6:.0f} MB/s: {seconds:.0f} s for the largest model (--scratch chooses another disk)"
    yield Answer("writing weights", seconds < _SLOW_SECONDS, words)
    memory, cores = psutil.virtual_memory().available, len(os.sched_getaffinity(0))
    words = f"{memory / 1e9:.0f} GB of memory available, {cores} cores, Python {sys.version.split()[0]}"
    yield Answer("memory and cores", options.fake or (memory > _LEAST_MEMORY_BYTES and cores >= 4), words)


def _written(path: Path, room: Room) -> float:
    """Bytes a second."""
    piece = os.urandom(_PIECE_BYTES)
    began = room.now()
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(_SAMPLE_BYTES // _PIECE_BYTES):
                file.write(piece)
            os.fsync(file.fileno())
        return _SAMPLE_BYTES / max(room.now() - began, 1e-6)
    finally:
        path.unlink(missing_ok=True)
