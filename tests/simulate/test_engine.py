"""The engine one step at a time: the same as all at once, whoever asks how often."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulate.engine import CHUNKED, PREFILL_APART, Engine, Passage, Scheduler
from exporter.simulate.load import MIXED, Request, poisson_times, requests
from exporter.simulate.physics import EIGHT_B, random_physics

SMALL = Scheduler(max_num_seqs=4, step_tokens=256)
SCHEDULERS = [CHUNKED, PREFILL_APART, SMALL]


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def an_engine(scheduler: Scheduler = CHUNKED) -> Engine:
    return Engine(EIGHT_B, scheduler, rng())


def a_load(seed: int) -> tuple[Request, ...]:
    return requests(rng(seed), poisson_times(rng(seed), 4.0, 10.0), MIXED, abort_fraction=0.2, cached_fraction=0.3)


def story(passage: Passage) -> tuple[object, ...]:
    one = passage
    return (
        one.request.id,
        one.arrival,
        one.start,
        one.first_token,
        one.end,
        one.outcome,
        one.output_tokens,
        one.joules,
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SCHEDULERS), st.floats(0.001, 3.0))
def test_requests_as_they_come_are_served_as_if_all_had_been_known(
    seed: int, scheduler: Scheduler, pace: float
) -> None:
    load, physics = a_load(seed), random_physics(rng(seed))
    at_once, live = Engine(physics, scheduler, rng(seed)), Engine(physics, scheduler, rng(seed))
    for one in load:
        at_once.submit(one, one.at)
    at_once.advance()

    asked = rng(seed)
    for one in load:
        while asked.random() < 0.7 and live.now < one.at:
            live.advance(min(one.at, live.now + asked.exponential(pace)))
        live.advance(one.at)
        live.submit(one, one.at)
    for until in np.arange(load[-1].at if load else 0.0, at_once.now + pace, pace).tolist():
        live.advance(until)
    assert live.begun == at_once.begun
    assert [story(one) for one in live.gone] == [story(one) for one in at_once.gone]
    assert [one.request.id for one in live.firsts] == [one.request.id for one in at_once.firsts]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SCHEDULERS))
def test_whoever_leaves_whenever_true_joules_sum_to_the_energy_of_the_steps(seed: int, scheduler: Scheduler) -> None:
    engine, chance = Engine(random_physics(rng(seed)), scheduler, rng(seed)), rng(seed)
    passages: list[Passage] = []
    for one in a_load(seed):
        engine.advance(one.at)
        passages.append(engine.submit(one, one.at))
        if chance.random() < 0.4:
            engine.abort(passages[chance.integers(len(passages))], one.at)
        if chance.random() < 0.1:
            engine.clear(one.at, "error")
    engine.advance()
    assert len(engine.gone) == len(passages)
    assert {id(one) for one in engine.gone} == {id(one) for one in passages}
    assert sum(one.joules for one in passages) == pytest.approx(sum(step.joules for step in engine.begun), rel=1e-9)


def test_a_steps_tokens_are_there_when_it_ends() -> None:
    engine = an_engine()
    passage = engine.submit(Request("a", 0.0, 100, 3), 0.0)
    engine.advance(1e-9)
    (step,) = engine.begun
    engine.advance(math.nextafter(step.end, 0.0))
    assert (passage.start, passage.output_tokens) == (0.0, 0)
    engine.advance(step.end)
    assert (passage.first_token, passage.output_tokens) == (step.end, 1)


def test_what_comes_when_a_step_begins_is_in_it() -> None:
    engine = an_engine()
    engine.submit(Request("a", 0.0, 100, 3), 0.0)
    engine.advance(1e-9)
    end = engine.begun[0].end
    engine.advance(end)
    engine.submit(Request("b", 0.0, 100, 3), end)
    engine.advance(end + 1e-9)
    assert engine.begun[1].members == 2


def test_a_client_that_leaves_pays_for_the_step_that_runs_and_no_more() -> None:
    engine = an_engine()
    leaving, staying = (engine.submit(Request(name, 0.0, 100, 500), 0.0) for name in "ab")
    engine.advance(1.0)
    engine.abort(leaving, 1.0)
    engine.advance()
    assert leaving.outcome == "aborted"
    assert leaving.end == next(step.end for step in engine.begun if step.end >= 1.0)
    assert staying.outcome == "ok"
    assert all(step.members == 1 for step in engine.begun if step.start >= leaving.end)


def test_who_leaves_the_queue_costs_nothing() -> None:
    engine = an_engine(Scheduler(max_num_seqs=1))
    engine.submit(Request("a", 0.0, 100, 500), 0.0)
    queued = engine.submit(Request("b", 0.0, 100, 500), 0.0)
    engine.advance(1.0)
    assert (engine.running, engine.queued) == (1, 1)
    engine.abort(queued, 1.0)
    engine.advance()
    assert (queued.start, queued.outcome, queued.joules) == (None, "aborted", 0.0)


def test_a_client_that_leaves_after_the_end_changes_nothing() -> None:
    engine = an_engine()
    passage = engine.submit(Request("a", 0.0, 100, 3), 0.0)
    engine.advance(5.0)
    engine.abort(passage, 5.0)
    engine.advance()
    assert (passage.outcome, len(engine.gone)) == ("ok", 1)


def test_a_crash_ends_everything_that_is_there_and_nothing_that_comes_later() -> None:
    engine = an_engine(SMALL)
    lost = [engine.submit(Request(f"r{i}", 0.0, 300, 200), 0.0) for i in range(9)]
    engine.advance(0.5)
    engine.clear(0.5, "error")
    saved = engine.submit(Request("later", 0.0, 300, 200), 0.5)
    engine.advance()
    assert {one.outcome for one in lost} == {"error"}
    assert saved.outcome == "ok"


def test_requests_that_came_during_a_step_are_queued() -> None:
    engine = an_engine()
    engine.submit(Request("a", 0.0, 2000, 5), 0.0)
    engine.advance(0.01)
    engine.submit(Request("b", 0.0, 10, 5), 0.01)
    assert (engine.running, engine.queued) == (1, 1)
