"""Which requests were heard of before, so that news told twice is counted once.

Tens of thousands of ids with their spans would be a third of the exporter's memory as strings and tuples. So an id is
kept as its hash, 64 bits that two of them share about once in ten billion times, and its span in columns of bare
numbers. Only the latest are kept as text too: a hash means nothing to another process.
"""

from array import array
from collections import deque
from collections.abc import Iterable

_MOST = 65_536
_MOST_SAVED = 250


class Remembered:
    """The latest requests by id, and when each ran, as (start, end). The longest known is forgotten first."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Forget all: ids mean something else now."""
        self._rows: dict[int, int] = {}
        self._hashes, self._starts, self._ends = array("q"), array("d"), array("d")
        self._oldest = 0
        self._latest: deque[tuple[str, float, float]] = deque(maxlen=_MOST_SAVED)

    def __contains__(self, id_: str) -> bool:
        return hash(id_) in self._rows

    def get(self, id_: str) -> tuple[float, float] | None:
        """When this request ran; None if it is not known."""
        row = self._rows.get(hash(id_))
        return (self._starts[row], self._ends[row]) if row is not None else None

    def add(self, id_: str, start: float, end: float) -> None:
        """Remember a request, or that it ran at another time than thought."""
        row = self._row_of(hash(id_))
        self._starts[row], self._ends[row] = start, end
        self._latest.append((id_, start, end))

    def _row_of(self, key: int) -> int:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._free_row(key)
        return row

    def _free_row(self, key: int) -> int:
        if len(self._hashes) < self._most:
            self._hashes.append(key)
            self._starts.append(0.0)
            self._ends.append(0.0)
            return len(self._hashes) - 1
        row, self._oldest = self._oldest, (self._oldest + 1) % self._most
        del self._rows[self._hashes[row]]
        self._hashes[row] = key
        return row

    def latest(self) -> list[tuple[str, float, float]]:
        """The latest, oldest first: what is worth saving."""
        return list(self._latest)

    def restore(self, latest: Iterable[tuple[str, float, float]]) -> None:
        """Go on with what was saved."""
        self.clear()
        for id_, start, end in latest:
            self.add(id_, start, end)
