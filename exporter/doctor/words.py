"""Quantities as a person would say them."""

_BYTES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_AGES = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def size(number: float) -> str:
    """`2.3 MiB`."""
    for unit, name in _BYTES:
        if number >= unit:
            return f"{number / unit:.3g} {name}" if number < 1000 * unit else f"{number / unit:.0f} {name}"
    return count(int(number), "byte")


def duration(seconds: float) -> str:
    """`45 us`, `12 ms`, `1.5 s`."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"


def age(seconds: float) -> str:
    """`3 minutes ago`."""
    for unit, name in _AGES:
        if seconds >= unit:
            return f"{count(int(seconds / unit), name)} ago"
    return "just now"


def count(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
