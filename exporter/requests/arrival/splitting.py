"""Bytes in, complete lines out, however the bytes are chopped."""

import json
from collections import Counter

from exporter.requests.arrival import LINE_TOO_LONG


class LineSplitter:
    r"""Cuts one stream of bytes into lines.

    A line ends with `\n` or `\r\n`. Undecodable bytes are replaced. A line longer than `longest` is skipped in
    bounded memory and counted under `line_too_long` in `dropped`.

    Attributes:
        returned: bytes up to the end of the last complete line.
        taken: all bytes fed. The difference is a half line.
    """

    def __init__(self, longest: int, dropped: Counter[str]) -> None:
        self._longest = longest
        self._dropped = dropped
        self._half: list[bytes] = []
        self._skipping = False
        self.returned = 0
        self.taken = 0

    def feed(self, piece: bytes) -> list[str]:
        """Take the next piece of the stream and return the lines that it completes."""
        end = piece.rfind(b"\n")
        if end < 0:
            self._keep(piece)
            return []
        first_end = piece.find(b"\n")
        lines = self._complete(piece[:first_end])
        if first_end < end:
            lines += self._whole_lines(piece[first_end + 1 : end])
        self.taken += end + 1
        self.returned = self.taken
        self._keep(piece[end + 1 :])
        return lines

    def flush(self) -> list[str]:
        """The stream is over: return the half line at its end, if there is one."""
        if self.taken == self.returned:
            return []
        self.returned = self.taken
        return self._complete(b"")

    def take_array(self) -> list[str]:
        """Return the half line if it is a whole JSON array: some files are written at once, without a line end."""
        if not self._half or self._half[0][:1] != b"[" or self._half[-1][-1:] != b"]":
            return []
        raw = b"".join(self._half)
        return self.flush() if raw.startswith(b"[{") and _is_json(raw) else []

    def _keep(self, piece: bytes) -> None:
        self.taken += len(piece)
        if self.taken - self.returned > self._longest:
            self._skipping = True
            self._half.clear()
        elif piece:
            self._half.append(piece)

    def _complete(self, rest: bytes) -> list[str]:
        raw = b"".join((*self._half, rest))
        too_long = self._skipping or len(raw) > self._longest
        self._half.clear()
        self._skipping = False
        if too_long:
            self._dropped[LINE_TOO_LONG] += 1
            return []
        return _texts(raw)

    def _whole_lines(self, block: bytes) -> list[str]:
        if len(block) <= self._longest:
            return _texts(block)
        short = [raw for raw in block.split(b"\n") if len(raw) <= self._longest]
        self._dropped[LINE_TOO_LONG] += block.count(b"\n") + 1 - len(short)
        return _texts(b"\n".join(short)) if short else []


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _texts(block: bytes) -> list[str]:
    texts = block.decode("utf-8", "replace").split("\n")
    if b"\r" in block:
        texts = [text.removesuffix("\r") for text in texts]
    if b"\0" in block:
        # A writer that does not append leaves a hole, read as zeros, where its file was truncated under it.
        texts = [text.lstrip("\0") for text in texts]
    return texts
