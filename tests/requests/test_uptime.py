from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.parts.stamps import Moment
from exporter.requests.parts.uptime import Runs, Uptime

NOW = 1_000_000.0


def _line(before: float, after: float) -> Line:
    return Line("", Instant(before), Instant(after))


def test_an_uptime_is_nothing_until_a_line_was_seen_to_arrive() -> None:
    clock = Uptime()
    clock.hear(5.0, _line(-inf, NOW), starting=False)
    assert clock.at(5.0) is None


def test_an_uptime_tightens_with_every_line() -> None:
    clock = Uptime()
    clock.hear(0.03, _line(NOW, NOW + 0.1), starting=False)
    clock.hear(0.58, _line(NOW + 0.5, NOW + 0.6), starting=False)
    assert clock.at(0.0) == pytest.approx(Moment(Instant(NOW - 0.005), 0.025))


def test_an_uptime_that_goes_back_for_two_lines_is_another_process() -> None:
    clock = Uptime()
    assert clock.hear(100.0, _line(NOW, NOW + 0.1), starting=False) == "same"
    assert clock.hear(99.9, _line(NOW, NOW + 0.1), starting=False) == "same"
    assert clock.hear(0.05, _line(NOW + 3.0, NOW + 3.1), starting=False) == "doubted"
    assert clock.hear(0.06, _line(NOW + 3.0, NOW + 3.1), starting=False) == "new"
    assert clock.began() == pytest.approx(Moment(Instant(NOW + 3.045), 0.045))


def test_one_line_that_comes_late_is_no_new_process_and_moves_no_clock() -> None:
    clock, untouched = Uptime(), Uptime()
    for one in (clock, untouched):
        one.hear(100.0, _line(NOW, NOW + 0.1), starting=False)
    assert clock.hear(0.05, _line(NOW + 3.0, NOW + 3.1), starting=True) == "doubted"
    for one in (clock, untouched):
        assert one.hear(103.05, _line(NOW + 3.0, NOW + 3.1), starting=False) == "same"
    assert clock.at(103.0) == untouched.at(103.0)


@pytest.mark.parametrize(
    ("clocks", "last"), [((5.0, 0.1, 0.2), "new"), ((5.0, 0.1, 5.1), "same"), ((5.0, 4.9), "same")]
)
def test_a_line_in_doubt_is_judged_by_the_next_one(clocks: tuple[float, ...], last: str) -> None:
    runs = Runs()
    assert [runs.hear(clock, starting=False) for clock in clocks][-1] == last


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 1000.0), st.floats(0.0, 0.1)), min_size=1, max_size=20))
def test_an_uptimes_uncertainty_holds_the_truth(lines: list[tuple[float, float]]) -> None:
    clock = Uptime()
    for elapsed, lag in sorted(lines):
        clock.hear(elapsed, _line(NOW + elapsed + lag - 0.1, NOW + elapsed + lag), starting=False)
        found = clock.at(elapsed)
        assert found is not None
        assert abs(found.at - (NOW + elapsed)) <= found.uncertainty + 1e-6
