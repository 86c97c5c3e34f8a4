"""One tuner a device: a lock that dies with who holds it.

The lock is flock(2) on a file named by the device's UUID, so the kernel releases it however its holder ends. The
keeper (see guard) inherits it: a tuner that was killed still holds its device until everything is put back, and who
gets the lock afterwards may put back whatever an undo file still tells of.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from exporter import undo
from exporter.domain.errors import TuneError

_PATIENCE_SECONDS, _TRY_SECONDS = 5.0, 0.05
"""How long to wait for the keeper of a tuner that is gone, and how often to look."""


@dataclass(frozen=True, slots=True)
class DeviceLock:
    """A lock that is held. `descriptor` is its open file: a child that inherits it holds it too."""

    uuid: str
    path: Path
    descriptor: int

    @property
    def directory(self) -> Path:
        """The runtime directory that it is in."""
        return self.path.parent


@contextmanager
def locked(uuid: str, device: str, pause: Callable[[float], None] = time.sleep) -> Iterator[DeviceLock]:
    """Hold the lock of a device.

    Raises:
        TuneError: another tuner holds it (names its process), or there is no place for a lock.
    """
    directory = undo.runtime_directory()
    for place in undo.places():
        if place != directory:
            _refuse_if_held(undo.lock_of(place, uuid), device)
    lock = _take(undo.lock_of(directory, uuid), uuid, device, pause)
    try:
        yield lock
    finally:
        os.close(lock.descriptor)


def holder(uuid: str) -> int | None:
    """The process that tunes this device now; None: nobody, as far as this user can see. -1: one that does not say."""
    for place in undo.places():
        pid = _holder_of(undo.lock_of(place, uuid))
        if pid is not None:
            return pid
    return None


def _take(path: Path, uuid: str, device: str, pause: Callable[[float], None]) -> DeviceLock:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise TuneError(f"{path}: {error.strerror}: without a lock {device} is not tuned") from error
    try:
        _wait_for(descriptor, path, device, pause)
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except BaseException:
        os.close(descriptor)
        raise
    return DeviceLock(uuid, path, descriptor)


def _wait_for(descriptor: int, path: Path, device: str, pause: Callable[[float], None]) -> None:
    """A living tuner is not waited for, the keeper of a dead one is: it is done in a moment."""
    patience = _PATIENCE_SECONDS
    while not _try(descriptor, fcntl.LOCK_EX):
        pid = _said(path)
        if patience <= 0.0 or (_lives(pid) and patience <= _PATIENCE_SECONDS - 2 * _TRY_SECONDS):
            raise _refusal(pid, device)
        pause(_TRY_SECONDS)
        patience -= _TRY_SECONDS


def _refuse_if_held(path: Path, device: str) -> None:
    pid = _holder_of(path)
    if pid is not None:
        raise _refusal(pid, device)


def _refusal(pid: int, device: str) -> TuneError:
    who = f"process {pid}" if pid > 0 else "another process"
    return TuneError(f"{device} is being tuned by {who}: wait until it is done, or end it (it puts back what it set)")


def _holder_of(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return None if _try(descriptor, fcntl.LOCK_SH) else _said(path)
    finally:
        os.close(descriptor)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _said(path: Path) -> int:
    with suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return -1


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
