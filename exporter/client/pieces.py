"""What the exporter is told of a window: each stretch of time in which it alone was meant."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from exporter.client.energy import Energy
    from exporter.client.windows import Window

Outcome = Literal["ok", "error", "aborted"]

LEAST_PIECE_SECONDS = 1e-3
"""Between inner windows, shorter pieces are not told: the exporter's time is cut into slices of 100 ms."""
_LONGEST_TEXT = 256


class Piece:
    """A stretch of time in which a window was open and none of its inner windows was.

    Attributes:
        end: None while it lasts. last: its window ended with it.
        lost: why the exporter will never know of it; empty where it does.
        energy: as the exporter told, once it did.
    """

    __slots__ = ("begin", "end", "energy", "id", "last", "lost", "outcome", "skipped", "start_told", "window")

    def __init__(self, window: "Window", id_: str, begin: float) -> None:
        self.window = window
        self.id = id_
        self.begin = begin
        self.end: float | None = None
        self.outcome: Outcome = "ok"
        self.last = self.start_told = self.skipped = False
        self.lost = ""
        self.energy: Energy | None = None

    def close(self, at: float, outcome: Outcome, *, last: bool) -> bool:
        """It is over; returns whether it is to be told."""
        self.outcome, self.last = outcome, last
        self.end = at
        # Read after `end` is set, as `line` sets it before it reads `end`: a start that was told is never left alone.
        self.skipped = at - self.begin < LEAST_PIECE_SECONDS and not last and not self.start_told
        return not self.skipped

    def line(self, *, whole: bool) -> str | None:
        """What to tell of it now."""
        if not whole:
            self.start_told = True
            return _json({"event": "start", "at": self.begin, **self._about()}) if self.end is None else None
        return _json(self._whole())

    def lose(self, why: str) -> None:
        """The exporter will never know of it."""
        self.lost = why

    def _about(self) -> dict[str, object]:
        window = self.window
        return {
            "id": self.id,
            "server": window.client.server,
            "model": _text(window.model),
            "tenant": _text(window.tenant),
            "trace_id": _text(window.trace_id),
            "kind": "window",
        }

    def _whole(self) -> dict[str, object]:
        says = {**self._about(), "start": self.begin, "end": self.end, "outcome": self.outcome}
        return says | self.window.counts(self) if self.last else says


def _text(value: object) -> str | None:
    return str(value)[:_LONGEST_TEXT] or None if value is not None else None


def _json(says: dict[str, object]) -> str:
    import json  # noqa: PLC0415 - the program's own start need not wait for it

    return json.dumps({key: value for key, value in says.items() if value is not None})
