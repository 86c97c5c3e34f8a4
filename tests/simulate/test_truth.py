"""Requests held against the truth, each once, whatever they are called and however often they are told."""

import pytest

from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import Instant, Joules
from exporter.simulate.engine import Passage
from exporter.simulate.load import Request
from exporter.simulate.replica import News
from exporter.simulate.truth import Truth


def gone(id_: str, joules: float) -> Passage:
    return Passage(Request(id_, 0.0, 10, 10), 0.0, 0, 10, end=1.0, outcome="ok", decode_joules=joules)


def settled(id_: str, joules: float) -> SettledRequest:
    return SettledRequest(
        server="simulated-0",
        model="simulated/llama-3.1-8b",
        id=id_,
        start=Instant(0.0),
        end=Instant(1.0),
        outcome="ok",
        method="simulated",
        joules=Joules(joules),
        joules_by_device={},
        late_joules=Joules(0.0),
        prompt_tokens=10,
        output_tokens=10,
        time_to_first_token_seconds=None,
        queued_seconds=0.0,
    )


POLICIES = {"simulated-0": "steps"}


def test_the_share_error_is_the_sum_of_differences_over_the_sum_of_truths() -> None:
    truth = Truth()
    truth.tell(News(gone=[gone("a", 10.0), gone("b", 30.0)]))
    truth.compare([settled("a", 12.0), settled("b", 28.0)], POLICIES)
    assert truth.compared["steps"].share_error == pytest.approx(4.0 / 40.0)
    assert (truth.ended, truth.joules) == (2, 40.0)


def test_a_request_that_is_told_twice_or_is_not_ours_is_compared_once_or_never() -> None:
    truth = Truth()
    truth.tell(News(gone=[gone("a", 10.0)]))
    for _ in range(2):
        truth.compare([settled("a", 10.0), settled("stranger", 99.0)], POLICIES)
    assert truth.compared["steps"].requests == 1


def test_a_completion_is_known_by_the_id_of_its_prompt() -> None:
    truth = Truth()
    truth.tell(News(gone=[gone("cmpl-x", 10.0)]))
    truth.compare([settled("cmpl-x-0", 10.0)], POLICIES)
    assert truth.compared["steps"].requests == 1


def test_what_is_never_settled_is_not_kept_for_ever() -> None:
    truth = Truth()
    for number in range(70):
        truth.tell(News(gone=[gone(f"{number}-{i}", 1.0) for i in range(1000)]))
    assert truth.ended == 70_000
    assert len(truth._waiting) == 65_536
