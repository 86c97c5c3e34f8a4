"""The fleet: what happens depends on the seed and on what is submitted, not on who asks or how often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.units import Instant
from exporter.simulate.engine import Scheduler
from exporter.simulate.fleet import Accepted, Fleet
from exporter.simulate.load import Request
from exporter.simulate.physics import EIGHT_B
from exporter.simulate.plan import Plan
from exporter.simulate.replica import News, Replica

BEGIN = Instant(1_000_000.0)
SMALL = Scheduler(max_num_seqs=2)


def at(seconds: float) -> Instant:
    return Instant(BEGIN + seconds)


def a_fleet(*, replicas: int = 2, most_queued: int = 3) -> Fleet:
    chance = np.random.default_rng(1)
    made = [Replica(f"r{i}", EIGHT_B, chance, scheduler=SMALL, most_queued=most_queued) for i in range(replicas)]
    return Fleet(tuple(made), BEGIN, iter(()))


def a_request(name: str = "a") -> Request:
    return Request(name, 0.0, 100, 400)


def ends(fleet: Fleet) -> list[list[tuple[str, float | None, float]]]:
    return [[(one.request.id, one.end, one.joules) for one in news.gone] for _, news in fleet.take_news()]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0.001, 4.0), min_size=1, max_size=40))
def test_how_often_it_is_advanced_changes_nothing(pauses: list[float]) -> None:
    plan = Plan(batch=3, gpus=2, load="bursts")
    asked, at_once = (Fleet(plan.build_replicas(), BEGIN, plan.build_load()) for _ in range(2))
    for moment in np.cumsum(pauses).tolist():
        asked.advance(at(moment))
    asked.advance(at(40.0 + sum(pauses)))
    at_once.advance(at(40.0 + sum(pauses)))
    assert ends(asked) == ends(at_once)
    assert asked.busy_joules() == at_once.busy_joules() > 0.0


def test_who_looked_at_the_clock_earlier_may_ask_later() -> None:
    fleet = a_fleet()
    fleet.advance(at(5.0))
    accepted = fleet.submit(a_request(), at(4.9))
    assert isinstance(accepted, Accepted)
    assert accepted.passage.arrival == 5.0
    fleet.abort(accepted, at(4.8))
    fleet.advance(at(10.0))
    assert accepted.passage.outcome == "aborted"


def test_each_request_goes_where_there_is_least_to_do() -> None:
    fleet = a_fleet(replicas=3)
    went = [fleet.submit(a_request(f"r{i}"), at(1.0)) for i in range(6)]
    names = [one.replica.name for one in went if isinstance(one, Accepted)]
    assert sorted(names) == ["r0", "r0", "r1", "r1", "r2", "r2"]


def test_full_queues_refuse() -> None:
    fleet = a_fleet(most_queued=3)
    answers = [fleet.submit(a_request(f"r{i}"), at(1.0)) for i in range(8)]
    assert [isinstance(one, Accepted) for one in answers] == [True] * 6 + [False] * 2
    assert answers[-1] == "overloaded"
    assert sum(len(news.refused) for _, news in fleet.take_news()) == 2


def test_a_server_that_died_refuses_until_it_is_back_and_the_others_do_its_work() -> None:
    fleet = a_fleet()
    first = fleet.submit(a_request("first"), at(1.0))
    assert isinstance(first, Accepted)
    fleet.crash(first.replica, at(2.0), 5.0)
    assert {one.replica.name for one in [fleet.submit(a_request("b"), at(3.0))] if isinstance(one, Accepted)} == {"r1"}
    fleet.crash(fleet.replicas[1], at(3.5), 5.0)
    assert fleet.submit(a_request("c"), at(4.0)) == "restarting"
    assert isinstance(fleet.submit(a_request("d"), at(7.1)), Accepted)
    assert first.passage.outcome == "error"


def test_when_all_hang_up_nothing_is_left_and_nothing_comes() -> None:
    plan = Plan(batch=3, gpus=2)
    fleet = Fleet(plan.build_replicas(), BEGIN, plan.build_load())
    fleet.advance(at(20.0))
    fleet.hang_up(at(20.0))
    fleet.advance(at(21.0))
    assert [replica.load for replica in fleet.replicas] == [0, 0]
    busy = fleet.busy_joules()
    fleet.advance(at(60.0))
    assert fleet.busy_joules() == busy
    assert fleet.submit(a_request(), at(61.0)) == "restarting"


def test_news_is_told_once_and_whole() -> None:
    plan = Plan(batch=3, gpus=2)
    fleet = Fleet(plan.build_replicas(), BEGIN, plan.build_load())
    told: list[News] = []
    for second in range(1, 30):
        fleet.advance(at(second))
        told += [news for _, news in fleet.take_news()]
    arrived = [one.request.id for news in told for one in news.arrived]
    gone = [one.request.id for news in told for one in news.gone]
    assert len(set(arrived)) == len(arrived) > 30
    assert set(gone) <= set(arrived)
    assert len(arrived) - len(gone) == sum(replica.load for replica in fleet.replicas)
    assert sum(step.joules for news in told for step in news.steps) == pytest.approx(fleet.busy_joules())
