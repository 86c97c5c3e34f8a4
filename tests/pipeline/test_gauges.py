"""A server's own gauge against what was told of its requests, where the truth is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import floor

import numpy as np
import pytest

from exporter.domain.events import Completed, Counted
from exporter.domain.gauges import Gauge
from exporter.domain.settings import PolicyName
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.domain.units import Instant, later
from exporter.ledger.slices import DECODING
from exporter.pipeline.pipeline import Pipeline
from exporter.simulate.batching import Run
from tests.bench.fairness import LEARNING, run_of
from tests.pipeline.telling import (
    AFTER_SECONDS,
    SERVER,
    Told,
    counters,
    gauges,
    gpus,
    hear,
    imbalance,
    settings,
    share_error,
    tell,
)
from tests.simulation.hearing import News, Sight, events

SECONDS = 200.0
EVERYTHING = Sight()


@dataclass(frozen=True, slots=True)
class Outcome:
    pipeline: Pipeline
    settled: Sequence[SettledRequest]
    snapshot: Snapshot
    lost: frozenset[str]
    idle_watts: float

    @property
    def joules(self) -> dict[str, float]:
        return {one.id: one.joules for one in self.settled}

    @property
    def unattributed(self) -> float:
        return sum(view.booked["unattributed"] for view in self.snapshot.devices)


@cache
def outcome(
    batch: float,
    *,
    gauge: bool,
    policy: PolicyName = "time",
    sight: Sight = EVERYTHING,
    lose: float = 0.0,
    whole_seconds: bool = False,
    seconds: float = SECONDS,
) -> Outcome:
    run = run_of(0, batch, seconds)
    rng = np.random.default_rng(1)
    lost = frozenset(one.id for one in run.served if rng.random() < lose)
    news = [_by_the_second(one) if whole_seconds else one for one in events(run, sight) if _id(one) not in lost]
    pipeline = Pipeline(settings(policy=policy), gpus(len(run.physics.gpu_shares)), run.begin)
    end = later(run.end, AFTER_SECONDS)
    asked: list[Told] = list(gauges(run, until=end)) if gauge else []
    settled = tell(pipeline, counters(run, until=end), hear(news), asked, begin=run.begin, end=end)
    idle = sum(view.idle_watts or 0.0 for view in pipeline.snapshot(end).devices)
    pipeline.finish(end)
    snapshot = pipeline.snapshot(end)
    assert imbalance(snapshot) < 1e-9
    return Outcome(pipeline, settled, snapshot, lost, idle)


def _id(news: News) -> str:
    assert not isinstance(news.event, Counted)
    return str(getattr(news.event, "id"))  # noqa: B009 - not every event has one, but those of a run do


def _by_the_second(news: News) -> News:
    """As a log with stamps of whole seconds tells it."""
    event = news.event
    if isinstance(event, Completed):
        start, end = (Instant(floor(edge) + 0.5) for edge in (event.start, event.end))
        end = max(end, start)
        return news._replace(event=replace(event, start=start, end=end, start_uncertainty=0.5, end_uncertainty=0.5))
    at = Instant(min(floor(event.at) + 0.5, news.at))
    return news._replace(event=replace(event, at=at, uncertainty=0.5))  # type: ignore[arg-type]


def share_of_error(found: Outcome, run: Run) -> float:
    told = [one for one in run.served if one.id not in found.lost]
    wrong = sum(abs(found.joules.get(one.id, 0.0) - one.joules) for one in told)
    return wrong / sum(one.joules for one in told)


@pytest.mark.parametrize("batch", [1.6, 8.0])
@pytest.mark.parametrize("whole_seconds", [False, True])
def test_of_a_server_whose_log_tells_all_a_gauge_changes_nothing(batch: float, *, whole_seconds: bool) -> None:
    without = outcome(batch, gauge=False, whole_seconds=whole_seconds)
    with_gauge = outcome(batch, gauge=True, whole_seconds=whole_seconds)
    assert with_gauge.joules == pytest.approx(without.joules, rel=1e-9)
    assert with_gauge.unattributed == pytest.approx(without.unattributed, abs=1e-6)
    assert not with_gauge.pipeline.ledger.company[SERVER].stretches


def test_a_log_that_speaks_only_at_the_end_makes_nobody_up() -> None:
    for batch in (1.6, 8.0):
        found = outcome(batch, gauge=True, whole_seconds=True, sight=Sight(whole=True))
        assert found.unattributed == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("batch", "sight", "whole_seconds"),
    [(4.0, Sight(), False), (4.0, Sight(whole=True), False), (8.0, Sight(), True), (8.0, Sight(whole=True), True)],
)
def test_the_energy_of_requests_that_nobody_told_of_is_not_their_neighbours(
    batch: float, sight: Sight, *, whole_seconds: bool
) -> None:
    run = run_of(0, batch, SECONDS)
    without = outcome(batch, gauge=False, lose=0.2, sight=sight, whole_seconds=whole_seconds)
    found = outcome(batch, gauge=True, lose=0.2, sight=sight, whole_seconds=whole_seconds)
    missing = sum(one.joules for one in run.served if one.id in found.lost)
    assert missing > 0.0
    assert abs(found.unattributed - missing) < 0.85 * abs(without.unattributed - missing)
    assert found.unattributed < 1.05 * missing
    assert share_of_error(found, run) < 0.95 * share_of_error(without, run)


def test_what_runs_unknown_does_not_spoil_the_idle_power() -> None:
    truth = run_of(0, 1.6, SECONDS).physics.idle_watts
    without, found = (outcome(1.6, gauge=gauge, lose=0.2).idle_watts for gauge in (False, True))
    assert without > 1.2 * truth
    assert abs(found - truth) < 0.2 * abs(without - truth)


def test_a_server_that_is_busy_though_its_log_is_silent_is_not_idle() -> None:
    blind = outcome(8.0, gauge=True, lose=1.0)
    run = run_of(0, 8.0, SECONDS)
    assert blind.unattributed == pytest.approx(run.busy_joules, rel=0.1)
    assert outcome(8.0, gauge=False, lose=1.0).unattributed == 0.0


def test_whoever_is_told_of_late_takes_the_place_of_the_unknown() -> None:
    run = run_of(0, 1.6, SECONDS)
    late = [one._replace(at=Instant(one.at + 60.0)) for one in events(run, Sight(whole=True))]
    pipeline = Pipeline(settings(policy="time"), gpus(len(run.physics.gpu_shares)), run.begin)
    end = later(run.end, 200.0)
    told = (counters(run, until=end), gauges(run, until=end), hear(late))
    settled = tell(pipeline, *told, begin=run.begin, end=end)
    pipeline.finish(end)
    snapshot = pipeline.snapshot(end)
    joules = {one.id: one.joules for one in settled}
    wrong = sum(abs(joules[one.id] - one.joules) for one in run.served)
    assert wrong < 0.1 * run.busy_joules
    assert sum(view.booked["unattributed"] for view in snapshot.devices) < 0.03 * run.busy_joules
    assert imbalance(snapshot) < 1e-9


def test_counters_make_steps_trustworthy_where_the_log_has_no_tokens() -> None:
    blind = Sight(tokens=False, first_token=False, execution=False)
    run = run_of(0, 8.0, 400.0)
    since = later(run.begin, LEARNING * (run.end - run.begin))
    steps = outcome(8.0, gauge=True, policy="steps", sight=blind, seconds=400.0)
    time = outcome(8.0, gauge=False, policy="time", sight=blind, seconds=400.0)
    server = steps.pipeline.servers[SERVER].view()
    assert (server.policy, server.policy_reason) == ("steps", "")
    assert share_error(run, steps.settled, since=since) < share_error(run, time.settled, since=since)
    assert all(one.output_tokens is None and one.prompt_tokens is None for one in steps.settled)


def test_to_share_by_tokens_one_must_know_whose_they_are() -> None:
    blind = Sight(tokens=False)
    shared = outcome(8.0, gauge=True, policy="tokens", sight=blind)
    (server,) = shared.snapshot.servers
    assert (server.policy, server.wanted_policy) == ("time", "tokens")
    assert "do not say whose they are" in server.policy_reason


def test_tokens_of_the_server_are_given_out_whole() -> None:
    run = run_of(0, 8.0, SECONDS)
    blind = Sight(tokens=False, first_token=False)
    pipeline = Pipeline(settings(policy="steps"), gpus(len(run.physics.gpu_shares)), run.begin)
    tell(pipeline, counters(run), gauges(run), hear(events(run, blind)), begin=run.begin, end=run.end)
    told = [one.gauge for one in gauges(run) if one.gauge is not None and one.at < run.end]
    slices = pipeline.ledger.groups[0].slices
    rates = pipeline.servers[SERVER].token_rates(slices.closed, slices.ripe)
    assert rates is not None
    decoding = slices.amounts[DECODING, 0, slices.place(range(slices.closed, slices.ripe))]
    whole = float(np.nansum(rates * decoding))
    assert whole == pytest.approx((told[-1].output_tokens or 0.0), rel=0.03)


def test_a_counter_that_began_anew_says_nothing_of_that_time() -> None:
    pipeline = Pipeline(settings(), gpus(1), Instant(0.0))
    for at, tokens in ((5.0, 1000.0), (10.0, 30.0), (15.0, 60.0)):
        pipeline.receive_gauge(SERVER, Gauge(Instant(at), output_tokens=tokens))
        pipeline.receive_progress(SERVER, Instant(at + 4.0))
        pipeline.advance(Instant(at + 4.0))
    assert [one.start for one in pipeline.servers[SERVER].gauges._rates] == [10.0]


def test_the_server_s_own_count_is_shown_while_it_is_fresh() -> None:
    pipeline = Pipeline(settings(), gpus(1), Instant(0.0))
    pipeline.receive_gauge(SERVER, Gauge(Instant(5.0), running=3.0))
    for at, shown in ((6.0, 3.0), (60.0, None)):
        pipeline.receive_progress(SERVER, Instant(at))
        assert pipeline.snapshot(Instant(at)).servers[0].running_by_server == shown


def test_who_ran_unknown_is_known_to_have_after_a_restart() -> None:
    run = run_of(0, 1.6, 120.0)
    news = [one for index, one in enumerate(events(run, Sight(whole=True))) if index % 4]
    end = later(run.end, AFTER_SECONDS)

    def fresh() -> Pipeline:
        return Pipeline(settings(policy="time"), gpus(len(run.physics.gpu_shares)), run.begin)

    def told() -> list[Told]:
        return sorted([*counters(run, until=end), *gauges(run, until=end), *hear(news)], key=lambda one: one.at)

    middle = Instant(run.begin + 60.0)
    whole, first, second = fresh(), fresh(), fresh()
    tell(whole, [one for one in told() if one.at <= middle], begin=run.begin, end=middle)
    tell(whole, [one for one in told() if one.at > middle], begin=middle, end=end)
    tell(first, [one for one in told() if one.at <= middle], begin=run.begin, end=middle)
    second.restore({key: value for key, value in first.checkpoint(set(), last=True).items() if value is not None})
    tell(second, [one for one in told() if one.at > middle], begin=middle, end=end)
    assert whole.ledger.company[SERVER].stretches
    assert second.ledger.company[SERVER].stretches == whole.ledger.company[SERVER].stretches
    whole.finish(end)
    second.finish(end)
    for one, other in zip(whole.snapshot(end).devices, second.snapshot(end).devices, strict=True):
        assert other.booked["unattributed"] == pytest.approx(one.booked["unattributed"], rel=1e-9)
