"""How far it has come, for somebody who watches; nothing in a pipe."""

from dataclasses import dataclass
from typing import TextIO


@dataclass(slots=True)
class Progress:
    """One line on a terminal, rewritten in place."""

    stream: TextIO
    doing: str = "replaying"
    _shown: int = -1

    def show(self, part: float) -> None:
        """`part` of the work is done, from 0 to 1."""
        percent = int(part * 100.0)
        if percent != self._shown and self.stream.isatty():
            self._shown = percent
            self.stream.write(f"\r{self.doing}: {percent} %")
            self.stream.flush()

    def clear(self) -> None:
        """Make room for the result."""
        if self._shown >= 0:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
