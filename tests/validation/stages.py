"""Machines, results and stages to test with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from validation.results import Check, Figure, MachineFacts, StageResult, Validation
from validation.stage import Room

MACHINE = MachineFacts(
    gpu="NVIDIA H200",
    fake=False,
    driver="580.1",
    cuda="13.0",
    python="3.12.3",
    torch="2.11.0",
    transformers="5.17.0",
    system="Linux",
    processor="Xeon",
    cores=16,
    memory_bytes=150 << 30,
    power_limit_watts=700.0,
)

RESULT = StageResult(
    stage="sensor",
    ending="done",
    seconds=61.5,
    figures=(Figure("counter_step_seconds", 0.1 + 0.2, "s", 0.1, None, 7, "so | so"), Figure("window", None, "s")),
    checks=(Check("a", "b", "c", held=True), Check("d", "e", "f", None), Check("g", "h", "i", held=False)),
    tables={"Rows": ({"a": 1, "b": 1e-7, "c": None}, {"a": 2, "b": 0.0, "c": "x"})},
    files=("sensor.png",),
)


def validation(*stages: StageResult, machine: MachineFacts = MACHINE) -> Validation:
    return Validation(machine, 1_790_000_000.123456, "python3 -m validation --out x", "0.1.0", stages)


@dataclass
class FakeTime:
    """A clock that a stage moves."""

    at: float = 0.0

    def now(self) -> float:
        return self.at

    def wait(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class FakeStage:
    """Does what it is told and notes how much time it was given."""

    name: str
    share: float = 1.0
    does: Callable[[Room], None] = lambda _: None
    cannot: str = ""
    given: list[float] = field(default_factory=list)

    def unable(self, machine: MachineFacts) -> str:
        assert machine is MACHINE
        return self.cannot

    def run(self, room: Room) -> StageResult:
        self.given.append(room.left())
        self.does(room)
        return StageResult(self.name, "done", 0.0)
