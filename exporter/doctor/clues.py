"""What a log gives away without saying it: that it is rotated, and that its clock is another one."""

from collections.abc import Iterator
from pathlib import Path

from exporter.doctor.finding import Finding
from exporter.doctor.sample import Sample, stamped
from exporter.requests.reader import RequestReader

_QUARTER_SECONDS = 900.0
_TOLERANCE_SECONDS = 15.0
_WIDEST_SECONDS = 14.5 * 3600.0
"""Zones differ by quarters of an hour, up to 14 hours; a log is flushed within seconds."""


def beside(path: Path) -> str:
    """The name of a rotated file beside it, the first of them; empty where there is none."""
    try:
        names = (entry.name for entry in path.parent.iterdir())
        return min((name for name in names if name.startswith((f"{path.name}.", f"{path.name}-"))), default="")
    except OSError:
        return ""


def clock_finding(sample: Sample, reader: RequestReader) -> Iterator[Finding]:
    """Whether the stamps were written in another time zone than the one they are read in."""
    heard = stamped(sample, reader)
    if heard.latest is None:
        return
    ahead = heard.latest - sample.written
    behind = heard.last is not None and _is_zone_difference(heard.last - sample.written)
    if ahead > _QUARTER_SECONDS - _TOLERANCE_SECONDS or behind:
        hours = ahead / 3600.0
        text = f"stamps are {abs(hours):.2g} h {'ahead of' if hours > 0 else 'behind'} the file's own time"
        fix = "set requests.timezone to the server's zone (UTC in most containers), or TZ here as it is there"
        yield Finding("Servers", "stamps", "fail", text, fix)


def _is_zone_difference(seconds: float) -> bool:
    off = abs(seconds)
    quarters = round(off / _QUARTER_SECONDS)
    return quarters >= 1 and off <= _WIDEST_SECONDS and abs(off - quarters * _QUARTER_SECONDS) <= _TOLERANCE_SECONDS
