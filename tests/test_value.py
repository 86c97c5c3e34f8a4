"""Values are like frozen dataclasses, but for what only the type checker sees."""

import pytest

from exporter.domain.value import value


@value
class Point:
    """Where something is."""

    x: float
    y: float = 0.0


def test_values_are_compared_and_found_by_what_they_hold() -> None:
    assert Point(1.0) == Point(1.0, 0.0) != Point(2.0)
    assert {Point(1.0): "here"}[Point(1.0, 0.0)] == "here"


def test_values_have_room_for_nothing_else() -> None:
    with pytest.raises(AttributeError):
        setattr(Point(1.0), "z", 3.0)  # noqa: B010 - the type checker knows
