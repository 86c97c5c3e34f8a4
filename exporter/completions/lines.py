"""Lines and server-sent events out of bytes that are cut anywhere. Pure, bounded in memory.

However the bytes are cut, the same comes out.
"""

LONGEST = 1 << 20
"""Bytes of a line, or of an event's data; what is longer is left out and counted."""


class Lines:
    r"""Takes bytes, gives complete lines, which end with `\n`, `\r\n` or `\r`. `dropped`: how many were too long."""

    def __init__(self, longest: int = LONGEST) -> None:
        self.dropped = 0
        self._longest = longest
        self._parts: list[bytes] = []
        self._held = 0
        self._after_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that end in this piece."""
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")  # the rest of a CR LF that was cut
            self._after_cr = False
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *others = piece.split(b"\n")
        if not others:
            self._hold(first)
            return []
        *lines, rest = [self._whole(first), *others]
        self._hold(rest)
        return [line for line in lines if self._fits(line)]

    def end(self) -> list[bytes]:
        """The last line, which lacks its end."""
        last = self._whole(b"")
        return [last] if last and self._fits(last) else []

    def _hold(self, piece: bytes) -> None:
        """Keep the beginning of a line; of one that is too long only that it is."""
        if piece:
            room = self._longest + 1 - self._held
            if room > 0:
                self._parts.append(piece[:room])
                self._held += len(self._parts[-1])

    def _whole(self, piece: bytes) -> bytes:
        if not self._parts:
            return piece
        self._hold(piece)
        whole = b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        return whole

    def _fits(self, line: bytes) -> bool:
        fits = len(line) <= self._longest
        self.dropped += not fits
        return fits


class Events:
    """Takes bytes of a `text/event-stream`, gives each event's data. Of other fields nothing is kept."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._lines = Lines(longest)
        self._longest = longest
        self._data: list[bytes] = []
        self._size = 0
        self._too_long = 0

    @property
    def dropped(self) -> int:
        """Lines and events that were too long."""
        return self._lines.dropped + self._too_long

    def feed(self, piece: bytes) -> list[bytes]:
        """Data of the events that end in this piece."""
        return self._events(self._lines.feed(piece))

    def end(self) -> list[bytes]:
        """Data of an event that lacks its blank line because the stream is over."""
        return self._events([*self._lines.end(), b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._add(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                events += self._event()
        return events

    def _add(self, value: bytes) -> None:
        self._size += len(value) + 1
        if self._size <= self._longest + 1:
            self._data.append(value)

    def _event(self) -> list[bytes]:
        data, size = b"\n".join(self._data), self._size
        self._data.clear()
        self._size = 0
        if size > self._longest + 1:
            self._too_long += 1
            return []
        return [data]
