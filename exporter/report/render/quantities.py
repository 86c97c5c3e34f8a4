"""Quantities for people, in the unit that suits; exact joules beside them where sums are held against each other."""

from datetime import UTC, datetime
from math import floor, log10

from exporter.report.footprint import JOULES_PER_KWH
from exporter.server.quantities import count

NOTHING = "\N{EN DASH}"
_DIGITS = 4
_MOST_DECIMALS = 9
_ROUNDING = 1e-6
"""Fewer joules than this are what sums are off by."""
_ENERGIES = ((1e3, 1.0, "J"), (0.1 * JOULES_PER_KWH, 1e3, "kJ"), (1e4 * JOULES_PER_KWH, JOULES_PER_KWH, "kWh"))
_MASSES = ((1e-3, 1e-6, "\N{MICRO SIGN}g"), (1.0, 1e-3, "mg"), (1e3, 1.0, "g"), (1e6, 1e3, "kg"))
_SPANS = ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172_800.0, 3600.0, "h"))


def energy(joules: float) -> str:
    """`3.142 J`, `12.5 kJ`, `1.234 kWh`, `12.3 MWh`."""
    return _scaled(joules if abs(joules) >= _ROUNDING else 0.0, _ENERGIES, (JOULES_PER_KWH * 1e3, "MWh"))


def mass(grams: float) -> str:
    """`12.3 mg`, `381 g`, `1.2 kg`, `3.4 t`."""
    return _scaled(grams, _MASSES, (1e6, "t"))


def span(seconds: float) -> str:
    """`90 s`, `15 min`, `24 h`, `30 d`."""
    return _scaled(seconds, _SPANS, (86_400.0, "d"))


def exact(joules: float) -> str:
    """`4 443 210.1`: a tenth of a joule, however many there are."""
    whole, tenth = f"{abs(joules):.1f}".split(".")
    return f"{'-' if joules < 0.0 else ''}{count(int(whole))}.{tenth}"


def digits(value: float) -> str:
    """Four digits that matter; spaces between thousands; an exponent where there would be only zeros."""
    if value == 0.0 or abs(value) >= 10**_DIGITS:
        return f"-{count(-value)}" if value < 0.0 else count(value)
    decimals = max(_DIGITS - 1 - floor(log10(abs(value))), 0)
    if decimals > _MOST_DECIMALS:
        return f"{value:.{_DIGITS - 1}e}"
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def share(part: float, whole: float) -> str:
    """`31.4 %` of something; a dash of nothing."""
    return f"{100.0 * part / whole:.1f} %" if whole > 0.0 else NOTHING


def ratio(value: float) -> str:
    """`x 1.31`."""
    return f"x {digits(value)}"


def moment(unix_seconds: float) -> str:
    """`2026-11-21 17:30:05 UTC`."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _scaled(value: float, steps: tuple[tuple[float, float, str], ...], largest: tuple[float, str]) -> str:
    """`steps`: below which size a unit is used, how large it is, what it is called."""
    size, unit = next(((size, unit) for below, size, unit in steps if abs(value) < below), largest)
    return f"{digits(value / size)} {unit}"
