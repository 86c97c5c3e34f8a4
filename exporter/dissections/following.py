"""Result files that an exporter serves, read again when they change.

They are looked at on a timer of its own and read in a thread, never by a scrape. A file that cannot be read is not
shown; why stands in the log once, and is counted for as long as it lasts.
"""

import asyncio
import glob
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exporter.dissections import files
from exporter.domain.dissection import Dissection
from exporter.domain.errors import ComponentsError
from exporter.domain.health import DissectionsView
from exporter.metrics.dissected import that_fit

log = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 10.0
MOST_FILES: Final = 1_000

_Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """A file as it was when it was read: its results, or why there are none."""

    stamp: _Stamp | None
    dissections: Sequence[Dissection] = ()
    problem: str = ""


class Results:
    """The files that paths and globs name now. What they say is replaced as a whole: whoever reads it sees one state.

    Args:
        patterns: paths and globs. A path that has no file is a problem; a glob that finds none is not.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(patterns)
        self._known: dict[Path, _Known] = {}
        self._view = DissectionsView()
        self._left_out_before = 0

    def view(self) -> DissectionsView:
        """What they said when they were last looked at."""
        return self._view

    def look(self) -> None:
        """Read what is new or has changed."""
        paths = self._paths()
        known = {path: self._of(path) for path in paths}
        if known == self._known:
            return
        self._tell(known)
        self._known = known
        self._view = _view(known)
        if self._view.left_out and not self._left_out_before:
            log.warning(
                "components.results: no room for %d cases; the latest are shown, so name fewer files",
                self._view.left_out,
            )
        self._left_out_before = self._view.left_out

    def _paths(self) -> Sequence[Path]:
        found: dict[Path, None] = {}
        for pattern in self._patterns:
            named = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207 - a pattern may be absolute
            found |= dict.fromkeys(map(Path, named))
        return list(found)[:MOST_FILES]

    def _of(self, path: Path) -> _Known:
        stamp = _stamp(path)
        before = self._known.get(path)
        if before is not None and before.stamp == stamp and stamp is not None:
            return before
        try:
            return _Known(stamp, files.read(path))
        except ComponentsError as error:
            return _Known(stamp, problem=str(error))

    def _tell(self, known: dict[Path, _Known]) -> None:
        for path, one in known.items():
            before = self._known.get(path, _Known(None))
            if one.problem and one.problem != before.problem:
                log.warning("components.results: %s; the exporter goes on without it", one.problem)
            elif not one.problem and one != before:
                log.info("components.results: %s is read; cases: %d", path, len(one.dissections))


def _view(known: dict[Path, _Known]) -> DissectionsView:
    shown, left_out = that_fit(one for each in known.values() for one in each.dissections)
    problems = {str(path): one.problem for path, one in known.items() if one.problem}
    return DissectionsView(shown, left_out, len(known) - len(problems), problems)


def _stamp(path: Path) -> _Stamp | None:
    with suppress(OSError):
        told = path.stat()
        return told.st_mtime_ns, told.st_size, told.st_ino
    return None


@asynccontextmanager
async def following(results: Results, fault: Callable[[str], None]) -> AsyncIterator[None]:
    """Look at once, and then on a timer for as long as the context lasts. `fault` is told of a bug of ours."""
    await _look(results, fault)
    task = asyncio.create_task(_for_ever(results, fault))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _for_ever(results: Results, fault: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        await _look(results, fault)


async def _look(results: Results, fault: Callable[[str], None]) -> None:
    try:
        await asyncio.to_thread(results.look)
    except Exception:
        fault("dissections")
        log.exception("a bug in dissections; the exporter goes on")
