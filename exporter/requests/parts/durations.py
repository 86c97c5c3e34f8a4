"""Durations as Go and Rust print them: `1.284511902s`, `402.77ms`, `49.382µs`, `12ns`, and Go's `1h2m3.5s`.

Both print a duration exactly, to the nanosecond, unless somebody rounded it before; so they are told as whole
nanoseconds. The micro sign has two code points, and some programs write a plain u.
"""

import re

_MICRO_SIGNS = ("\u00b5", "\u03bc")  # the sign of its own, and the Greek letter
_NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_NANOSECONDS |= {f"{sign}s": 10**3 for sign in _MICRO_SIGNS}
_SMALL = re.compile(r"(\d{1,18})(?:\.(\d{1,18}))?([nmu" + "".join(_MICRO_SIGNS) + "]?s)", re.ASCII)
_LARGE = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?", re.ASCII)
_LONGEST_NANOSECONDS = 10**9 * 86_400 * 366
NANOSECOND = 1e-9


def nanoseconds(text: str) -> int | None:
    """The duration in nanoseconds; None where the text is none, or one of more than a year."""
    large = _LARGE.match(text)
    assert large  # every part of the pattern is optional
    total = int(large[1] or 0) * _NANOSECONDS["h"] + int(large[2] or 0) * _NANOSECONDS["m"]
    rest = text[large.end() :]
    small = _SMALL.fullmatch(rest)
    if small is None:
        return total if text and not rest and total <= _LONGEST_NANOSECONDS else None
    whole, fraction, unit = small.groups()
    total += int(whole) * _NANOSECONDS[unit]
    if fraction:
        total += int(fraction) * _NANOSECONDS[unit] // 10 ** len(fraction)
    return total if total <= _LONGEST_NANOSECONDS else None


def seconds(text: str) -> float | None:
    """The duration in seconds; None where the text is none."""
    found = nanoseconds(text)
    return None if found is None else found * NANOSECOND


def is_whole_seconds(text: str) -> bool:
    """Whether a duration of a minute and more has no fraction: then it was cut to its seconds, as a rule."""
    return "m" in text and not text.endswith("ms") and "." not in text
