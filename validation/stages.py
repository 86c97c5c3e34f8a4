"""Which stages there are: the one list.

Each stands in a module of its own name, with a function `stage(options) -> Stage`. It is imported only when it is
wanted: what it needs may be missing here, and then it alone is skipped.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from validation.options import Options
from validation.results import MachineFacts, StageName, StageResult
from validation.stage import Room, Stage

PLACES: Mapping[StageName, str] = {
    "sensor": "validation.sensor",
    "serving": "validation.serving",
    "components": "validation.components",
    "overhead": "validation.overhead",
}
"""In the order in which they run: the sensors first, while no other program has the device open."""

assert set(PLACES) == set(get_args(StageName)), "results know these names and no others"


@dataclass(frozen=True, slots=True)
class Absent:
    """A stage that cannot be had here. `why`: in words."""

    name: str
    why: str
    share: float = 0.0

    def unable(self, machine: MachineFacts) -> str:  # noqa: ARG002 - on no machine
        """Why it is not there."""
        return self.why

    def run(self, room: Room) -> StageResult:  # noqa: ARG002
        """Never called: it cannot run."""
        raise AssertionError(self.why)


def gather(wanted: Sequence[StageName], options: Options, places: Mapping[StageName, str] = PLACES) -> list[Stage]:
    """These stages, in their order; one that cannot be imported is there as one that cannot run."""
    return [_load(name, place, options) for name, place in places.items() if name in wanted]


def _load(name: StageName, place: str, options: Options) -> Stage:
    try:
        module = importlib.import_module(place)
    except Exception as error:  # noqa: BLE001 - a broken library raises what it likes, and the others' stages go on
        return Absent(name, f"{place} cannot be imported: {type(error).__name__}: {error}")
    make = getattr(module, "stage", None)
    if make is None:
        return Absent(name, f"{place} has no stage yet")
    made: Stage = make(options)
    return made
