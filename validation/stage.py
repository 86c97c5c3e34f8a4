"""The contract of a stage."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from validation.results import MachineFacts, StageResult


@dataclass(frozen=True, slots=True)
class Room:
    """What a stage is given.

    Attributes:
        out: where its files go; nothing else is written anywhere, but into `scratch`, which is deleted.
        scratch: for weights, logs and other large things.
        deadline: on `now`, when it must be over; a stage that sees it will not get done does less and says so.
        now: seconds that never step. wait: sleeps.
        machine: where it runs.
        say: tells whoever watches, a line at a time.
    """

    out: Path
    scratch: Path
    deadline: float
    now: Callable[[], float]
    wait: Callable[[float], None]
    machine: MachineFacts
    say: Callable[[str], None]

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - self.now()


class Stage(Protocol):
    """Something to be found out. An exception that escapes ends this stage only."""

    @property
    def name(self) -> str:
        """As in the results."""
        ...

    @property
    def share(self) -> float:
        """Of the time that there is, relative to the other stages: seconds of the usual nine minutes."""
        ...

    def unable(self, machine: MachineFacts) -> str:
        """Why it cannot run on this machine; empty where it can."""
        ...

    def run(self, room: Room) -> StageResult:
        """Find it out."""
        ...
