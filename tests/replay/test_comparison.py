from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import Joules
from exporter.replay.comparison import Comparison
from tests.metrics.examples import settled

_joules = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=30)


def requests(*joules: float) -> list[SettledRequest]:
    return [replace(settled(str(number)), joules=Joules(mine)) for number, mine in enumerate(joules)]


def test_joules_that_go_elsewhere_are_summed() -> None:
    comparison = Comparison(["steps", "time"])
    comparison.take([requests(10.0, 20.0), requests(16.0, 14.0)])
    comparison.take([requests(5.0), requests(5.0)])
    assert comparison.joules == {"steps": 35.0, "time": 35.0}
    assert comparison.moved == {"steps": 0.0, "time": 12.0}
    assert comparison.requests == 3


def test_requests_are_told_apart_by_their_ids_and_not_by_their_order() -> None:
    comparison = Comparison(["steps", "time"])
    comparison.take([requests(10.0, 20.0), requests(10.0, 20.0)[::-1]])
    assert comparison.moved["time"] == 0.0


def test_a_request_that_only_one_policy_settled_is_counted_and_not_compared() -> None:
    comparison = Comparison(["steps", "time"])
    comparison.take([requests(10.0, 20.0), requests(10.0)])
    assert (comparison.requests, comparison.unmatched) == (1, 1)


def test_another_policy_is_scored_against_the_first_as_a_proxy_would_be() -> None:
    comparison = Comparison(["steps", "time", "tokens"])
    comparison.take([requests(10.0, 20.0, 30.0), requests(11.0, 22.0, 33.0), requests(10.0, 20.0, 30.0)])
    time, tokens = comparison.standings()
    assert (time.kind, time.name, time.ground, time.samples) == ("policy", "time", "request", 3)
    assert time.scores["mape"] == pytest.approx(0.1)
    assert time.scores["bias"] == pytest.approx(0.1)
    assert time.scores["r2"] == pytest.approx(1.0 - 14.0 / 200.0)
    assert time.scores["pearson"] == pytest.approx(1.0)
    assert (tokens.name, tokens.scores["mape"]) == ("tokens", 0.0)


def test_a_single_policy_has_nothing_to_be_held_against() -> None:
    comparison = Comparison(["steps"])
    comparison.take([requests(10.0, 20.0)])
    assert list(comparison.standings()) == []
    assert comparison.joules == {"steps": 30.0}


@given(first=_joules, data=st.data())
def test_what_moves_is_never_more_than_what_both_gave(first: list[float], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.floats(0.0, 1e6), min_size=len(first), max_size=len(first)))
    comparison = Comparison(["steps", "time"])
    comparison.take([requests(*first), requests(*second)])
    assert 0.0 <= comparison.moved["time"] <= 1.000001 * (sum(first) + sum(second))


def test_scores_do_not_depend_on_how_requests_came_in_batches() -> None:
    joules = [float(7919 * number % 104729) + 1.0 for number in range(2_500)]
    said = [mine * (1.1 if number % 2 else 0.8) for number, mine in enumerate(joules)]
    whole, pieces = Comparison(["steps", "time"]), Comparison(["steps", "time"])
    both = [requests(*joules), requests(*said)]
    whole.take(both)
    for first in range(0, 2_500, 7):
        pieces.take([each[first : first + 7] for each in both])
    [one], [other] = whole.standings(), pieces.standings()
    assert one.samples == other.samples == 2_500
    assert {name: pytest.approx(score) for name, score in one.scores.items()} == other.scores
