import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.server.scatter import Frame, Point, beyond, frame, scatter, ticks

energies = st.floats(min_value=1e-6, max_value=1e9)


def marks(svg: str, css_class: str) -> list[tuple[float, float]]:
    """Where dots of this class stand, in the picture's own units."""
    found = re.search(rf'<path class="{css_class}" d="([^"]*)"', svg)
    return [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h0", found[1])] if found else []


def within(*actual: float) -> Frame:
    found = frame(actual)
    assert found is not None
    return found


def test_a_right_prediction_stands_on_the_diagonal() -> None:
    picture = scatter([Point(value, value, metered=True) for value in (1.0, 7.0, 900.0)], within(1.0, 900.0), "")
    start, end = re.search(r'class="truth" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', picture), marks(picture, "alone")
    assert start
    x0, y0, x1, y1 = map(float, start.groups())
    for x, y in end:
        assert (x - x0) / (x1 - x0) == pytest.approx((y - y0) / (y1 - y0), abs=0.002)


def test_too_much_stands_above_the_diagonal_and_too_little_below() -> None:
    frame_ = within(10.0)
    [(_, right)] = marks(scatter([Point(10.0, 10.0, metered=True)], frame_, ""), "alone")
    [(_, much)] = marks(scatter([Point(10.0, 15.0, metered=True)], frame_, ""), "alone")
    [(_, little)] = marks(scatter([Point(10.0, 6.0, metered=True)], frame_, ""), "alone")
    assert much < right < little, "down is up in a picture's own units"


def test_metered_energy_and_shares_are_drawn_apart() -> None:
    picture = scatter([Point(5.0, 5.0, metered=True), *[Point(6.0, 5.0, metered=False)] * 2], within(5.0), "")
    assert (len(marks(picture, "alone")), len(marks(picture, "share"))) == (1, 2)


def test_a_wild_prediction_stands_on_the_frame_and_is_counted() -> None:
    points = [Point(10.0, 1e9, metered=True), Point(10.0, 11.0, metered=True), Point(10.0, 0.0, metered=True)]
    top, _, bottom = marks(scatter(points, within(10.0), ""), "alone")
    assert top[1] == 8.0
    assert bottom[1] == 202.0
    assert beyond(points, within(10.0)) == 2


def test_the_frame_is_the_actual_energies_affair_alone() -> None:
    assert frame([1.0, 100.0]) == frame([100.0, 0.0, 1.0])
    assert frame([]) is None
    assert frame([0.0]) is None


@given(st.lists(energies, min_size=1, max_size=20), st.floats(min_value=0.0, allow_nan=False))
def test_every_request_is_drawn_inside_the_picture(actual: list[float], predicted: float) -> None:
    points = [Point(value, predicted, metered=False) for value in actual]
    drawn = marks(scatter(points, within(*actual), ""), "share")
    assert len(drawn) == len(actual)
    assert all(40 <= x <= 234 and 8 <= y <= 202 for x, y in drawn)


@given(energies, energies)
def test_there_are_always_marks_to_read_energies_by(low: float, high: float) -> None:
    frame_ = within(low, high)
    found = ticks(frame_)
    assert 2 <= len(found) <= 18
    assert all(frame_.holds(mark) for mark in found)


def test_marks_are_round() -> None:
    assert ticks(Frame(math.log10(15.0), math.log10(150.0))) == [20.0, 50.0, 100.0]
    assert ticks(Frame(0.5, 3.6)) == [10.0, 100.0, 1000.0]
