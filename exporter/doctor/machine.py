"""What this program runs on."""

import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil

from exporter import __version__
from exporter.clock import SystemClock
from exporter.doctor import words
from exporter.doctor.finding import Finding

_OLDEST = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
_NEWEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
"""No machine that runs this program shows an earlier date; one that shows a later has lost its clock."""

_TIGHT_BYTES = 128 << 20
_CGROUP_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


def examine(
    clock: SystemClock, environment: Mapping[str, str] = os.environ, root: Path = Path("/")
) -> tuple[Finding, ...]:
    """Look at the interpreter, the machine and its clock.

    Args:
        clock: the exporter's clock.
        environment: of this process.
        root: of the file system.
    """
    return (
        Finding("This machine", "exporter", "ok", f"{__version__}, Python {platform.python_version()}"),
        _hardware(environment, root),
        _clock(clock.now()),
        _zone(environment.get("TZ")),
    )


def is_container(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> bool:
    """Whether this process sees a container's files rather than the machine's."""
    marks = (root / ".dockerenv", root / "run/.containerenv")
    return any(mark.exists() for mark in marks) or "KUBERNETES_SERVICE_HOST" in environment


def _hardware(environment: Mapping[str, str], root: Path) -> Finding:
    cpus = words.count(len(os.sched_getaffinity(0)), "CPU")
    memory = min(psutil.virtual_memory().total, _memory_limit(root))
    where = "in a container" if is_container(environment, root) else "not in a container"
    text = f"{platform.machine()}, {cpus}, {words.size(memory)} of memory, {where}"
    if memory < _TIGHT_BYTES:
        fix = f"give it {words.size(_TIGHT_BYTES)} or it may be killed when its log is busy"
        return Finding("This machine", "hardware", "warn", text, fix)
    return Finding("This machine", "hardware", "ok", text)


def _memory_limit(root: Path) -> float:
    for name in _CGROUP_LIMITS:
        try:
            text = (root / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            return int(text)
    return float("inf")


def _clock(now: float) -> Finding:
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if _OLDEST <= now <= _NEWEST:
        return Finding("This machine", "clock", "ok", shown)
    fix = "set this machine's date (NTP): without it no log line can be placed in time"
    return Finding("This machine", "clock", "fail", f"{shown}: that cannot be", fix)


def _zone(name: str | None) -> Finding:
    here = f"{time.tzname[time.localtime().tm_isdst > 0]} (UTC{time.strftime('%z')})"
    if name and not _is_zone(name):
        fix = "install the zone database (package tzdata), or set TZ to a name from it, such as Europe/Paris"
        return Finding("This machine", "time zone", "warn", f"TZ is {name!r}, which is not known here: {here}", fix)
    meaning = "stamps without a zone are read in it, unless requests.timezone says otherwise"
    return Finding("This machine", "time zone", "ok", f"{here}: {meaning}")


def _is_zone(name: str) -> bool:
    """Whether the C library understands it: a zone of the database, or rules such as `CET-1CEST`."""
    try:
        ZoneInfo(name.removeprefix(":"))
    except (KeyError, ValueError, OSError):
        return any(letter.isdigit() for letter in name)
    return True
