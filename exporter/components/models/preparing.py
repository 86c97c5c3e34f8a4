"""From an order to a subject: build, look, capture, check, count, and make ready to be replayed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from exporter.components.models.anatomy import Component, components
from exporter.components.models.calls import Call, samples
from exporter.components.models.capturing import Node, capture, survey
from exporter.components.models.counting import flops_of
from exporter.components.models.hardware import (
    device_by_name,
    gpu_uuid,
    last_level_cache_bytes,
    memory_budget_bytes,
    software,
    waiting_for,
)
from exporter.components.models.loading import LoadedModel, load, quiet
from exporter.components.models.passes import pass_inputs
from exporter.components.models.replaying import Slot, eager, graphed, rotation
from exporter.components.subject import Part, Subject
from exporter.domain.dissection import Case
from exporter.domain.errors import ComponentsError


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for; see `prepare`."""

    name: str
    case: Case
    device: str
    changes: dict[str, int]
    weights: str | None
    launch: str
    seed: int


@dataclass(frozen=True, slots=True)
class TakenApart:
    """A model with its components, each with the calls that its occurrences are made of."""

    model: LoadedModel
    components: list[tuple[Component, list[Slot]]]


def prepare_subject(order: Order) -> Subject:
    """Build a model, run it once, and take it apart; see `prepare`."""
    device = device_by_name(order.device)
    if order.launch not in {"eager", "graph"}:
        raise ComponentsError(f"launch {order.launch!r}: one of eager, graph")
    if order.launch == "graph" and device.type != "cuda":
        raise ComponentsError("launch graph: CUDA graphs need a GPU; use eager on a CPU")
    with quiet():
        taken = take_apart(order, device)
        parts = [_part(taken.model.name, one, slots, order, device) for one, slots in taken.components]
    return Subject(
        model=order.name,
        architecture=taken.model.architecture,
        weights=taken.model.weights,
        parameters=taken.model.parameters,
        shape=taken.model.shape,
        case=replace(order.case, attention=taken.model.attention),
        parts=parts,
        synchronise=waiting_for(device),
        launch=order.launch,
        software=software(device),
        gpu=gpu_uuid(device),
    )


def take_apart(order: Order, device: Any) -> TakenApart:
    """Build a model, run it once, and keep the calls of its components.

    Raises:
        ComponentsError: it cannot be built or run, or a component that is replayed does not give what it gave.
    """
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(order.seed)
            model = load(order.name, order.case, order.changes, order.weights, device)
        inputs, root = _first_pass(model, order, device)
        found = components(model.module, root)
        kept = [_affordable(one, root, memory_budget_bytes(device) // len(found)) for one in found]
        numbers = {number for occurrences in kept for occurrence in occurrences for number in occurrence}
        calls = capture(model.module, inputs, numbers, {number for occurrences in kept for number in occurrences[0]})
    except torch.OutOfMemoryError as error:
        raise ComponentsError(f"{order.name}: too large for {device}: {str(error).splitlines()[0]}") from error
    with torch.inference_mode():
        for call in calls.values():
            call.settle()
    slots: list[list[Slot]] = [
        [tuple(calls[number] for number in occurrence) for occurrence in occurrences] for occurrences in kept
    ]
    for one, own in zip(found, slots, strict=True):
        _check(model.name, one, own[0], order.case)
    return TakenApart(model, list(zip(found, slots, strict=True)))


def _first_pass(model: LoadedModel, order: Order, device: Any) -> tuple[dict[str, Any], Node]:
    try:
        inputs = pass_inputs(model, order.case, device, order.seed)
        return inputs, survey(model.module, inputs)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError) as error:
        words = next(iter(str(error).strip().splitlines()), "")
        raise ComponentsError(f"{order.name}: its {order.case.phase} fails: {type(error).__name__}: {words}") from error


def _affordable(one: Component, root: Node, budget_bytes: int) -> list[tuple[int, ...]]:
    """The first occurrences whose inputs fit a budget; at least one."""
    sizes = {node.number: node.input_bytes for node in (root, *root.below())}
    kept: list[tuple[int, ...]] = []
    used = 0
    for occurrence in one.occurrences:
        used += sum(sizes[number] for number in occurrence)
        if kept and used > budget_bytes:
            break
        kept.append(occurrence)
    return kept


def _check(name: str, one: Component, slot: Sequence[Call], case: Case) -> None:
    """What is replayed must be what was captured, the second time as well as the first."""
    tolerance = 1e-4 if case.dtype in {"float32", "float64"} else 3e-2
    with torch.inference_mode():
        for call in slot:
            for _ in range(2):
                if not _alike(call.outcome or (), samples(call.again()), tolerance):
                    raise ComponentsError(
                        f"{name}: {one.component} ({call.path}) replayed gives another result than it gave"
                    )


def _alike(first: Sequence[Any], second: Sequence[Any], tolerance: float) -> bool:
    return len(first) == len(second) and all(
        one.shape == other.shape and torch.allclose(one.float(), other.float(), tolerance, tolerance, equal_nan=True)
        for one, other in zip(first, second, strict=True)
    )


def _part(name: str, one: Component, slots: Sequence[Slot], order: Order, device: Any) -> Part:
    flops = flops_of(slots)
    round_of_slots = rotation(slots, last_level_cache_bytes(device), memory_budget_bytes(device))
    return Part(
        component=one.component,
        path=one.path,
        part_of=one.part_of,
        instances=one.instances,
        flops=flops,
        run=_runner(name, one, round_of_slots, order.launch, device),
    )


def _runner(name: str, one: Component, slots: Sequence[Slot], launch: str, device: Any) -> Callable[[int], None]:
    if launch == "eager":
        return eager(slots)
    try:
        return graphed(slots, device)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ComponentsError(f"{name}: {one.component} cannot be captured in a CUDA graph: {reason}") from error
