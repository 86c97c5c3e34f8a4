"""Which of the settings that a device permits are worth trying."""

from collections.abc import Sequence

MOST_SETTINGS = 15
SLOWEST_SHARE = 0.25
"""Of the highest clock: below it everything takes longer, and idle power is paid all that time."""

_WATT_STEPS = (1, 2, 5, 10, 20, 25, 30, 50, 100)


def watt_settings(least: int, highest: int) -> tuple[int, ...]:
    """Round watts from `least` to `highest`, both included, at most MOST_SETTINGS."""
    step = next((step for step in _WATT_STEPS if (highest - least) / step <= MOST_SETTINGS - 2), highest - least)
    inside = range(-(-least // step) * step, highest, step) if step else ()
    apart = [watts for watts in inside if watts - least >= step / 2 and highest - watts >= step / 2]
    return tuple(sorted({least, *apart, highest})) if least < highest else (highest,)


def clock_settings(clocks: Sequence[int]) -> tuple[int, ...]:
    """Clocks that the board has, ascending, evenly over the upper three quarters, at most MOST_SETTINGS."""
    useful = [clock for clock in clocks if clock >= SLOWEST_SHARE * clocks[-1]]
    wanted = min(MOST_SETTINGS, len(useful))
    if wanted < 2:
        return tuple(useful)
    return tuple(useful[round(index * (len(useful) - 1) / (wanted - 1))] for index in range(wanted))
