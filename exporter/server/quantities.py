"""Quantities for people: three digits that matter, and the unit that suits."""

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def joules(value: float) -> str:
    """`3.5 kJ`."""
    return _prefixed(value, "J")


def watts(value: float) -> str:
    """`412 W`."""
    return _prefixed(value, "W")


def seconds(value: float) -> str:
    """`2.1 ms`, `1.5 s`."""
    return f"{_digits(value * 1e3)} ms" if abs(value) < 1 else f"{_digits(value)} s"


def count(value: float) -> str:
    """`48 213`, with spaces that do not break."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _prefixed(value: float, unit: str) -> str:
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{_digits(value / size)} {prefix}{unit}"
    return f"{_digits(value)} {unit}"


def _digits(value: float) -> str:
    """Three digits without an exponent; small change below a thousandth is dropped."""
    decimals = next((digits for digits, least in ((0, 100), (1, 10), (2, 1)) if abs(value) >= least), 3)
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
