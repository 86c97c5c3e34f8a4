"""The simulation itself: its books balance, its shares are fair, and chance is the seed's alone."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Completed, Ended, FirstToken, Started
from tests.simulation.engine import CHUNKED, PREFILL_APART, Run, Scheduler, simulate
from tests.simulation.hearing import Sight, events
from tests.simulation.load import CHAT, MIXED, Request, burst_times, poisson_times, requests
from tests.simulation.physics import EIGHT_B, TDP_WATTS, random_physics
from tests.simulation.power import gpu_traces, power_trace
from tests.simulation.scenarios import Scenario, batch_run, isolated_run, poisson_run

SMALL = Scheduler(max_num_seqs=4, step_tokens=256)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def a_run(scheduler: Scheduler = CHUNKED, seed: int = 1, seconds: float = 30.0) -> Run:
    scenario = Scenario(random_physics(rng(seed)), MIXED, scheduler, abort_fraction=0.1, cached_fraction=0.3)
    return poisson_run(scenario, rng(seed), rate=3.0, seconds=seconds)


@pytest.mark.parametrize("scheduler", [CHUNKED, PREFILL_APART, SMALL])
def test_true_joules_sum_to_the_busy_energy(scheduler: Scheduler) -> None:
    run = a_run(scheduler)
    assert sum(served.joules for served in run.served) == pytest.approx(run.busy_joules, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([CHUNKED, PREFILL_APART, SMALL]))
def test_the_power_trace_holds_busy_and_idle_energy_and_nothing_else(seed: int, scheduler: Scheduler) -> None:
    run = a_run(scheduler, seed, seconds=8.0)
    assert power_trace(run).energy(run.begin, run.end) == pytest.approx(run.busy_joules + run.idle_joules, rel=1e-9)


def test_identical_requests_arriving_together_get_equal_joules() -> None:
    together = [Request(f"r{i}", 1.0, 100, 50) for i in range(8)]
    run = simulate(together, EIGHT_B, rng())
    assert [one.joules for one in run.served] == pytest.approx([run.busy_joules / 8] * 8, rel=1e-9)


def test_a_request_alone_gets_everything_that_its_steps_cost() -> None:
    run = isolated_run(Scenario(), seed=1, count=5)
    trace = power_trace(run)
    for served in run.served:
        assert served.joules == pytest.approx(trace.energy(served.start, served.end), rel=1e-6)


def test_isolated_requests_never_meet() -> None:
    run = isolated_run(Scenario(mix=MIXED), seed=2, count=20, gap_seconds=2.0)
    pauses = [later.arrival - before.end for before, later in pairwise(run.served)]
    assert min(pauses) >= 2.0
    assert run.mean_batch == pytest.approx(1.0)


def test_company_makes_a_request_cheaper_but_slower() -> None:
    alone = simulate([Request("a", 0.0, 200, 100)], EIGHT_B, rng()).served[0]
    crowd = simulate([Request(f"r{i}", 0.0, 200, 100) for i in range(16)], EIGHT_B, rng()).served[0]
    assert crowd.joules < alone.joules / 5
    assert crowd.end - crowd.start > alone.end - alone.start


def test_queueing_costs_time_but_no_energy() -> None:
    one_at_a_time = Scheduler(max_num_seqs=1)
    run = simulate([Request("a", 0.0, 100, 50), Request("b", 0.0, 100, 50)], EIGHT_B, rng(), scheduler=one_at_a_time)
    first, second = run.served
    assert first.queued_seconds == 0.0
    assert second.queued_seconds == pytest.approx(first.end - first.start)
    assert second.joules == pytest.approx(first.joules)


def test_every_later_token_takes_one_more_step() -> None:
    run = simulate([Request("a", 0.0, 5000, 30)], EIGHT_B, rng())
    assert run.steps.prefill_tokens.tolist() == [2048, 2048, 904] + [0] * 29
    assert run.steps.context_tokens.tolist() == [0, 0, 0, *range(5001, 5030)]
    assert run.served[0].first_token == pytest.approx(run.begin + run.steps.end[2])
    assert run.served[0].end == pytest.approx(run.begin + run.steps.end[-1])


def test_chunked_prefill_shares_its_steps_with_decoding_and_separate_prefill_stalls_it() -> None:
    load = [Request("a", 0.0, 10, 60), Request("b", 0.1, 3000, 5)]
    mixed, apart = (simulate(load, EIGHT_B, rng(), scheduler=one).steps for one in (CHUNKED, PREFILL_APART))
    assert np.any((mixed.prefill_tokens > 0) & (mixed.decoding > 0))
    assert not np.any((apart.prefill_tokens > 0) & (apart.decoding > 0))


@pytest.mark.parametrize("scheduler", [CHUNKED, PREFILL_APART, SMALL])
def test_every_token_asked_for_is_processed_once(scheduler: Scheduler) -> None:
    run = a_run(scheduler)
    steps = run.steps
    assert steps.prefill_tokens.sum() == sum(one.prompt_tokens - one.cached_tokens for one in run.served)
    assert steps.decoding.sum() == sum(one.output_tokens - 1 for one in run.served)
    assert np.all(steps.prefill_tokens + steps.decoding <= scheduler.step_tokens)
    assert np.all(steps.members <= scheduler.max_num_seqs)


def test_instants_of_a_request_are_in_order() -> None:
    for served in a_run(SMALL).served:
        assert served.arrival <= served.start < served.first_token <= served.end


def test_an_aborted_request_ends_after_the_tokens_its_client_waited_for() -> None:
    run = simulate([Request("a", 0.0, 10, 60, leaves_after_tokens=7)], EIGHT_B, rng())
    assert (run.served[0].output_tokens, run.served[0].outcome) == (7, "aborted")


def test_about_the_wanted_fraction_is_aborted() -> None:
    run = poisson_run(Scenario(abort_fraction=0.2), rng(), rate=5.0, seconds=100.0)
    assert sum(one.outcome == "aborted" for one in run.served) / len(run.served) == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("wanted", [1.6, 16.0])
def test_the_mean_batch_is_close_to_the_wish(wanted: float) -> None:
    assert batch_run(Scenario(), seed=3, mean_batch=wanted, seconds=60.0).mean_batch == pytest.approx(wanted, rel=0.1)


def test_the_seed_alone_decides() -> None:
    same, again, other = a_run(seed=7), a_run(seed=7), a_run(seed=8)
    assert same.served == again.served
    assert same.served != other.served


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_physics_is_plausible(seed: int) -> None:
    physics = random_physics(rng(seed))
    seconds, cost, gpus = physics.seconds, physics.cost, len(physics.gpu_shares)
    assert 60.0 * gpus <= physics.idle_watts <= 120.0 * gpus
    assert 0.005 < seconds.of(0, 1, 1000) < seconds.of(0, 64, 64_000) < 0.040
    for work in [(0, 1, 1000), (0, 64, 64_000), (2048, 0, 0), (1984, 64, 64_000)]:
        assert physics.running_watts < cost.of(*work) / seconds.of(*work) < TDP_WATTS * gpus
    assert 0.02 < cost.context_token * 16 * 1500 / cost.of(0, 16, 16 * 1500) < 0.16


def test_noise_moves_steps_but_not_the_mean() -> None:
    load = requests(rng(), poisson_times(rng(), 3.0, 60.0))
    exact, noisy = (simulate(load, replace(EIGHT_B, noise=noise), rng()) for noise in (0.0, 0.03))
    ratio = noisy.steps.joules / exact.steps.joules
    assert ratio.std() == pytest.approx(0.03, rel=0.1)
    assert ratio.mean() == pytest.approx(1.0, abs=0.003)


def test_gpus_share_the_energy() -> None:
    physics = replace(EIGHT_B, gpu_shares=(0.48, 0.52))
    run = simulate([Request("a", 0.0, 100, 50)], physics, rng())
    first, second = (trace.energy(run.begin, run.end) for trace in gpu_traces(run))
    assert first + second == pytest.approx(power_trace(run).energy(run.begin, run.end))
    assert first / second == pytest.approx(48 / 52)


def test_power_is_idle_outside_the_run_and_within_it_between_requests() -> None:
    run = isolated_run(Scenario(), seed=1, count=2)
    trace, idle = power_trace(run), EIGHT_B.idle_watts
    between = (run.served[0].end + run.served[1].start) / 2
    assert [trace.power(at) for at in (run.begin - 1.0, between, run.end + 1.0)] == pytest.approx([idle] * 3, rel=1e-5)
    assert trace.energy(run.end, run.end + 10.0) == pytest.approx(10.0 * idle)
    assert trace.energy(run.begin - 10.0, run.begin) == pytest.approx(10.0 * idle)


def test_breakpoints_rebuild_the_energy() -> None:
    run = a_run()
    points = power_trace(run).breakpoints()
    rebuilt = sum(watts * (after - at) for (at, watts), (after, _) in pairwise(points))
    assert rebuilt == pytest.approx(power_trace(run).energy(run.begin, run.end), rel=1e-9)


def test_bursts_come_together() -> None:
    times = burst_times(rng(), size=5, every_seconds=10.0, seconds=30.0, spread_seconds=0.5)
    assert len(times) == 15
    assert np.all(times % 10.0 < 0.5)


def test_lengths_stay_within_their_bounds() -> None:
    drawn = requests(rng(), poisson_times(rng(), 50.0, 60.0))
    assert all(CHAT.prompt.low <= one.prompt_tokens <= CHAT.prompt.high for one in drawn)
    assert all(CHAT.output.low <= one.output_tokens <= CHAT.output.high for one in drawn)


def test_events_are_heard_in_order_and_tell_the_truth() -> None:
    run = a_run()
    heard = events(run)
    assert [news.at for news in heard] == sorted(news.at for news in heard)
    started = {news.event.id: news.event for news in heard if isinstance(news.event, Started)}
    first = {news.event.id: news.event for news in heard if isinstance(news.event, FirstToken)}
    ended = {news.event.id: news.event for news in heard if isinstance(news.event, Ended)}
    for served in run.served:
        assert started[served.id].at == served.start
        assert first[served.id].at == served.first_token
        assert (ended[served.id].at, ended[served.id].output_tokens) == (served.end, served.output_tokens)
        assert ended[served.id].outcome == served.outcome


def test_a_source_tells_only_what_it_sees() -> None:
    blind = Sight(tokens=False, first_token=False, execution=False, model=False, delay_seconds=2.0)
    run = a_run(SMALL)
    parts, wholes = events(run, blind), events(run, replace(blind, whole=True))
    assert {type(news.event) for news in parts} == {Started, Ended}
    assert [news.at for news in wholes] == sorted(served.end + 2.0 for served in run.served)
    by_id = {served.id: served for served in run.served}
    for news in wholes:
        assert isinstance(news.event, Completed)
        assert news.event.start == by_id[news.event.id].arrival
        assert (news.event.first_token, news.event.output_tokens, news.event.model) == (None, None, None)
