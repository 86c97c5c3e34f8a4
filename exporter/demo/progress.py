"""What happens now, for somebody who watches; nothing in a pipe."""

import sys
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(slots=True)
class Progress:
    """Lines on a terminal. A counting line is rewritten in place until the next one begins."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _counted: int = 0

    def say(self, text: str) -> None:
        """Begins a new line."""
        self._write(("\n" if self._counted else "") + text + "\n")
        self._counted = 0

    def count(self, what: str) -> None:
        """One more of `what`."""
        self._counted += 1
        self._write(f"\r  {self._counted} {what}")

    def _write(self, text: str) -> None:
        if self.stream.isatty():
            self.stream.write(text)
            self.stream.flush()
