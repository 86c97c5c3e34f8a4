"""E = E0 + k x FLOPs: the paper's relation between a component's energy and its size, fitted over a sweep."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from exporter.domain.dissection import ComponentEnergy, ComponentName, Dissection
from exporter.domain.readings import Method

Axis = Literal["sequence", "batch", "hidden_size", "heads"]
"""What was swept."""

LEAST_POINTS = 3
"""Two points lie on a line whatever the truth is."""


@dataclass(frozen=True, slots=True)
class Series:
    """One component along a sweep; everything else stays the same.

    Attributes:
        title: model and case, without what is swept.
        component, module: which.
        axis: what is swept. values: of it, ascending.
        flops: of one run. gross_joules: of one run, mean over trials.
        method: how the energy came to be known.
    """

    title: str
    component: ComponentName
    module: str
    axis: Axis
    values: tuple[int, ...]
    flops: tuple[int, ...]
    gross_joules: tuple[float, ...]
    method: Method


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through a series, by least squares.

    Attributes:
        at_rest_joules: E0, what a run costs before its first operation. per_flop_joules: k.
        r2: share of the variance that it explains; None where the energy does not vary.
    """

    series: Series
    at_rest_joules: float
    per_flop_joules: float
    r2: float | None


def series(dissections: Iterable[Dissection]) -> list[Series]:
    """Every component along every axis on which at least three sizes were measured."""
    known = list(dissections)
    return [one for axis in get_args(Axis) for group in _groups(known, axis) for one in _along(group, axis)]


def lines(dissections: Iterable[Dissection]) -> list[Line]:
    """A line through each series."""
    return [fitted(one) for one in series(dissections)]


def fitted(one: Series) -> Line:
    """The line through a series, by ordinary least squares."""
    flops, joules = np.array(one.flops, dtype=float), np.array(one.gross_joules)
    per_flop, at_rest = np.polyfit(flops / flops.max(), joules, 1)
    residual = joules - (at_rest + per_flop * flops / flops.max())
    total = float(((joules - joules.mean()) ** 2).sum())
    r2 = 1.0 - float((residual**2).sum()) / total if total > 0.0 else None
    return Line(one, float(at_rest), float(per_flop / flops.max()), r2)


def size(one: Dissection, axis: Axis) -> int | None:
    """How large a dissection is along an axis."""
    if axis == "sequence":
        return one.case.sequence
    return one.case.batch if axis == "batch" else one.shape.get(axis)


def _groups(dissections: Sequence[Dissection], axis: Axis) -> list[list[Dissection]]:
    """Those alike in everything but the axis, by size; each size once, the latest."""
    groups: dict[tuple[object, ...], dict[int, Dissection]] = {}
    for one in sorted(dissections, key=lambda one: one.began):
        here = size(one, axis)
        if here is not None:
            groups.setdefault(_rest(one, axis), {})[here] = one
    return [[group[key] for key in sorted(group)] for group in groups.values() if len(group) >= LEAST_POINTS]


def _rest(one: Dissection, axis: Axis) -> tuple[object, ...]:
    sizes = tuple(size(one, other) for other in get_args(Axis) if other != axis)
    case = (one.case.phase, one.case.dtype, one.case.attention, one.launch, one.weights)
    return one.model, *case, *sizes, one.device.name, one.device.model, one.device.method


def _along(group: Sequence[Dissection], axis: Axis) -> list[Series]:
    first = group[0]
    found = [_one_series(group, axis, part) for part in first.components]
    return [one for one in found if one is not None and len(set(one.flops)) >= LEAST_POINTS]


def _one_series(group: Sequence[Dissection], axis: Axis, like: ComponentEnergy) -> Series | None:
    points = [(one, part) for one in group for part in one.components if _alike(part, like) and part.flops]
    if len(points) < LEAST_POINTS:
        return None
    return Series(
        title=_title(group[0], axis),
        component=like.component,
        module=like.path,
        axis=axis,
        values=tuple(size(one, axis) or 0 for one, _ in points),
        flops=tuple(part.flops or 0 for _, part in points),
        gross_joules=tuple(part.gross_joules.mean for _, part in points),
        method=group[0].device.method,
    )


def _alike(one: ComponentEnergy, other: ComponentEnergy) -> bool:
    return (one.component, one.path) == (other.component, other.path)


def _title(one: Dissection, axis: Axis) -> str:
    others = [
        text
        for text, of in (
            (one.case.phase, None),
            (f"batch {one.case.batch}", "batch"),
            (f"sequence {one.case.sequence}", "sequence"),
            (one.case.dtype, None),
        )
        if of != axis
    ]
    return f"{one.model}: {', '.join(others)}"
