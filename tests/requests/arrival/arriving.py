"""A log directory and a clock under the test's control."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.arrival.follow import Follower


class Follow:
    """A follower whose polls are 0.1 s apart unless told otherwise."""

    def __init__(self, *patterns: object, **options: Any) -> None:
        self._patterns = [str(pattern) for pattern in patterns]
        self._options = options
        self.follower = Follower(self._patterns, **options)
        self.now = 1000.0

    def lines(self, after: float = 0.1) -> list[Line]:
        self.now += after
        return list(self.follower.poll(Instant(self.now), 0.0))

    def texts(self, after: float = 0.1) -> list[str]:
        return [line.text for line in self.lines(after)]

    def all_texts(self, after: float = 0.1) -> list[str]:
        texts = self.texts(after)
        while not self.follower.caught_up:
            texts += self.texts()
        return texts

    def restart(self) -> None:
        saved = json.loads(json.dumps(self.follower.snapshot()))
        self.follower.close()
        self.follower = Follower(self._patterns, **self._options)
        self.follower.restore(saved)


def write(path: Path, text: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(text.encode() if isinstance(text, str) else text)


def texts(lines: Sequence[Line]) -> list[str]:
    return [line.text for line in lines]


def set_modified(path: Path, instant: float) -> None:
    os.utime(path, (instant, instant))
