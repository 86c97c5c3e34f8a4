"""The simulation itself: its books balance, its shares are fair, and chance is the seed's alone."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Completed, Ended, FirstToken, Started
from exporter.simulate.batching import CHUNKED, PREFILL_APART, Run, Scheduler, Served, simulate
from exporter.simulate.load import CHAT, MIXED, Request, burst_times, poisson_times, requests
from exporter.simulate.physics import EIGHT_B, TDP_WATTS, random_physics
from tests.simulation.damage import delay, flush, litter, lose, read_by_polls, repeat
from tests.simulation.hearing import Sight, events
from tests.simulation.logs import LogLine
from tests.simulation.logs.jsonl import jsonl_log
from tests.simulation.logs.llamacpp import llamacpp_log, llamacpp_tasks
from tests.simulation.logs.nginx import nginx_log
from tests.simulation.logs.vllm import vllm_id, vllm_log
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
    assert 0.005 < seconds.of(0, 1, 1000) < seconds.of(0, 64, 64_000) < 0.045
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


VLLM_LINE = re.compile(r"\(APIServer pid=\d+\) INFO (\d\d-\d\d \d\d:\d\d:\d\d) \[\S+\] (.*)")
VLLM_START = re.compile(r"Received request (\S+): params: ")
VLLM_END = re.compile(r"Generated response (\S+?)(?: \(streaming complete\))?: output: |Request (\S+) aborted\.")
SLOT = re.compile(r"(\d+)\.(\d\d)\.(\d{3})\.(\d{3}) [IW] s\S+ +(\S+): (.*)")


def a_mixed_run() -> Run:
    scenario = Scenario(abort_fraction=0.2, cached_fraction=0.3, stream_fraction=0.5, scheduler=SMALL)
    return poisson_run(scenario, rng(), rate=1.0, seconds=60.0)


def vllm_spans(said: list[tuple[float, str]]) -> dict[str, tuple[float, float]]:
    starts = {match[1]: at for at, text in said if (match := VLLM_START.match(text))}
    ends = {match[1] or match[2]: at for at, text in said if (match := VLLM_END.match(text))}
    assert starts.keys() == ends.keys()
    return {id_: (at, ends[id_]) for id_, at in starts.items()}


def said_in_text(line: LogLine) -> tuple[float, str]:
    match = VLLM_LINE.fullmatch(line.text)
    assert match
    stamp = datetime.strptime(f"2026-{match[1]} +0000", "%Y-%m-%d %H:%M:%S %z")
    return stamp.timestamp(), match[2]


def said_in_json(line: LogLine) -> tuple[float, str]:
    fields = json.loads(line.text)
    return datetime.strptime(f"{fields['asctime']} +0000", "%Y-%m-%d %H:%M:%S,%f %z").timestamp(), fields["message"]


def test_vllms_text_log_says_arrival_and_end_to_the_second() -> None:
    run = a_mixed_run()
    lines = [line for line in vllm_log(run, rng()) if not line.text.startswith("INFO:     ")]
    spans = vllm_spans([said_in_text(line) for line in lines])
    assert spans.keys() == {vllm_id(served) for served in run.served}
    for served in run.served:
        start, end = spans[vllm_id(served)]
        assert -0.01 < served.arrival - start < 1.0
        assert -0.01 < served.end - end < 1.0


def test_vllms_json_log_says_arrival_and_end_to_milliseconds() -> None:
    run = a_mixed_run()
    spans = vllm_spans([said_in_json(line) for line in vllm_log(run, rng(), form="json")])
    for served in run.served:
        start, end = spans[vllm_id(served)]
        assert start == pytest.approx(served.arrival, abs=0.0021)
        assert end == pytest.approx(served.end, abs=0.006)


def test_vllms_lines_carry_the_stamp_of_their_writing_in_the_servers_zone() -> None:
    run = a_mixed_run()
    here = timezone(timedelta(hours=5, minutes=30))
    there, utc = vllm_log(run, rng(), form="json", zone=here), vllm_log(run, rng(), form="json")
    for mine, yours in zip(there, utc, strict=True):
        assert 0.0 <= yours.at - said_in_json(yours)[0] < 0.0011
        assert said_in_json(mine)[0] - said_in_json(yours)[0] == pytest.approx(5.5 * 3600)


def test_vllm_writes_its_access_line_when_the_answer_begins() -> None:
    run = simulate([Request("s", 0.0, 10, 50), Request("p", 3.0, 10, 50, stream=False)], EIGHT_B, rng())
    streamed, plain = run.served
    access = [line.at for line in vllm_log(run, rng()) if '"POST /v1/chat/completions HTTP/1.1" 200 OK' in line.text]
    assert access[0] == pytest.approx(streamed.arrival, abs=0.01)
    assert access[1] == pytest.approx(plain.end, abs=0.01)


def test_vllm_tells_each_streamed_token_if_asked() -> None:
    run = simulate([Request("s", 0.0, 10, 50)], EIGHT_B, rng())
    assert sum("(streaming delta)" in line.text for line in vllm_log(run, rng(), deltas=True)) == 50


def test_vllms_engine_line_counts_those_running() -> None:
    run = simulate([Request(f"r{i}", 0.0, 10, 800) for i in range(12)], EIGHT_B, rng(), scheduler=SMALL)
    first = next(line.text for line in vllm_log(run, rng()) if "Engine 000" in line.text)
    assert "Running: 4 reqs, Waiting: " in first


def slot_lines(run: Run) -> list[tuple[float, str, str]]:
    """Seconds since the epoch, function, text."""
    matches = [SLOT.fullmatch(line.text) for line in llamacpp_log(run, rng())]
    return [
        (run.begin + int(m[1]) * 60 + int(m[2]) + int(m[3]) / 1e3 + int(m[4]) / 1e6, m[5], m[6]) for m in matches if m
    ]


def test_llama_servers_log_says_execution_phases_and_tokens() -> None:
    run = a_mixed_run()
    tasks = llamacpp_tasks(run, rng())
    said = slot_lines(run)
    for served in run.served:
        task = tasks[served.id]
        who = f"id {task.slot:2} | task {task.number} | "
        mine = [(at, what, text.removeprefix(who)) for at, what, text in said if text.startswith(who)]
        assert mine[0][1] == "launch_slot_"
        assert mine[0][0] == pytest.approx(served.start, abs=1e-3)
        assert mine[-1][1] == "release"
        assert mine[-1][0] == pytest.approx(served.end, abs=1e-3)
        timings = re.findall(r"(\S+) time = +([\d.]+) ms / +(\d+) tokens", "\n".join(text for _, _, text in mine))
        assert served.outcome == "aborted" or timings == expected_timings(served)


def expected_timings(served: Served) -> list[tuple[str, str, str]]:
    prompt_tokens = served.prompt_tokens - served.cached_tokens
    parts = (served.first_token - served.start, served.end - served.first_token, served.end - served.start)
    tokens = (prompt_tokens, served.output_tokens, prompt_tokens + served.output_tokens)
    return [(n, f"{s * 1e3:.2f}", str(t)) for n, s, t in zip(("eval", "eval", "total"), parts, tokens, strict=True)]


def test_llama_server_says_nothing_of_the_timings_of_a_cancelled_task() -> None:
    run = simulate([Request("a", 0.0, 10, 60, leaves_after_tokens=7)], EIGHT_B, rng())
    assert [what for _, what, _ in slot_lines(run)][-4:] == ["get_availabl", "launch_slot_", "stop", "release"]


def test_a_slot_is_released_before_it_is_taken_again() -> None:
    taken: set[str] = set()
    for _, what, text in slot_lines(a_mixed_run()):
        slot = text[:5]
        if what == "launch_slot_":
            assert slot not in taken
            taken.add(slot)
        elif what == "release":
            taken.remove(slot)
    assert not taken


def test_nginx_says_the_end_and_how_long_the_client_waited() -> None:
    run = a_mixed_run()
    said = {fields["http_x_request_id"]: fields for fields in map(json.loads, texts(nginx_log(run, rng())))}
    for served in run.served:
        fields = said[served.id]
        assert fields["msec"] == pytest.approx(served.end, abs=0.0021)
        assert fields["msec"] - fields["request_time"] == pytest.approx(served.arrival, abs=0.006)
        assert (fields["request_completion"] == "OK") == (served.outcome == "ok")
        assert fields["status"] == (499 if served.outcome == "aborted" and not served.request.stream else 200)


def test_the_rich_log_says_everything() -> None:
    run = a_mixed_run()
    said = {fields["id"]: fields for fields in map(json.loads, texts(jsonl_log(run)))}
    for served in run.served:
        fields = said[served.id]
        instants = [fields["start"], fields["first_token"], fields["end"]]
        assert instants == pytest.approx([served.start, served.first_token, served.end], abs=1e-6)
        assert (fields["prompt_tokens"], fields["output_tokens"]) == (served.prompt_tokens, served.output_tokens)
        assert (fields["model"], fields["status"]) == (run.physics.model, served.outcome)


def texts(lines: list[LogLine]) -> list[str]:
    return [line.text for line in lines]


LOGS: dict[str, Callable[[Run], list[LogLine]]] = {
    "vllm": lambda run: vllm_log(run, rng(), deltas=True),
    "vllm-json": lambda run: vllm_log(run, rng(), form="json"),
    "llamacpp": lambda run: llamacpp_log(run, rng()),
    "nginx": lambda run: nginx_log(run, rng()),
    "jsonl": jsonl_log,
}


@pytest.mark.parametrize("write", LOGS.values(), ids=LOGS.keys())
def test_every_log_is_in_order_of_writing_and_the_same_each_time(write: Callable[[Run], list[LogLine]]) -> None:
    run = a_mixed_run()
    lines = write(run)
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    assert lines == write(run)
    assert not any("\n" in line.text for line in lines)


def test_lost_lines_are_gone_and_the_rest_is_untouched() -> None:
    lines = vllm_log(a_mixed_run(), rng())
    left = lose(lines, rng(), 0.3)
    assert len(left) / len(lines) == pytest.approx(0.7, abs=0.1)
    assert [line for line in lines if line in left] == left


def test_repeated_lines_come_again_later() -> None:
    lines = jsonl_log(a_mixed_run())
    more = repeat(lines, rng(), 0.5, within_seconds=3.0)
    assert len(more) > len(lines)
    assert set(texts(more)) == set(texts(lines))
    assert set(lines) <= set(more)


def test_delayed_lines_lose_their_order_but_not_their_text() -> None:
    lines = jsonl_log(a_mixed_run())
    late = delay(lines, rng(), 0.5, within_seconds=10.0)
    assert sorted(texts(late)) == sorted(texts(lines))
    assert texts(late) != texts(lines)
    assert [line.at for line in late] == sorted(line.at for line in late)


def test_litter_adds_lines_and_takes_none() -> None:
    lines = jsonl_log(a_mixed_run())
    littered = litter(lines, rng(), 20)
    assert len(littered) == len(lines) + 20
    assert [line for line in littered if line in set(lines)] == lines


def test_flushed_and_polled_lines_wait_for_the_next_tick() -> None:
    lines = jsonl_log(a_mixed_run())
    assert all(0.0 <= late.at - line.at < 10.0 for line, late in zip(lines, flush(lines, 10.0), strict=True))
    for line, read in zip(lines, read_by_polls(lines, 0.1), strict=True):
        assert read.not_before <= line.at <= read.not_after
