"""A server's log as it comes to be: each line is written at its moment, and the file is rotated under its reader."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Literal

from tests.e2e.accelerated import Pace
from tests.simulation.logs import LogLine

Way = Literal["rename", "copytruncate"]


@dataclass(frozen=True, slots=True)
class Rotation:
    """The file is rotated at this instant."""

    at: float
    way: Way


def quietest_moment(lines: Sequence[LogLine], since: float, until: float) -> float:
    """The middle of the longest silence: what is truncated before it is read is lost, and nobody's fault."""
    silences = [(later.at - one.at, one.at) for one, later in pairwise(lines) if since < one.at and later.at < until]
    seconds, begin = max(silences)
    return begin + seconds / 2


class LogWriter(Thread):
    """Writes one log.

    Attributes:
        latest: by how many seconds the most belated line came too late: what the machine could not keep up with.
    """

    def __init__(self, path: Path, lines: Sequence[LogLine], rotations: Sequence[Rotation], pace: Pace) -> None:
        super().__init__(name=f"writer of {path.name}", daemon=True)
        self._path = path
        self._acts: list[LogLine | Rotation] = sorted([*lines, *rotations], key=lambda act: act.at)
        self._pace = pace
        self._stopping = Event()
        self._file = _open(path)
        self._rotated = 0
        self.latest = 0.0

    def run(self) -> None:
        for act in self._acts:
            if self._stopping.wait(max(self._pace.real(act.at - self._pace.now()), 0.0)):
                break
            self.latest = max(self.latest, self._pace.now() - act.at)
            self._write(act) if isinstance(act, LogLine) else self._rotate(act)
        self._file.close()

    def stop(self) -> None:
        """No further line."""
        self._stopping.set()
        self.join()

    def _write(self, line: LogLine) -> None:
        self._file.write(line.text.encode() + b"\n")
        now = self._pace.now()
        os.utime(self._file.fileno(), (now, now))  # a reader believes a file's time, and this one has another

    def _rotate(self, rotation: Rotation) -> None:
        self._rotated += 1
        aside = self._path.with_name(f"{self._path.name}.{self._rotated}")
        if rotation.way == "copytruncate":
            shutil.copyfile(self._path, aside)
            os.truncate(self._path, 0)
            return
        self._path.rename(aside)
        self._file.close()
        self._file = _open(self._path)


def _open(path: Path) -> FileIO:
    return FileIO(path, "a")
