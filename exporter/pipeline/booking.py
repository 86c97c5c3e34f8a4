"""What requests of one model brought into rows of time: their visible features and what was predicted of them.

A request is known only when it settles; then it is spread over the rows it ran in: prompts over the time to the first
token, output over the time after it, everything else evenly. Rows are numbered absolutely, in units of their length.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from exporter.ledger.claims import Claims, Floats
from exporter.ledger.spread import Runs, spread
from exporter.proxy.proxy import Features

EARLY = ("prompt_tokens", "prefill_tokens")
LATER = ("output_tokens", "decode_tokens", "context_tokens")
EVENLY = ("requests", "seconds")
PRESENCE = "presence"
_UNKNOWN = 1e-9
"""A part of a request smaller than this is rounding."""
_LEAST_PHASE = 1e-6
"""A phase shorter than so many rows is none: what belongs to it is booked over the whole life."""
_MOST_ROWS = 2048
_FIRST_ROWS = 64


class Bookings:
    """Rows of one model, from number `first` on. Booked values are sums; NaN where a part of them is not known."""

    def __init__(self, first: int, row_seconds: float, predictions: Sequence[str]) -> None:
        self.first = first
        self._row_seconds = row_seconds
        self._names = (PRESENCE, *EVENLY, *EARLY, *LATER, *predictions)
        self._known = np.zeros((len(self._names), _FIRST_ROWS))
        self._unknown = np.zeros((len(self._names), _FIRST_ROWS))

    def add(self, claims: Claims, seen: Features, predicted: Mapping[str, Floats]) -> None:
        """Book requests that settle.

        Args:
            claims: their lives.
            seen: what can be seen of them, a row each.
            predicted: joules by proxy, each of shape (requests,); NaN where there is none.
        """
        self._make_room(int(float(claims.end.max()) / self._row_seconds) + 2)
        edges = [self._columns(edge) for edge in (claims.start, claims.first_token, claims.end)]
        start, first, end = edges
        whole, early = (start, end), (start, np.where(first - start > _LEAST_PHASE, first, end))
        later = (np.where(end - first > _LEAST_PHASE, first, start), end)
        columns = {PRESENCE: claims.end - claims.start, **predicted}
        columns |= {name: getattr(seen, name) for name in (*EVENLY, *EARLY, *LATER)}
        spans = dict.fromkeys(EARLY, early) | dict.fromkeys(LATER, later)
        for index, name in enumerate(self._names):
            self._book(index, *spans.get(name, whole), columns[name])

    def _book(self, index: int, start: Floats, end: Floats, values: Floats) -> None:
        """Spread values over [start, end), in columns; what lies before the first row is let go."""
        width = self._known.shape[1]
        rate = 1.0 / np.maximum(end - start, 1e-12)
        start, end = np.clip(start, 0.0, width), np.clip(end, 0.0, width)
        runs = Runs(start, end)
        missing = np.isnan(values)
        self._known[index] += spread(runs, np.where(missing, 0.0, values) * rate, width)
        if missing.any():
            self._unknown[index] += spread(runs, missing * rate, width)

    def _columns(self, instants: Floats) -> Floats:
        return instants / self._row_seconds - self.first

    def table(self, first: int, stop: int) -> dict[str, Floats]:
        """Booked values by name in rows [first, stop), each of shape (rows,)."""
        self._make_room(stop)
        run = slice(first - self.first, stop - self.first)
        known, unknown = self._known[:, run], self._unknown[:, run]
        values = np.where(unknown > _UNKNOWN, np.nan, np.maximum(known, 0.0))
        return dict(zip(self._names, values, strict=True))

    def forget(self, before: int) -> None:
        """Let go of rows before this number."""
        shift = min(before - self.first, self._known.shape[1])
        if shift > 0:
            self._known, self._unknown = (_shifted(each, shift) for each in (self._known, self._unknown))
            self.first = before

    def _make_room(self, stop: int) -> None:
        if stop - self.first > _MOST_ROWS:
            self.forget(stop - _MOST_ROWS)
        missing = stop - self.first - self._known.shape[1]
        if missing > 0:
            more = np.zeros((len(self._names), max(missing, self._known.shape[1])))
            self._known, self._unknown = (np.hstack([each, more]) for each in (self._known, self._unknown))


def _shifted(rows: NDArray[np.float64], by: int) -> NDArray[np.float64]:
    moved = np.zeros_like(rows)
    moved[:, : rows.shape[1] - by] = rows[:, by:]
    return moved
