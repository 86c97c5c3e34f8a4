"""One llama-server as its log tells of it: its clock, its tasks, and how the end of each is told.

What llamacpp.py remembers between lines, and what of it outlives a restart of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exporter.domain.events import Closing, Completed, Ended, FirstToken, RequestEvent
from exporter.domain.lines import Line
from exporter.domain.units import Instant, later
from exporter.requests.parts.llamaline import Said
from exporter.requests.parts.slots import Task
from exporter.requests.parts.stamps import Moment, moment
from exporter.requests.parts.uptime import Uptime

MOST_TASKS = 65_536


class Held(NamedTuple):
    """A release that waits for its timings."""

    task: str
    at: Instant
    uncertainty: float


@dataclass(slots=True)
class Server:
    """One server process: the only one, or one of a router's."""

    port: str
    clock: Uptime
    tasks: dict[str, Task] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    block: str | None = None  # the task that bare timing lines belong to
    held: Held | None = None
    patience: int = 0
    timed: bool = False
    fresh: bool | None = None  # started, and no task since; None while there was neither
    loading: Moment | None = None  # a bare line said that a start began; the next ones tell if that is true

    def id(self, task: str) -> str:
        """Of the request that a task is."""
        return f"{self.port}/{task}" if self.port else task

    def add(self, task: str, known: Task) -> Task:
        """Remember a task; of too many the oldest is forgotten."""
        self.tasks[task] = known
        if len(self.tasks) > MOST_TASKS:
            del self.tasks[next(iter(self.tasks))]
        return known

    def when(self, said: Said, line: Line) -> Moment | None:
        """The instant of a line; None while the clock is not anchored."""
        return moment(line, None) if said.elapsed is None else self.clock.at(said.elapsed)

    def let_go(self) -> list[RequestEvent]:
        """Tell the end that was held back, if any."""
        held, self.held = self.held, None
        known = self.tasks.pop(held.task, None) if held is not None else None
        if held is None or known is None:
            return []
        return self.ending(held.task, known, Moment(held.at, held.uncertainty))

    def ending(self, task: str, known: Task, when: Moment) -> list[RequestEvent]:
        """What there is to tell of a task that ended then: all of its life, if nothing was told before."""
        id_, (prompt, cached, output) = self.id(task), known.tokens()
        if known.start is None and (start := self._unseen_start(known, when)) is not None:
            first = known.first_token(start.at, when.at)
            span = (start.at, when.at, start.uncertainty, when.uncertainty)
            return [Completed(id_, *span, first, 0.0, known.outcome, None, prompt, cached, output)]
        first = None if known.start is None else known.first_token(known.start, when.at)
        closing: Closing = "release" if known.total_ms is None else "finish"
        events: list[RequestEvent] = [] if first is None else [FirstToken(id_, first, when.uncertainty)]
        return [*events, Ended(id_, *when, known.outcome, closing, None, prompt, cached, output)]

    def _unseen_start(self, known: Task, end: Moment) -> Moment | None:
        """The start of a task that was launched before the clock was anchored, or before we came."""
        if known.launched is not None and (start := self.clock.at(known.launched)):
            return start
        if known.total_ms is None:
            return None
        return Moment(later(end.at, -known.total_ms / 1e3), end.uncertainty)

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart of ours: JSON values."""
        tasks = {task: _columns(known) for task, known in self.tasks.items()}
        return _columns(self) | {"clock": self.clock.snapshot(), "tasks": tasks, "slots": dict(self.slots)}

    @classmethod
    def from_snapshot(cls, saved: Mapping[str, Any]) -> "Server":
        """As it was; raises what a mapping that is no snapshot makes it raise."""
        clock = Uptime()
        clock.restore(saved["clock"])
        tasks = {str(task): Task(**known) for task, known in saved["tasks"].items()}
        held, loading = saved["held"], saved["loading"]
        return cls(
            **{
                **saved,
                "clock": clock,
                "tasks": tasks,
                "held": None if held is None else Held(*held),
                "loading": None if loading is None else Moment(*loading),
            }
        )


def _columns(one: Server | Task) -> dict[str, Any]:
    """Its fields, as they are: `asdict` would copy each of them deeply, at every checkpoint."""
    return {name: getattr(one, name) for name in one.__slots__}
