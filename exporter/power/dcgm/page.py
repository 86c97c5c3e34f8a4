"""What dcgm-exporter's page says of each board.

A metric is called as its field is in the CSV, so three generations of names are met: those of the CSV that is shipped,
those that DCGM gives the same fields today (power since 4.6, joules since 4.7), and the lower case ones of
`--use-old-namespace`, which spells labels in lower case, too: they are looked up in it. A page of eight boards can have
hundreds of kilobytes, of which a few lines matter: they are found by searching, and nothing else is parsed. Source:
NVIDIA/dcgm-exporter, its renderer and default-counters.csv; NVIDIA/go-dcgm, its names of fields.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_ENERGY: Mapping[bytes, float] = {
    b"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 1e-3,
    b"DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL": 1.0,
    b"dcgm_total_energy_consumption": 1e-3,
}
"""Joules in a unit of each energy counter."""
_POWER = (b"DCGM_FI_DEV_POWER_USAGE", b"DCGM_FI_DEV_BOARD_POWER_WATTS", b"dcgm_power_usage")
_MOST_WATTS = (b"DCGM_FI_DEV_POWER_MGMT_LIMIT_MAX", b"DCGM_FI_DEV_BOARD_POWER_LIMIT_MAX_WATTS")
_LET_WATTS = (
    b"DCGM_FI_DEV_ENFORCED_POWER_LIMIT",
    b"DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS",
    b"DCGM_FI_DEV_POWER_MGMT_LIMIT",
    b"DCGM_FI_DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS",
)
"""Limits are on the page only where somebody added them to the CSV."""

_LABEL = re.compile(rb'(?:^|,\s*)([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
_INT64_BLANK = float(0x7FFFFFFFFFFFFFF0)
_DOUBLE_BLANKS = range(140_737_488_355_328, 140_737_488_355_344)
"""DCGM's ways to say that there is no value; older releases of the exporter print them."""
_ABSURD_WATTS = 1e5
_INDEX_DIGITS = 4

BoardKey = tuple[str, str]
"""Its UUID; where there is none, its host and its index. A host's name may change: it is the container's at times."""


@dataclass(slots=True)
class Board:
    """One board as a page tells of it.

    Attributes:
        index: its number on its host. bus: its PCI bus id. uuid, model, host, driver: empty where not told.
        pods: those that it, or an instance of it, was given to: (namespace, name).
        instances: MIG instances of it on this page.
        joules: its energy counter; None where there is none, or it is blank. watts: its power, likewise.
        most_watts, let_watts: what it can draw at most, and what it is let draw now.
    """

    index: int
    uuid: str
    bus: str
    model: str
    host: str
    driver: str
    pods: set[tuple[str, str]] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    joules: float | None = None
    watts: float | None = None
    most_watts: float | None = None
    let_watts: float | None = None

    @property
    def key(self) -> BoardKey:
        """What tells it from all others."""
        return ("", self.uuid) if self.uuid else (self.host, str(self.index))


def is_of_dcgm_exporter(page: bytes) -> bool:
    """Whether this is a page of dcgm-exporter at all, be it one without a row."""
    return b"DCGM_" in page or b"\ndcgm_" in page


def boards(page: bytes) -> dict[BoardKey, Board]:
    """Every board whose energy or power the page tells, or would tell were it not blank."""
    page = b"\n" + page
    found: dict[BoardKey, Board] = {}
    for name, joules in _ENERGY.items():
        for labels, value in _rows(page, name):
            if (board := _board(found, labels)) is not None and (told := _energy(value)) is not None:
                # Instances of one board are read one after the other: the latest of them is the board's.
                board.joules = max(told * joules, board.joules or 0.0)
    for name in _POWER:
        for labels, value in _rows(page, name):
            if (board := _board(found, labels)) is not None and board.watts is None:
                board.watts = _watts(value)
    _add_limits(page, found)
    return found


def _add_limits(page: bytes, found: dict[BoardKey, Board]) -> None:
    for names, attribute in ((_MOST_WATTS, "most_watts"), (_LET_WATTS, "let_watts")):
        for name in names:
            for labels, value in _rows(page, name):
                board = _board(found, labels)
                if board is not None and getattr(board, attribute) is None:
                    setattr(board, attribute, _watts(value) or None)


def _rows(page: bytes, name: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Labels and value of each row of a family, whether its rows stand together or not."""
    mark = b"\n" + name + b"{"
    at = page.find(mark)
    while at >= 0 and (end := page.find(b"\n", at + 1)) >= 0:  # a row without an end was cut off, perhaps in its value
        labels, _, value = page[at + len(mark) : end].rpartition(b"}")
        yield labels, value
        at = page.find(mark, end)


def _board(found: dict[BoardKey, Board], labels: bytes) -> Board | None:
    """The board that a row is about; None where the row does not say."""
    told = {name.lower().decode(): value.decode("utf-8", "replace") for name, value in _LABEL.findall(labels)}
    index = told.get("gpu", "")
    if not index.isdecimal() or len(index) > _INDEX_DIGITS:
        return None
    new = Board(
        index=int(index),
        uuid=told.get("uuid", ""),
        bus=told.get("pci_bus_id", ""),
        model=told.get("modelname", ""),
        host=told.get("hostname", ""),
        driver=told.get("dcgm_fi_system_driver_version") or told.get("dcgm_fi_driver_version", ""),
    )
    board = found.setdefault(new.key, new)
    if instance := told.get("gpu_i_id"):
        board.instances.add(instance)
    if pod := told.get("pod") or told.get("pod_name"):
        board.pods.add((told.get("namespace") or told.get("pod_namespace", ""), pod))
    return board


def _energy(value: bytes) -> float | None:
    number = _number(value)
    return None if number is None or number >= _INT64_BLANK or number in _DOUBLE_BLANKS else number


def _watts(value: bytes) -> float | None:
    number = _number(value)
    return None if number is None or number >= _ABSURD_WATTS else number


def _number(value: bytes) -> float | None:
    """The first word after the labels; a second one would be a time."""
    try:
        number = float(value.split(None, 1)[0])
    except (IndexError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0.0 else None
