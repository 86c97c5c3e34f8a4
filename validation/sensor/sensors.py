"""What a board can be asked about its energy and power, one question each, and which of it this board answers.

Answers are millijoules and milliwatts, as NVML tells them: their smallest step is part of what is to be found out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pynvml

from exporter.power.boards import reason

SCOPE_GPU, SCOPE_MODULE = 0, 1
_UNION: Mapping[int, str] = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal"}
"""Which member of NVML's union holds a value, by its type."""
_TYPES: Mapping[int, str] = {0: "double", 1: "unsigned int", 2: "unsigned long", 3: "unsigned long long"}

COUNTER = "counter"
POWERS = ("usage", "average", "instant", "average_module", "instant_module")


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask. `what`: NVML's name for it. `ask`: raises NVMLError."""

    name: str
    what: str
    ask: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Sensors:
    """What a board answers, and why it does not answer the rest."""

    answered: Mapping[str, Question]
    refused: Mapping[str, str]

    def power(self) -> Question | None:
        """The power that the exporter would hold against the counter."""
        return self.answered.get("instant") or self.answered.get("usage")


@dataclass(frozen=True, slots=True)
class Buffer:
    """NVML's own buffer of power samples. `why`: where there is none."""

    samples: int = 0
    span_seconds: float = 0.0
    type: str = ""
    call_seconds: float = 0.0
    why: str = ""

    @property
    def per_second(self) -> float | None:
        """Rate of the samples."""
        return (self.samples - 1) / self.span_seconds if self.samples > 1 and self.span_seconds > 0.0 else None


def sensors(handle: Any) -> Sensors:
    """Ask the board everything once."""
    answered: dict[str, Question] = {}
    refused: dict[str, str] = {}
    for question in _questions(handle):
        try:
            question.ask()
        except pynvml.NVMLError as error:
            refused[question.name] = reason(error)
        else:
            answered[question.name] = question
    return Sensors(answered, refused)


def buffer(handle: Any, now: Callable[[], float]) -> Buffer:
    """What stands in the buffer now; its stamps are microseconds."""
    began = now()
    try:
        kind, samples = pynvml.nvmlDeviceGetSamples(handle, pynvml.NVML_TOTAL_POWER_SAMPLES, 0)
    except pynvml.NVMLError as error:
        return Buffer(why=reason(error))
    took = now() - began
    stamps = [sample.timeStamp for sample in samples if sample.timeStamp]
    span = (max(stamps) - min(stamps)) / 1e6 if stamps else 0.0
    return Buffer(len(stamps), span, _TYPES.get(kind, f"type {kind}"), took, "" if stamps else "it is empty")


def _questions(handle: Any) -> list[Question]:
    average, instant = pynvml.NVML_FI_DEV_POWER_AVERAGE, pynvml.NVML_FI_DEV_POWER_INSTANT
    return [
        Question(COUNTER, "nvmlDeviceGetTotalEnergyConsumption", _energy(handle)),
        Question("usage", "nvmlDeviceGetPowerUsage", lambda: float(pynvml.nvmlDeviceGetPowerUsage(handle))),
        Question("average", f"field {average}, scope GPU", _field(handle, average, SCOPE_GPU)),
        Question("instant", f"field {instant}, scope GPU", _field(handle, instant, SCOPE_GPU)),
        Question("average_module", f"field {average}, scope module", _field(handle, average, SCOPE_MODULE)),
        Question("instant_module", f"field {instant}, scope module", _field(handle, instant, SCOPE_MODULE)),
    ]


def _energy(handle: Any) -> Callable[[], float]:
    return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))


def _field(handle: Any, field: int, scope: int) -> Callable[[], float]:
    def ask() -> float:
        value = pynvml.nvmlDeviceGetFieldValues(handle, [(field, scope)])[0]
        if value.nvmlReturn:
            raise pynvml.NVMLError(value.nvmlReturn)
        return float(getattr(value.value, _UNION.get(value.valueType, "uiVal")))

    return ask
