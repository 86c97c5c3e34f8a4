"""From patterns to names, from names to files; and why not, in words for a person."""

import contextlib
import glob
import itertools
import os
import re
import stat as kinds
from pathlib import Path

_COMPRESSED = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".Z", ".zip")
_NUMBERED = re.compile(r"[._-][0-9][0-9._:TZ+-]*")
"""`.1`, `-20260102`, `.2026-01-02_13`; but not `.bak` or `-worker2`, which may be anybody's."""


def names_of(pattern: str) -> list[str]:
    """The names that the pattern matches now: itself where it is none, whether there is such a file or not."""
    if not glob.has_magic(pattern) or os.path.lexists(pattern):
        return [pattern]
    _require_listable(pattern)
    found = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - patterns are text, absolute or not
    return sorted(name for name in found if not name.endswith(_COMPRESSED) and not _is_directory(name))


def _is_directory(name: str) -> bool:
    stat = look_up(name)
    return stat is not None and kinds.S_ISDIR(stat.st_mode)


def _require_listable(pattern: str) -> None:
    """Raise what globbing passes over in silence: a directory that we may not list."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    with contextlib.suppress(FileNotFoundError), os.scandir(Path(*fixed)):
        pass


def sibling_of(path: str, inode: int) -> str | None:
    """The name that rotation gave to the file once called `path`: beside it, or beside where its symlink leads."""
    for directory in {Path(path).parent, Path(os.path.realpath(path)).parent}:
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.inode() == inode and entry.is_file(follow_symlinks=False):
                        return entry.path
        except OSError:
            continue
    return None


def copies_of(path: str) -> list[tuple[str, os.stat_result]]:
    """Files that rotation may have copied `path` to, the latest first: beside it, and named after it.

    For example `server.log.1`, `server.log-20260102` or `server-1.log`; one compressed at once is beyond us.
    """
    real = Path(os.path.realpath(path))
    found = _files_beside(real, real.name.partition(".")[0] or real.name)
    return sorted(found, key=lambda one: one[1].st_ctime_ns, reverse=True)


def generations_since(path: str, earlier: str) -> list[tuple[str, os.stat_result]]:
    """Files that had the name `path` after the one now called `earlier` and lost it since, the oldest first."""
    real, since = Path(os.path.realpath(path)), look_up(earlier)
    if since is None:
        return []
    found = [one for one in _files_beside(real, real.name) if _NUMBERED.fullmatch(one[0].removeprefix(str(real)))]
    later = [one for one in found if one[1].st_mtime_ns > since.st_mtime_ns]
    return sorted(later, key=lambda one: one[1].st_mtime_ns)


def _files_beside(real: Path, prefix: str) -> list[tuple[str, os.stat_result]]:
    """Regular files whose names begin so, compressed ones aside."""
    try:
        with os.scandir(real.parent) as entries:
            named = [entry.path for entry in entries if entry.name.startswith(prefix) and _is_readable(entry)]
    except OSError:
        return []
    return [(name, stat) for name in named if (stat := look_up(name)) is not None]


def _is_readable(entry: os.DirEntry[str]) -> bool:
    return not entry.name.endswith(_COMPRESSED) and entry.is_file(follow_symlinks=False)


def look_up(path: str) -> os.stat_result | None:
    """What the name leads to; None where that cannot be known."""
    try:
        return os.stat(path)  # noqa: PTH116 - called for every file at every poll
    except OSError:
        return None


def open_to_read(path: str) -> int:
    """Open a file. Raises OSError."""
    # Non-blocking, lest a pipe that took the file's place in between stops everything.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)


def refusal_of(stat: os.stat_result, path: str) -> str | None:
    """Why such a file is not followed, for a person; None where it is."""
    if kinds.S_ISDIR(stat.st_mode):
        return f"is a directory: name the files in it, for example {path.rstrip('/')}/*.log"
    if kinds.S_ISFIFO(stat.st_mode):
        return "is a pipe, which only one reader may empty: let it be our standard input, and the path `-`"
    if not kinds.S_ISREG(stat.st_mode):
        return "is no regular file: only files and standard input (`-`) can be followed"
    if path.endswith(_COMPRESSED):
        return "is compressed: name the log that is still being written"
    return None


def advice_on(error: OSError) -> str:
    """What the failure means and what to do about it, for a person."""
    if isinstance(error, PermissionError):
        return "cannot be read: give the exporter's user or group the right to read it and to search its directory"
    if isinstance(error, FileNotFoundError):
        return "leads nowhere: its target is missing"
    return f"cannot be read: {os.strerror(error.errno) if error.errno else error}"
