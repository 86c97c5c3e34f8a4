"""Physical units. Everything is in base units, and a name ends in its unit where the type does not say it."""

from typing import NewType

Instant = NewType("Instant", float)
"""A point in time: seconds since the Unix epoch on the exporter's steady clock. A double keeps 0.24 us."""

Joules = NewType("Joules", float)
Watts = NewType("Watts", float)


def later(instant: Instant, seconds: float) -> Instant:
    """The instant `seconds` after `instant` (before it, where negative)."""
    return Instant(instant + seconds)
