"""Durable state: a few values by name, saved together or not at all.

One SQLite file in the state directory, which one process owns at a time. SQLite makes a save atomic, also when the
process is killed in the middle of it. What SQLite does not notice, a checksum of each value does. State that cannot be
trusted is set aside for a person to look at and never used; a new one begins, because metering goes on without it.
"""

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from exporter.domain.errors import StateError

SCHEMA_VERSION = 1
FILE_NAME = "state.db"
LOCK_NAME = "state.lock"

_KEPT_ASIDE = 3
_COMPANIONS = ("", "-wal", "-shm")
"""Suffixes of the files that together are one SQLite database."""


class StateStore:
    """The state in one directory. Not for two threads at once.

    Attributes:
        notice: what was wrong with the state that was found, and where it is now; None where nothing was.
    """

    def __init__(self, path: Path, database: sqlite3.Connection, lock: int, notice: str | None) -> None:
        self._path = path
        self._database = database
        self._lock: int | None = lock
        self.notice = notice

    @classmethod
    def open(cls, directory: Path) -> "StateStore":
        """Own the state in `directory`, or a new one where it cannot be used.

        Raises:
            StateError: the directory is missing, not writable, or another process owns it.
        """
        lock = _lock(directory)
        path = directory / FILE_NAME
        try:
            database, notice = _open_or_renew(path)
        except (OSError, sqlite3.Error) as error:
            os.close(lock)
            raise _unwritable(directory, error) from error
        return cls(path, database, lock, notice)

    def load(self) -> dict[str, bytes]:
        """Everything that was saved.

        Raises:
            StateError: it cannot be read any more.
        """
        try:
            return _values(self._database)
        except (sqlite3.Error, _UntrustedError) as error:
            raise StateError(f"state in {self._path} cannot be read ({error}): restart to begin a new one") from error

    def save(self, changes: Mapping[str, bytes | None]) -> None:
        """Save all changes together; None deletes.

        Raises:
            StateError: nothing of it was saved.
        """
        saved = [(key, value, _checksum(key, value)) for key, value in changes.items() if value is not None]
        deleted = [(key,) for key, value in changes.items() if value is None]
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", saved)
                self._database.executemany("DELETE FROM entry WHERE key = ?", deleted)
        except sqlite3.Error as error:
            raise StateError(f"state cannot be saved in {self._path} ({error}): is the disk full?") from error

    def close(self) -> None:
        """Let others own the state. May be called twice."""
        if self._lock is not None:
            self._database.close()
            os.close(self._lock)
            self._lock = None


class _UntrustedError(Exception):
    """The state found is not what we wrote, or not for us."""


def _lock(directory: Path) -> int:
    try:
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise StateError(f"state directory {directory} does not exist: create it or set another state_dir") from error
    except OSError as error:
        raise _unwritable(directory, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        message = f"state directory {directory} is in use by process {owner}: give each exporter its own state_dir"
        raise StateError(message) from error
    except OSError as error:
        os.close(lock)
        raise _unwritable(directory, error) from error
    _sign(lock)
    return lock


def _sign(lock: int) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _unwritable(directory: Path, error: Exception) -> StateError:
    return StateError(
        f"state directory {directory} cannot be used ({error}): "
        f"make it a writable directory for user {os.geteuid()}, or set another state_dir"
    )


def _open_or_renew(path: Path) -> tuple[sqlite3.Connection, str | None]:
    try:
        return _open(path), None
    except (_UntrustedError, sqlite3.DatabaseError) as error:
        if _is_the_worlds_fault(error):
            raise
        aside = _set_aside(path)
        notice = f"state in {path} cannot be used ({error}): it is kept as {aside} and a new one begins"
    return _open(path), notice


def _is_the_worlds_fault(error: Exception) -> bool:
    """Whether the file may be sound, and only could not be had: a full disk, missing rights, a lock."""
    worlds = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
    worlds |= {sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOLFS}
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in worlds


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
    try:
        _prepare(database)
        _values(database)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    # Exclusive before WAL: then no shared memory is needed, which network and overlay file systems often lack.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    verdict = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _UntrustedError(f"damaged: {verdict}")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, SCHEMA_VERSION):
        raise _UntrustedError(f"written by another version, schema {version} instead of {SCHEMA_VERSION}")
    if version == 0:
        _create(database)


def _create(database: sqlite3.Connection) -> None:
    if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise _UntrustedError("not ours")
    with database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL)")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _values(database: sqlite3.Connection) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    for key, value, checksum in database.execute("SELECT key, value, checksum FROM entry"):
        if not isinstance(key, str) or not isinstance(value, bytes) or _checksum(key, value) != checksum:
            raise _UntrustedError(f"the value of {key!r} was altered")
        values[key] = value
    return values


def _checksum(key: str, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key.encode()))


def _set_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in _COMPANIONS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    _thin_out(path, sparing=aside)
    return aside


def _thin_out(path: Path, *, sparing: Path) -> None:
    """Keep the latest few of those set aside; a disk filled with them would stop the saving of new ones."""
    asides = sorted(path.parent.glob(f"{path.name}.corrupt-*Z"))
    for old in asides[:-_KEPT_ASIDE]:
        if old != sparing:
            for suffix in _COMPANIONS:
                old.with_name(old.name + suffix).unlink(missing_ok=True)
