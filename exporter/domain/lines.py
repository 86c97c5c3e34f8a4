"""A line of a server's log, as it arrived."""

from typing import NamedTuple

from exporter.domain.units import Instant


class Line(NamedTuple):
    """One complete line without its line end.

    Attributes:
        text: the line; undecodable bytes are replaced. May hold a prompt: it is never kept, logged or echoed.
        not_before: the line was not there yet at this instant (the poll before). Equals minus infinity where unknown.
        not_after: the line was there at this instant: when it was read, or the file's modification time if earlier.
        wall_offset: seconds to add to a wall-clock stamp in the line to get an instant; None while the wall clock was
            being set, when stamps cannot be trusted and the moment of reading is the better witness.
        envelope: when a container runtime says that the line was written; None without such an envelope.
    """

    text: str
    not_before: Instant
    not_after: Instant
    wall_offset: float | None = 0.0
    envelope: Instant | None = None
