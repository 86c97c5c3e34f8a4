"""A simulated run as the logs that real servers would have written about it: their templates, precision and order.

What the engine cannot know (milliseconds between an event and its line, ports, slots) is drawn. Written text only;
each line comes with the instant at which it is written, as a reader would first be able to see it.
"""

from collections.abc import Iterable
from typing import NamedTuple

from exporter.domain.units import Instant


class LogLine(NamedTuple):
    """A line of a log and when it is written."""

    at: Instant
    text: str


def in_order(lines: Iterable[LogLine]) -> list[LogLine]:
    """Lines by the time of writing; those of one instant stay as they were."""
    return sorted(lines, key=lambda line: line.at)
