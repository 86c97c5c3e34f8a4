"""How far a sweep has come, for somebody who watches; nothing in a pipe."""

import shutil
from dataclasses import dataclass
from typing import TextIO


@dataclass(slots=True)
class Bar:
    """One line on a terminal, rewritten in place.

    Attributes:
        stream: where it is shown, if that is a terminal.
        title: what is being measured now.
        done, of: whole cases before this one, and in all.
    """

    stream: TextIO
    title: str = ""
    done: int = 0
    of: int = 1
    _shown: str = ""

    def show(self, words: str, part: float) -> None:
        """Of this case `part` is done, from 0 to 1, and now it is at `words`."""
        percent = 100.0 * (self.done + part) / self.of
        line = f"[{self.done + 1}/{self.of}] {percent:3.0f} % {self.title}: {words}"
        if self.stream.isatty() and line != self._shown:
            self._shown = line
            self.stream.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
            self.stream.flush()

    def clear(self) -> None:
        """Make room for what is to be read."""
        if self._shown:
            self._shown = ""
            self.stream.write("\r\x1b[K")
            self.stream.flush()
