"""Predicted against actual energy as a picture: both axes logarithmic and alike, so that the diagonal is the truth.

Points are zero-length strokes of two paths: a few bytes each, which is what a page of six pictures can afford. The
picture is fixed by the actual energies alone; a prediction beyond its frame is drawn on the frame and counted, because
one proxy's wild guess must not shrink everybody else's picture to a corner. Attributes only: no inline style.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exporter.server.quantities import joules

_SIDE = 194.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 8.0, 8.0, 26.0
_WIDTH, _HEIGHT = _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _BOTTOM
_ROOM = 2.5  # beyond the smallest and the largest actual energy, as a factor
_LEAST_DECADES_FOR_DECADES = 3


@dataclass(frozen=True, slots=True)
class Point:
    """A request, in joules. `metered`: it ran alone, so its actual energy is no matter of any rule."""

    actual: float
    predicted: float
    metered: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """The energies at the ends of both axes, as decimal logarithms."""

    low: float
    high: float

    def across(self, value: float) -> float:
        """Where a value stands between the ends, 0 to 1; beyond them, on the nearer."""
        return min(max((_logarithm(value) - self.low) / (self.high - self.low), 0.0), 1.0)

    def holds(self, value: float) -> bool:
        """Whether it stands between the ends."""
        return self.low <= _logarithm(value) <= self.high


def frame(actual: Iterable[float]) -> Frame | None:
    """A frame around energies above zero; None where there are none."""
    logarithms = [math.log10(value) for value in actual if value > 0]
    if not logarithms:
        return None
    room = math.log10(_ROOM)
    return Frame(min(logarithms) - room, max(logarithms) + room)


def beyond(points: Iterable[Point], within: Frame) -> int:
    """How many points stand on the frame because they lie beyond it."""
    return sum(not (within.holds(point.predicted) and within.holds(point.actual)) for point in points)


def scatter(points: Sequence[Point], within: Frame, label: str) -> str:
    """The picture as SVG. `label` is HTML already, and says to those who cannot see it what it shows."""
    shares = _dots("share", (point for point in points if not point.metered), within)
    metered = _dots("alone", (point for point in points if point.metered), within)
    truth = f'<path class="truth" d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}"/>'
    box = f'<rect class="box" x="{_x(0)}" y="{_y(1)}" width="{_SIDE:g}" height="{_SIDE:g}"/>'
    content = f"{_grid(within)}{box}{truth}{shares}{metered}{_titles()}"
    return f'<svg class="scatter" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{label}">{content}</svg>'


def ticks(within: Frame) -> list[float]:
    """Round energies to mark: decades, and twos and fives between them where there are few."""
    decades = range(math.floor(within.low), math.ceil(within.high) + 1)
    steps = (1,) if within.high - within.low >= _LEAST_DECADES_FOR_DECADES else (1, 2, 5)
    marks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [mark for mark in marks if within.holds(mark)]


def _logarithm(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf


def _dots(css_class: str, points: Iterable[Point], within: Frame) -> str:
    marks = "".join(f"M{_x(within.across(one.actual))} {_y(within.across(one.predicted))}h0" for one in points)
    return f'<path class="{css_class}" d="{marks}"/>' if marks else ""


def _grid(within: Frame) -> str:
    return "".join(_line(mark, within) for mark in ticks(within))


def _line(mark: float, within: Frame) -> str:
    where, name = within.across(mark), joules(mark)
    lines = f'<path class="grid" d="M{_x(where)} {_y(0)}V{_y(1)}M{_x(0)} {_y(where)}H{_x(1)}"/>'
    below = f'<text x="{_x(where)}" y="{_y(0) + 10:g}" text-anchor="middle">{name}</text>'
    beside = f'<text x="{_x(0) - 3:g}" y="{_y(where) + 3:g}" text-anchor="end">{name}</text>'
    return lines + below + beside


def _titles() -> str:
    along = f'<text class="axis" x="{_x(1)}" y="{_HEIGHT - 4:g}" text-anchor="end">actual</text>'
    up = f'<text class="axis" x="{_x(0) + 4:g}" y="{_y(1) + 10:g}">predicted</text>'
    return along + up


def _x(across: float) -> float:
    return round(_LEFT + across * _SIDE, 1)


def _y(up: float) -> float:
    return round(_TOP + (1.0 - up) * _SIDE, 1)
