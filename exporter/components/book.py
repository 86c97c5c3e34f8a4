"""The results of a folder: `results.json` with all that was measured and `components.csv`, a row a component and case.

Both are written anew after every case, so that whatever ends a sweep, what it has found is there.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from exporter.components.rows import csv_text
from exporter.dissections import files
from exporter.domain.dissection import Dissection
from exporter.domain.errors import ComponentsError

RESULTS = "results.json"
CSV = "components.csv"


class Book:
    """A folder's results. Those that are there already stay, unless the same case is measured again.

    Args:
        folder: made where it is not there.

    Raises:
        ComponentsError: what is there cannot be read: nothing is overwritten.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._results: dict[tuple[object, ...], Dissection] = {}
        if self.path.exists():
            self._results = {_key(one): one for one in files.read(self.path)}

    @property
    def path(self) -> Path:
        """Of the results."""
        return self.folder / RESULTS

    @property
    def results(self) -> Sequence[Dissection]:
        """All of them."""
        return tuple(self._results.values())

    def add(self, one: Dissection) -> None:
        """Keep a result, in place of an earlier one of the same case, and write everything.

        Raises:
            ComponentsError: it cannot be written.
        """
        self._results[_key(one)] = one
        files.write(self.path, self.results)
        files.write_text(self.folder / CSV, csv_text(self.results))


def read_all(paths: Iterable[Path]) -> list[Dissection]:
    """What is in several files; a folder stands for its `results.json`. Of two alike the later one counts.

    Raises:
        ComponentsError: one cannot be read, or there is nothing in any of them.
    """
    found: dict[tuple[object, ...], Dissection] = {}
    named = [path / RESULTS if path.is_dir() else path for path in paths]
    for one in sorted((one for path in named for one in files.read(path)), key=lambda one: one.began):
        found[_key(one)] = one
    if not found:
        raise ComponentsError(f"{', '.join(map(str, named))}: no results: a file of `components measure` has some")
    return list(found.values())


def _key(one: Dissection) -> tuple[object, ...]:
    """What makes two results the same measurement, done again."""
    device = (one.device.name, one.device.uuid, one.device.model, one.device.method)
    return one.model, one.case, tuple(sorted(one.shape.items())), one.weights, one.launch, device
