"""Running a component again and again, each time on the next of its rotated inputs.

What was just read lies in a cache, and is cheaper to read again than it was in the real pass. So a replay goes round:
first over the layers (each layer's attention is another one, with weights and keys of its own, as in a real pass),
and, where all of these together still fit the last-level cache, over copies of their inputs.

What this does not cover: the weights of a model with few small layers, and those of a part that is there only once (the
head, ALBERT's one block), stay in the cache if they fit it; and inputs of a few kilobytes would need thousands of
copies, so there are at most `MOST_SLOTS`. In a real pass such small inputs were written just before they are read, and
are warm as well.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from typing import Any

import torch

from exporter.components.models.calls import Call

MOST_SLOTS = 64
"""Inputs that a component goes round at most, unless it has more layers."""

Slot = Sequence[Call]
"""The calls that make up one run of a component."""


def rotation(occurrences: Sequence[Slot], cache_bytes: int, budget_bytes: int) -> list[Slot]:
    """Occurrences, and as many copies of them as exceed a cache.

    Args:
        occurrences: of the component in the real pass; at least one.
        cache_bytes: to be exceeded.
        budget_bytes: what copies may take.
    """
    inputs = sum(_distinct_bytes(call.tensors for slot in occurrences for call in slot))
    weights = sum(_merged(call.weight_bytes for slot in occurrences for call in slot).values())
    wanted = -(-max(cache_bytes - weights, 0) // max(inputs, 1))
    affordable = budget_bytes // max(inputs, 1)
    copies = min(wanted, affordable, MOST_SLOTS // len(occurrences) - 1)
    return [*occurrences, *(slot for _ in range(copies) for slot in _twins(occurrences))]


def _twins(occurrences: Sequence[Slot]) -> list[Slot]:
    """One copy of them all; what they share, their twins share."""
    clones: dict[int, Any] = {}
    return [tuple(call.twin(clones) for call in slot) for slot in occurrences]


def _distinct_bytes(groups: Iterable[Iterable[torch.Tensor]]) -> Iterable[int]:
    return {one.data_ptr(): one.nbytes for group in groups for one in group}.values()


def _merged(sizes: Iterable[dict[int, int]]) -> dict[int, int]:
    return {place: size for each in sizes for place, size in each.items()}


def eager(slots: Sequence[Slot]) -> Callable[[int], None]:
    """What runs a component so many times, kernel by kernel."""
    turns = cycle(slots)

    def run(count: int) -> None:
        with torch.inference_mode():
            for slot in islice(turns, count):
                for call in slot:
                    call.again()

    return run


def graphed(slots: Sequence[Slot], device: torch.device) -> Callable[[int], None]:
    """What runs a component so many times by CUDA graphs: one for each slot, one for a whole round of them.

    Launching kernels one by one can take longer than a small kernel runs, and then the device idles while the
    component is said to run. A graph launches all of them at once.

    Raises:
        RuntimeError: something in it cannot be captured; PyTorch says what.
    """
    pool = torch.cuda.graph_pool_handle()
    singles = [_graph([slot], device, pool) for slot in slots]
    whole = _graph(slots, device, pool) if len(slots) > 1 else singles[0]
    position = 0

    def run(count: int) -> None:
        nonlocal position
        with torch.cuda.device(device):
            while count > 0:
                if position == 0 and count >= len(slots):  # naming the slots keeps alive what the graphs read
                    whole.replay()
                    count -= len(slots)
                else:
                    singles[position].replay()
                    position, count = (position + 1) % len(slots), count - 1

    return run


def _graph(slots: Sequence[Slot], device: torch.device, pool: object) -> torch.cuda.CUDAGraph:
    """Kernels choose and allocate when they first run, which a graph must not see; so they run before, on the side."""
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side), torch.inference_mode():
        _once(slots)
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.device(device), torch.cuda.graph(graph, pool=pool):
        _once(slots)
    return graph


def _once(slots: Sequence[Slot]) -> None:
    for slot in slots:
        for call in slot:
            call.again()
