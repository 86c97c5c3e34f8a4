"""A log file as a server writes it: appended, bounded, rotated, and on request damaged."""

import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

LIMIT_BYTES = 32 << 20
"""A file grows no larger; then it is renamed and a new one begun, and the one before is deleted."""

Rotation = Literal["rename", "copy and truncate"]


class LogFile:
    """One log. `loss`: the share of lines that are lost on their way to it."""

    def __init__(self, path: Path, chance: random.Random, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = path
        self.loss = 0.0
        self._limit = limit_bytes
        self._chance = chance
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def write(self, lines: Iterable[str]) -> None:
        """Append lines."""
        kept = [line for line in lines if self._chance.random() >= self.loss]
        if not kept:
            return
        if self._file.tell() >= self._limit:
            self.rotate("rename")
        self._file.write("".join(f"{line}\n" for line in kept).encode())

    def rotate(self, how: Rotation) -> None:
        """Go on in an empty file; what was there is kept beside it, as `.1`."""
        old = self.path.with_name(f"{self.path.name}.1")
        if how == "rename":
            self._file.close()
            self.path.replace(old)
            self._file = self.path.open("ab", buffering=0)
        else:
            shutil.copyfile(self.path, old)
            self._file.truncate(0)
            self._file.seek(0)

    def close(self) -> None:
        """Write no more."""
        self._file.close()
