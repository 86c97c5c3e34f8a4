"""`--check`: in less than a minute, what would run on this machine and what would not, and why. Nothing is measured.

    board     what NVML answers, and whether its counter moves
    storage   room and speed for weights, memory, cores
    metering  the exporter as a process, on this board
    llama     llama-server: which devices it sees; a little model, some requests
    device    PyTorch and the `components` command on the device, in a process of its own
    batching  Transformers' continuous batching: a small model, its engine's proof, some requests

Each is imported only when its turn comes, and what goes wrong in it is its answer. The surest and cheapest come first.
"""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from validation import machine
from validation.cutting import CutError, Knife
from validation.options import Options
from validation.results import StageName
from validation.schedule import last_lines
from validation.stage import Room
from validation.stages import gather

PLACES: Sequence[str] = ("board", "storage", "metering", "llama", "device", "batching")
SECONDS = 57.0
"""For all of it, unless more is given: PyTorch may take half a minute to be read from a cold disk."""
_MARKS = {True: "ok", False: "NO", None: "?"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that was asked. `good`: None where it could not be told. `words`: what was found."""

    name: str
    good: bool | None
    words: str

    def line(self) -> str:
        """For people; further lines of what was found are indented."""
        return f"{_MARKS[self.good]:<3} {self.name}: {self.words}".replace("\n", "\n      ")


def verdict(found: Sequence[Answer]) -> str:
    """In a line."""
    bad, unknown = ([one.name for one in found if one.good is good] for good in (False, None))
    told = [f"not good: {', '.join(bad)}" if bad else "", f"not known: {', '.join(unknown)}" if unknown else ""]
    return "; ".join(filter(None, told)) or "all that was asked is good"


def check(room: Room, options: Options, knife: Knife) -> list[Answer]:
    """Ask everything for which there is time, and say each answer as it comes."""
    found: list[Answer] = []
    for answer in _answers(room, options, knife):
        room.say(answer.line())
        found.append(answer)
    return found


def _answers(room: Room, options: Options, knife: Knife) -> Iterator[Answer]:
    yield from _packages(room, options)
    for place in PLACES:
        if knife.stopped or room.left() <= 1.0:
            yield Answer(place, None, knife.stopped or "not asked: no time was left")
            continue
        yield from _asked(place, room, options, knife)


def _asked(place: str, room: Room, options: Options, knife: Knife) -> Iterator[Answer]:
    """One part; what it answered before it failed is kept."""
    try:
        with knife.after(room.left()):
            yield from importlib.import_module(f"validation.checking.{place}").answers(room, options)
    except CutError as cut:
        yield Answer(place, None, f"not answered in time: {cut}")
    except Exception as error:  # noqa: BLE001 - what a machine that nobody has tried has in store is what is asked
        yield Answer(place, good=False, words=said_by(error))


def said_by(error: Exception) -> str:
    """What is to be read of an error: of ours and NVML's their words, of others where they come from as well."""
    ours = type(error).__module__.partition(".")[0] in {"exporter", "validation", "pynvml"}
    return str(error) if ours else last_lines()


def _packages(room: Room, options: Options) -> Iterator[Answer]:
    """What cannot be imported, and what stages say of it."""
    for words in machine.missing(room.machine):
        yield Answer("missing", good=False, words=words)
    for stage in gather([*get_args(StageName)], options):
        why = stage.unable(room.machine)
        yield Answer(f"stage {stage.name}", not why, why or "can begin")
