"""Quantities for people: three digits that matter, and the unit that suits."""

_NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
_HUNDREDFOLD = 100.0
_LEAST_PERCENTAGE = 5e-6  # 0.0005 %: three decimals show it as nothing
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


def percent(value: float) -> str:
    """`31 %`, `0.5 %`; `120 times` from a hundredfold on."""
    if abs(value) >= _HUNDREDFOLD:
        return f"{_sign(value)}{count(abs(value))} times"
    return f"{_sign(value)}{_digits(abs(value) * 100)}{_NARROW_SPACE}%"


def signed_percent(value: float) -> str:
    """`+31 %`; what rounds to nothing has no sign."""
    if abs(value) < _LEAST_PERCENTAGE:
        return percent(0.0)
    return f"{'+' if value > 0 else ''}{percent(value)}"


def plain(value: float) -> str:
    """`0.93`, two decimals; `< -100` where they would say nothing."""
    if abs(value) >= _HUNDREDFOLD:
        return "> 100" if value > 0 else "< \N{MINUS SIGN}100"
    return f"{_sign(value)}{abs(value):.2f}"


def count(value: float) -> str:
    """`48 213`, with spaces that do not break."""
    return f"{value:,.0f}".replace(",", _NARROW_SPACE)


def _prefixed(value: float, unit: str) -> str:
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{_digits(value / size)} {prefix}{unit}"
    return f"{_digits(value)} {unit}"


def _sign(value: float) -> str:
    return "\N{MINUS SIGN}" if value < 0 else ""


def _digits(value: float) -> str:
    """Three digits without an exponent; small change below a thousandth is dropped."""
    decimals = next((digits for digits, least in ((0, 100), (1, 10), (2, 1)) if abs(value) >= least), 3)
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
