"""How text arrives: the contract that files and standard input share.

An arrival is polled, about ten times a second, from the one task that feeds the pipeline. It starts no thread and
never blocks; what one poll may read is bounded, so that a backlog is worked off without stopping anything else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from exporter.domain.lines import Line
from exporter.domain.units import Instant

LINE_TOO_LONG = "line_too_long"
TRUNCATED = "truncated"
"""Why a line was dropped before any reader saw it: longer than we keep, or cut short by its file's truncation."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be used at most.

    Attributes:
        poll_bytes, poll_lines: read in one poll, to a chunk: 5 to 15 ms on a free core.
        line_bytes: of one line; longer ones are skipped and counted.
        files: followed at once.
    """

    poll_bytes: int = 512 * 1024
    poll_lines: int = 4_000
    line_bytes: int = 1 << 20
    files: int = 256


@dataclass(frozen=True, slots=True)
class Tally:
    """How reading goes. The first five are those of `exporter.domain.health.LogView`.

    Attributes:
        files: followed now. bytes: read since start. rotations: files seen to rotate or to be truncated.
        lag_bytes: there, but not read yet. problems: by path, what keeps a file from being read.
        dropped: lines lost here, by reason.
        forgotten: files known before the restart that are gone.
    """

    files: int = 0
    bytes: int = 0
    rotations: int = 0
    lag_bytes: int = 0
    problems: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    forgotten: int = 0


class Arrival(Protocol):
    """Text that comes in over time."""

    @property
    def caught_up_at(self) -> Instant | None:
        """Every line that was there at this instant has been returned. None before the first time that was so."""
        ...

    @property
    def caught_up(self) -> bool:
        """Whether the last poll left nothing unread; if not, polling again at once is worth while."""
        ...

    @property
    def ended(self) -> bool:
        """Whether nothing can come any more."""
        ...

    @property
    def tally(self) -> Tally:
        """How reading goes."""
        ...

    def poll(self, now: Instant, wall_offset: float | None) -> Sequence[Line]:
        """Return what has arrived.

        Args:
            now: the present instant; never earlier than at the last poll.
            wall_offset: for stamps written now, as in `Line`.
        """
        ...

    def snapshot(self) -> Mapping[str, Any]:
        """Exactly what has been returned so far, as JSON values and without any text of the log."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Before the first poll: go on from a snapshot. An unusable snapshot is as good as none."""
        ...

    def close(self) -> None:
        """Let go of what is open. May be called twice."""
        ...
