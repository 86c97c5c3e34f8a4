"""Durations as people write them: a number with its unit."""

from collections.abc import Mapping
from decimal import Decimal

DURATION_UNITS: Mapping[str, Decimal] = {
    "d": Decimal(86_400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
"""Seconds a unit, the largest first."""


def written_duration(seconds: float) -> str:
    """0.05 as `50ms`: the largest unit that needs no fraction."""
    exact = Decimal(repr(seconds))
    unit = next((unit for unit, size in DURATION_UNITS.items() if exact >= size and exact % size == 0), "s")
    return f"{(exact / DURATION_UNITS[unit]).normalize():f}{unit}"
