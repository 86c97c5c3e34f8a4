"""One request counts once, however many sources tell of it."""

import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Completed, Counted, Ended, Outcome, ServerRestarted, Started
from exporter.domain.units import Instant
from exporter.feeds.feed import Told
from exporter.feeds.joining import Joiner
from exporter.feeds.telling import merged, names_of
from tests.feeds.stories import BEGIN, Ids, Passed, Source, load, news, play

FRONT = Source()
VLLM = Source("engine", is_front=False, knows_tokens=False)
LLAMA = Source("local", is_front=False)
SPANS = Source("engine", is_front=False, tells_starts=False, lag=5.0)
NGINX = Source("other", tells_starts=False, knows_tokens=False)


def told(sources: list[Source], *, seed: int = 1, number: int = 80) -> Passed:
    return play(Joiner(len(sources)), news(load(seed, number), sources, seed))


@pytest.mark.parametrize(
    "sources",
    [
        [FRONT, VLLM],
        [VLLM, FRONT],
        [FRONT, LLAMA],
        [LLAMA, FRONT],
        [FRONT, SPANS],
        [SPANS, FRONT],
        [NGINX, LLAMA],
        [LLAMA, NGINX],
        [NGINX, VLLM],
        [VLLM, NGINX, SPANS],
        [FRONT, NGINX, LLAMA],
    ],
    ids=str,
)
def test_a_request_that_several_sources_tell_of_counts_once(sources: list[Source]) -> None:
    assert len(told(sources).lives) == 80


def test_what_only_one_knows_is_known_of_the_request() -> None:
    requests = load(2, 60)
    lives = play(Joiner(2), news(requests, [VLLM, FRONT])).lives
    assert [lives[f"chatcmpl-{one.name}"].output_tokens for one in requests] == [one.tokens for one in requests]


@pytest.mark.parametrize("log", [VLLM, LLAMA, SPANS], ids=str)
def test_a_request_ran_when_it_executed_and_queued_before(log: Source) -> None:
    requests = load(3, 60, a_second=0.5)
    lives = play(Joiner(2), news(requests, [FRONT, log])).lives
    learned = 10 if log is SPANS else 0  # until it is known how late spans come, they are not waited for
    for one in requests[learned:]:
        life = lives[one.name]
        assert life.start == pytest.approx(one.start, abs=0.003)
        assert life.end == pytest.approx(one.end, abs=0.025)
        assert life.queued_seconds == pytest.approx(one.start - one.arrival, abs=0.003)


def test_a_front_tells_the_arrival_to_a_log_that_is_believed_more() -> None:
    executed = Completed("7", _on(2.0), _on(5.0), 0.01, 0.01, output_tokens=9)
    passed = Completed("#1", _on(0.5), _on(5.0), 0.001, 0.001, queued_seconds=0.25)
    together = merged([executed, passed])
    assert (together.start, together.end, together.output_tokens) == (_on(2.0), _on(5.0), 9)
    assert together.queued_seconds == pytest.approx(1.75)
    unsure = replace(passed, start=_on(1.6), start_uncertainty=0.5, queued_seconds=0.0)
    assert merged([executed, unsure]).queued_seconds == 0.0


def test_nameless_requests_are_told_apart_by_their_tokens() -> None:
    requests = load(4, 200)
    lives = play(Joiner(2), news(requests, [replace(FRONT, knows_tokens=True), LLAMA])).lives
    right = sum(abs(lives[one.name].start - one.start) < 0.003 for one in requests)
    assert right > 190


def test_traffic_that_goes_past_the_leader_counts_too() -> None:
    requests = load(5, 100)
    lives = play(Joiner(2), news(requests, [replace(FRONT, sees=0.6), VLLM], seed=9)).lives
    assert len(lives) == 100


def test_a_witness_that_misses_some_holds_nothing_up_for_ever() -> None:
    assert len(told([FRONT, replace(VLLM, sees=0.0)]).lives) == 80
    assert len(told([FRONT, replace(VLLM, sees=0.5)]).lives) == 80


def test_starts_are_passed_on_at_once_and_only_once() -> None:
    joiner = Joiner(2)
    begun = Told(Started("request-one-of-many", Instant(BEGIN)), Instant(BEGIN))
    assert joiner.hear(0, begun, Instant(BEGIN)) == [begun]
    same = Told(Started("chatcmpl-request-one-of-many", Instant(BEGIN)), Instant(BEGIN))
    assert joiner.hear(1, same, Instant(BEGIN)) == []


def test_an_end_that_the_leader_lost_is_taken_from_the_witness() -> None:
    joiner, passed = Joiner(2), Passed()
    passed.take(joiner.hear(0, _at(0.0, Started("cmpl-abc-def-of-x", _on(0.0))), _on(0.1)))
    joiner.hear(1, _at(0.0, Started("abc-def-of-x", _on(0.0))), _on(0.1))
    joiner.hear(1, _at(3.0, Ended("abc-def-of-x", _on(3.0), output_tokens=7)), _on(3.1))
    passed.take(joiner.release(_on(20.0)))
    assert passed.lives["cmpl-abc-def-of-x"].end == _on(3.0)
    assert passed.lives["cmpl-abc-def-of-x"].output_tokens == 7
    late = joiner.hear(0, _at(21.0, Ended("cmpl-abc-def-of-x", _on(3.0))), _on(21.0))
    assert (late, joiner.repeats) == ([], 1)


