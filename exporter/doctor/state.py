"""Whether the books survive a restart."""

import os
import shutil
import stat
from pathlib import Path

from exporter.doctor import words
from exporter.doctor.finding import Finding
from exporter.doctor.locks import KERNEL, is_held
from exporter.state import LOCK_NAME

_ROOM_BYTES = 64 << 20
"""A checkpoint of a busy hour takes a few megabytes, twice while it is written."""


def examine(state_dir: str | None, locks: Path = KERNEL) -> tuple[Finding, ...]:
    """Look at the state directory, without touching it.

    Args:
        state_dir: as configured.
        locks: where the kernel lists who has locked what.
    """
    if state_dir is None:
        text = "none: a restart begins with counters at zero and misses what was logged meanwhile"
        return (Finding("State", "state_dir", "warn", text, "set state_dir to a directory that stays"),)
    directory = Path(state_dir)
    return (_directory(directory) or _owner(directory, locks) or _room(directory),)


def _directory(directory: Path) -> Finding | None:
    try:
        there = stat.S_ISDIR(directory.stat().st_mode)
    except FileNotFoundError:
        user = os.geteuid()
        fix = f"mkdir -p {directory} && chown {user} {directory}; in a container mount a volume there"
        return Finding("State", "state_dir", "fail", f"{directory} does not exist", fix)
    except OSError as error:
        fix = f"user {os.geteuid()} must be able to reach it: see the rights of the directories above it"
        return Finding("State", "state_dir", "fail", f"{directory}: {error.strerror}", fix)
    if not there:
        return Finding("State", "state_dir", "fail", f"{directory} is no directory", "set state_dir to a directory")
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        fix = f"make it writable for user {os.geteuid()}, or mount it without read-only"
        return Finding("State", "state_dir", "fail", f"{directory} may not be written", fix)
    return None


def _owner(directory: Path, locks: Path) -> Finding | None:
    if not is_held(directory / LOCK_NAME, locks):
        return None
    fix = "nothing to do if that is the exporter you mean; a second one needs a state_dir of its own"
    return Finding("State", "state_dir", "warn", f"{directory} is in use by a running exporter", fix)


def _room(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    text = f"{directory} is writable, {words.size(free)} free"
    if free < _ROOM_BYTES:
        return Finding("State", "state_dir", "warn", text, f"make room: at least {words.size(_ROOM_BYTES)}")
    return Finding("State", "state_dir", "ok", text)
