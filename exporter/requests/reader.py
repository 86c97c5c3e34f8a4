"""The contract of a request reader."""

from collections.abc import Mapping
from typing import Any, Protocol

from exporter.domain.events import Heard
from exporter.domain.lines import Line


class RequestReader(Protocol):
    """Turns one server's log into events, a line at a time. Pure: no I/O, no clock, no logging.

    Whatever the line holds, a reader returns; it never raises. Its memory is bounded however long the log.
    """

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        ...

    def snapshot(self) -> Mapping[str, Any]:
        """All that must survive a restart, as JSON values: half-read blocks, clock anchors, open ids."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        ...