def test_while_an_end_is_held_nothing_after_it_is_complete() -> None:
    joiner = Joiner(2)
    joiner.hear(0, _at(0.0, Started("request-one-of-many", _on(0.0))), _on(0.1))
    joiner.hear(0, _at(2.0, Ended("request-one-of-many", _on(2.0))), _on(2.1))
    assert joiner.complete_until(_on(2.1)) == _on(2.0)
    joiner.release(_on(10.0))
    assert joiner.complete_until(_on(10.0)) == _on(10.0)


def test_only_the_leader_says_that_requests_were_served_or_that_the_server_restarted() -> None:
    joiner = Joiner(2)
    for event in (Counted(_on(0.0)), ServerRestarted(_on(0.0))):
        assert joiner.hear(0, _at(0.0, event), _on(0.1)) == [_at(0.0, event)]
        assert joiner.hear(1, _at(0.0, event), _on(0.1)) == []


@pytest.mark.parametrize("cut", range(5, 320, 35))
@pytest.mark.parametrize("sources", [[FRONT, VLLM], [LLAMA, FRONT], [NGINX, VLLM]], ids=str)
def test_a_restart_changes_nothing(sources: list[Source], cut: int) -> None:
    story = news(load(6, 80), sources)
    through = play(Joiner(2), story).lives
    first, passed = Joiner(2), Passed()
    _hear(first, passed, story[:cut])
    second = Joiner(2)
    second.restore(json.loads(json.dumps(first.snapshot())))
    _hear(second, passed, story[cut:])
    passed.take(second.release(_on(600.0)))
    assert passed.lives.keys() == through.keys()


def _hear(joiner: Joiner, passed: Passed, story: list) -> None:  # type: ignore[type-arg]
    for at, number, event in story:
        passed.take(joiner.hear(number, Told(event, Instant(at)), Instant(at)))
        passed.take(joiner.release(Instant(at)))


_sources = st.builds(
    Source,
    ids=st.sampled_from(get_args(Ids)),
    is_front=st.booleans(),
    tells_starts=st.booleans(),
    lag=st.sampled_from([0.0, 0.05, 1.0]),
    knows_tokens=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_sources, min_size=2, max_size=3), st.integers(0, 10_000), st.sampled_from([0.3, 3.0, 20.0]))
def test_whatever_the_sources_are_like_every_request_counts_once(
    sources: list[Source], seed: int, a_second: float
) -> None:
    requests = load(seed, 40, a_second=a_second)
    passed = play(Joiner(len(sources)), news(requests, sources, seed))
    assert len(passed.lives) == len(requests)
    assert passed.started.keys() <= passed.lives.keys()


@pytest.mark.parametrize("id_", ["31", "#7", "0|12", "0_5", "-"])
def test_numbers_are_no_names(id_: str) -> None:
    assert not names_of(id_)


def test_an_engine_makes_names_of_a_name() -> None:
    assert names_of("chatcmpl-abc-def") & names_of("abc-def")
    assert names_of("cmpl-abc-def-0") & names_of("abc-def")
    assert names_of("x", ["chatcmpl-abc-def"]) & names_of("abc-def")


def test_tellings_that_contradict_each_other_leave_the_first_as_it_was() -> None:
    first = Completed("a", _on(0.0), _on(1.0))
    other = Completed("a", _on(5.0), _on(6.0), outcome="aborted")
    assert merged([first, other]) == replace(first, outcome="aborted")


def _on(seconds: float) -> Instant:
    return Instant(BEGIN + seconds)


def _at(seconds: float, event: Started | Ended | Counted | ServerRestarted) -> Told:
    return Told(event, _on(seconds))


def test_of_two_that_end_together_each_is_joined_with_its_own_outcome() -> None:
    joiner, passed = Joiner(2), Passed()
    for id_, start, end in (("1", 0.0, 4.0), ("2", 1.0, 4.1)):
        passed.take(joiner.hear(0, _at(start, Started(id_, _on(start))), _on(start)))
        outcome: Outcome = "aborted" if id_ == "1" else "ok"
        passed.take(joiner.hear(0, _at(end, Ended(id_, _on(end), outcome=outcome)), _on(end)))
    wholes: list[tuple[str, float, float, Outcome]] = [("a", 0.9, 4.11, "ok"), ("b", -0.1, 4.12, "aborted")]
    for id_, start, end, outcome in wholes:
        whole = Completed(id_, _on(start), _on(end), outcome=outcome)
        joiner.hear(1, Told(whole, _on(end)), _on(end))
    passed.take(joiner.release(_on(20.0)))
    assert {id_: life.outcome for id_, life in passed.lives.items()} == {"1": "aborted", "2": "ok"}


def test_of_two_that_end_together_execution_lies_within_what_the_front_saw() -> None:
    joiner, passed = Joiner(2), Passed()
    for id_, start, end in (("front-one-of-many", 0.0, 4.05), ("front-two-of-many", 2.0, 4.0)):
        passed.take(joiner.hear(0, Told(Completed(id_, _on(start), _on(end)), _on(end)), _on(end)))
    for id_, start, end in (("7", 0.5, 4.02), ("8", 2.01, 3.99)):
        joiner.hear(1, Told(Completed(id_, _on(start), _on(end), output_tokens=int(id_)), _on(end)), _on(end))
    passed.take(joiner.release(_on(20.0)))
    assert [life.output_tokens for life in passed.lives.values()] == [7, 8]
