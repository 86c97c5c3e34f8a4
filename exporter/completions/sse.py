"""Server-sent events out of bytes as they come: cut anywhere, even within a letter. Pure."""

_LONGEST = 1 << 20


class Events:
    """Feed it bytes; it yields the data of each event that is complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self.dropped = 0
        """Lines longer than a megabyte."""

    def feed(self, piece: bytes) -> list[str]:
        """Data of the events that end in this piece; lines end as they like: LF, CR LF or CR."""
        *lines, self._rest = _lines(self._rest + piece)
        if len(self._rest) > _LONGEST:
            self._rest, self.dropped = b"", self.dropped + 1
        return [data for line in lines if (data := self._line(line)) is not None]

    def end(self) -> list[str]:
        """Data of an event that lacks its blank line, because the stream has ended."""
        found = [self._line(self._rest), self._line(b"")]
        self._rest = b""
        return [data for data in found if data is not None]

    def _line(self, line: bytes) -> str | None:
        if not line:
            data, self._data = self._data, []
            return "\n".join(data) if data else None
        name, _, value = line.decode("utf-8", "replace").partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        return None


def _lines(text: bytes) -> list[bytes]:
    """Complete lines, and last what is not one yet; a CR at the very end may still get its LF."""
    held = b"\r" if text.endswith(b"\r") else b""
    *lines, rest = text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return [*lines, rest + held]
