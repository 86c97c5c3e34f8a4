"""What is measured: a model taken apart into parts that can be run alone, as the bench sees it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.domain.dissection import Case, ComponentName, Whole


@dataclass(frozen=True, slots=True)
class Part:
    """A component that can be replayed alone.

    Attributes:
        component, path, part_of, instances, flops: see ComponentEnergy.
        run: replays it so many times, one after the other, each on the next of its rotated inputs; may return before
            the device is done.
    """

    component: ComponentName
    path: str
    part_of: Whole | None
    instances: int
    flops: int | None
    run: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model under a case, captured.

    Attributes:
        model, architecture, weights, parameters, shape: see Dissection.
        case: as it was captured.
        parts: the model first.
        synchronise: waits until the device has done all that was asked of it.
        launch: how kernels are launched: `eager` or `graph`.
        software: versions, by name.
        gpu: UUID of the GPU that runs it, as NVML says it (`GPU-...`); None on a CPU, or where not known.
    """

    model: str
    architecture: str
    weights: str
    parameters: int
    shape: dict[str, int]
    case: Case
    parts: Sequence[Part]
    synchronise: Callable[[], None]
    launch: str
    software: dict[str, str]
    gpu: str | None = None
