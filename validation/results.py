"""What a validation found out: frozen values that go to JSON and come back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

StageName = Literal["sensor", "serving", "components", "overhead"]
Ending = Literal["done", "failed", "skipped", "cut"]


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Where it ran.

    Attributes:
        gpu: product name; `fake` says whether it was the fake NVML, and then nothing here is a measurement.
        driver, cuda, python, torch, transformers, system, processor: versions and names; empty where not known.
        cores: of the CPU. memory_bytes: of the GPU; 0 where not known.
        power_limit_watts: as found; never changed.
    """

    gpu: str
    fake: bool
    driver: str
    cuda: str
    python: str
    torch: str
    transformers: str
    system: str
    processor: str
    cores: int
    memory_bytes: int
    power_limit_watts: float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its meaning.

    Attributes:
        name: `counter_step_seconds`. value: in `unit`; None: it could not be told, and `note` says why.
        unit: `s`, `W`, `J`, `ratio`, `%`, `calls/s`.
        low, high: where it has a spread: 5th and 95th percentile, or an interval; `note` says which.
        samples: how many went into it.
    """

    name: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    samples: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was expected, and what was found. `held` is None where it could not be decided."""

    name: str
    expected: str
    found: str
    held: bool | None


@dataclass(frozen=True, slots=True)
class StageResult:
    """One stage.

    Attributes:
        stage: which. ending: how it ended. why: where it did not simply end, in words.
        seconds: how long it took.
        figures, checks: what it found.
        tables: rows for reports, by title; every row of a table has the same keys.
        files: names of files it wrote beside the results.
    """

    stage: str
    ending: Ending
    seconds: float
    why: str = ""
    figures: tuple[Figure, ...] = ()
    checks: tuple[Check, ...] = ()
    tables: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Validation:
    """All of it. `began`: Unix seconds. `command`: as it was typed. `version`: of the exporter."""

    machine: MachineFacts
    began: float
    command: str
    version: str
    stages: tuple[StageResult, ...]
