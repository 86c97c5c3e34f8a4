"""Whole pipelines behind a counter that steps every half minute, on a board of which all is known."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from exporter.domain.events import Completed, Ended, Started
from exporter.domain.readings import CounterReading, Device, PowerReading
from exporter.domain.settings import (
    AttributionSettings,
    PolicyName,
    PowerSettings,
    RequestSettings,
    ServerSettings,
    Settings,
)
from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import Instant, Joules, Watts
from exporter.pipeline.pipeline import Pipeline
from tests.pipeline.telling import Told, imbalance, say, tell

BEGIN = Instant(1_795_234_620.0)
PERIOD = 30.0
BUSY, IDLE = 300.0, 80.0
TICK = 0.001
"""The counter is looked at so shortly before and after a step."""
DATED = 1e-4
"""Steps are dated to half a millisecond: so much of a request's joules can be off."""
Span = tuple[float, float]


def at(seconds: float) -> Instant:
    return Instant(BEGIN + seconds)


def a_pipeline(
    *servers: str,
    boards: int = 1,
    idle: float | None = IDLE,
    period: float = PERIOD,
    since: float = 0.0,
    horizon: float = 900.0,
) -> Pipeline:
    """Equal time; the baseline configured, unless it is None."""
    power = PowerSettings(idle_watts={f"gpu{index}": idle for index in range(boards)} if idle is not None else {})
    named = tuple(ServerSettings(name, (RequestSettings("jsonl"),)) for name in servers or ("chat",))
    rules = AttributionSettings(policy="time", horizon_seconds=horizon)
    devices = [
        Device(f"gpu{index}", "gpu", uuid=f"GPU-{index}", has_counter=True, limit_watts=700.0, period_seconds=period)
        for index in range(boards)
    ]
    return Pipeline(Settings(servers=named, attribution=rules, power=power), devices, at(since))


def energy(until: float, *busy: Span) -> Joules:
    """Of a board since the beginning."""
    return Joules(1e4 + IDLE * until + (BUSY - IDLE) * sum(max(min(until, end) - start, 0.0) for start, end in busy))


def counter(end: float, *busy: Span, board: int = 0, phase: float = 0.0) -> Iterator[Told]:
    """Looks each second, and closely around each step, which is at `phase` past every period."""
    steps = np.arange(phase, end, PERIOD)
    for seconds in sorted({*range(int(end)), *(steps - TICK).tolist(), *(steps + TICK).tolist()}):
        last = float(np.floor((seconds - phase) / PERIOD) * PERIOD + phase)
        if seconds >= 0.0:
            yield Told(at(seconds), reading=CounterReading(f"gpu{board}", at(seconds), energy(last, *busy)))


def ran(id_: str, start: float, end: float, *, told: float | None = None, server: str = "chat") -> Told:
    """A request whose log speaks at its end, or later."""
    return Told(at(end if told is None else told), event=Completed(id_, at(start), at(end)), server=server)


def run(pipeline: Pipeline, *told: Told, end: float, boards: list[Iterator[Told]]) -> dict[str, SettledRequest]:
    """Settled requests by id; the books balance at every moment."""

    def check(now: Instant) -> None:
        snapshot = pipeline.snapshot(now)
        assert imbalance(snapshot) < 1e-9
        assert min(min(view.unsettled_joules, *view.booked.values()) for view in snapshot.devices) >= 0.0

    ordered = sorted(told, key=lambda one: one.at)
    return {one.id: one for one in tell(pipeline, *boards, ordered, begin=BEGIN, end=at(end), watch=check)}


def hear(pipeline: Pipeline, told: list[Told], since: float, until: float) -> None:
    """Readings and news of some time, without any time passing."""
    for one in told:
        if at(since) <= one.at < at(until):
            say(pipeline, one)


def advance(pipeline: Pipeline, now: float, **heard: float) -> list[str]:
    """Time has come to `now`, servers have been heard so far. Returns who settled."""
    for server in pipeline.servers:
        pipeline.receive_progress(server, at(heard.get(server, now)))
    settled = pipeline.advance(at(now))
    assert imbalance(pipeline.snapshot(at(now))) < 1e-9
    return [one.id for one in settled]


# --- what it is for ---------------------------------------------------------------------------------------------------


def test_a_request_of_three_seconds_has_the_joules_it_caused() -> None:
    settled = run(a_pipeline(), ran("a", 35.0, 38.0), end=70.0, boards=[counter(70.0, (35.0, 38.0))])
    assert settled["a"].joules == pytest.approx(3 * BUSY, rel=DATED)


def test_requests_in_one_step_share_its_busy_time_and_only_that() -> None:
    news = ran("a", 32.0, 36.0), ran("b", 34.0, 36.0), ran("c", 50.0, 51.0)
    busy = (32.0, 36.0), (50.0, 51.0)
    settled = run(a_pipeline(), *news, end=70.0, boards=[counter(70.0, *busy)])
    joules = [settled[name].joules for name in "abc"]
    assert joules == pytest.approx([3 * BUSY, 1 * BUSY, 1 * BUSY], rel=DATED)


def test_a_request_across_two_steps_has_both_its_parts() -> None:
    settled = run(a_pipeline(), ran("a", 55.0, 62.0), end=100.0, boards=[counter(100.0, (55.0, 62.0))])
    assert settled["a"].joules == pytest.approx(7 * BUSY, rel=DATED)


def test_without_a_baseline_the_step_is_spread_evenly() -> None:
    settled = run(a_pipeline(idle=None), ran("a", 35.0, 38.0), end=70.0, boards=[counter(70.0, (35.0, 38.0))])
    assert settled["a"].joules == pytest.approx(3 * (IDLE + 3 * (BUSY - IDLE) / PERIOD), rel=1e-3)


def test_a_baseline_that_was_learned_serves_as_well() -> None:
    pipeline = a_pipeline(idle=None)
    settled = run(pipeline, ran("a", 185.0, 188.0), end=250.0, boards=[counter(250.0, (185.0, 188.0))])
    assert settled["a"].joules == pytest.approx(3 * BUSY, rel=1e-3)
    assert pipeline.ledger.idle["gpu0"].mean == pytest.approx(IDLE, rel=1e-6)


def test_idle_and_requests_have_what_was_theirs() -> None:
    pipeline = a_pipeline()
    run(pipeline, ran("a", 35.0, 38.0), end=70.0, boards=[counter(70.0, (35.0, 38.0))])
    pipeline.finish(at(70.0))
    booked = pipeline.snapshot(at(70.0)).devices[0].booked
    assert booked["requests"] == pytest.approx(3 * BUSY, rel=DATED)
    assert booked["idle"] == pytest.approx(27 * IDLE, rel=DATED)
    assert booked["unattributed"] == 0.0


# --- when it is known who ran -----------------------------------------------------------------------------------------


def test_nothing_of_a_step_settles_before_all_has_been_told_of_it() -> None:
    pipeline, told = a_pipeline(), [*counter(70.0, (35.0, 38.0)), ran("a", 35.0, 38.0)]
    hear(pipeline, told, 0.0, 62.0)
    enough = 60.0 + pipeline.servers["chat"].settle_seconds()
    for now in (62.0, 63.0, 70.0):
        assert advance(pipeline, now, chat=enough - 0.1) == []
    view = pipeline.snapshot(at(70.0)).devices[0]
    assert view.metered_joules == pytest.approx(30 * IDLE + 3 * (BUSY - IDLE), rel=DATED)
    assert view.unsettled_joules == pytest.approx(view.metered_joules)
    assert [advance(pipeline, now, chat=enough + 0.1) for now in (71.0, 72.0)] == [[], ["a"]]


def test_who_is_told_of_while_the_step_waits_still_counts() -> None:
    pipeline, told = a_pipeline(), [*counter(70.0, (35.0, 38.0), (50.0, 52.0))]
    hear(pipeline, told, 0.0, 61.0)
    for one in (ran("a", 35.0, 38.0), ran("b", 50.0, 52.0)):
        advance(pipeline, 61.0, chat=60.0)
        say(pipeline, one)
    for now in (63.0, 64.0):
        advance(pipeline, now)
    joules = {one.id: one.joules for one in pipeline.snapshot(at(64.0)).recent}
    assert joules == pytest.approx({"a": 3 * BUSY, "b": 2 * BUSY}, rel=DATED)


def test_every_server_of_the_board_is_waited_for() -> None:
    pipeline, told = a_pipeline("chat", "code"), [*counter(70.0, (35.0, 38.0)), ran("a", 35.0, 38.0)]
    hear(pipeline, told, 0.0, 65.0)
    for now in (65.0, 66.0):
        assert advance(pipeline, now, code=50.0) == []
    say(pipeline, ran("b", 36.0, 38.0, server="code"))
    settled = [advance(pipeline, now) for now in (67.0, 68.0)]
    assert sorted(settled[-1]) == ["a", "b"]
    joules = {one.id: one.joules for one in pipeline.snapshot(at(68.0)).recent}
    assert joules == pytest.approx({"a": 2 * BUSY, "b": 1 * BUSY}, rel=DATED)


def test_a_request_that_still_runs_holds_its_share() -> None:
    pipeline, told = a_pipeline(), [*counter(100.0, (35.0, 38.0), (50.0, 70.0))]
    news = [
        ran("a", 35.0, 38.0),
        Told(at(50.0), event=Started("b", at(50.0))),
        Told(at(70.0), event=Ended("b", at(70.0))),
    ]
    settled = run(pipeline, *news, end=100.0, boards=[iter(told)])
    assert [settled[name].joules for name in "ab"] == pytest.approx([3 * BUSY, 20 * BUSY], rel=DATED)


def test_who_is_told_of_too_late_finds_the_baseline_and_the_books_balance() -> None:
    news = ran("a", 35.0, 38.0), ran("late", 50.0, 52.0, told=66.0)
    pipeline = a_pipeline()
    settled = run(pipeline, *news, end=100.0, boards=[counter(100.0, (35.0, 38.0), (50.0, 52.0))])
    assert settled["late"].joules == pytest.approx(2 * IDLE, rel=1e-3)
    assert settled["a"].joules == pytest.approx(3 * BUSY + 2 * (BUSY - IDLE), rel=1e-3)


def test_a_log_that_is_not_read_on_holds_a_step_up_but_not_for_ever() -> None:
    pipeline, told = a_pipeline(horizon=100.0), [*counter(400.0, (35.0, 38.0)), ran("a", 35.0, 38.0)]
    hear(pipeline, told, 0.0, 150.0)
    assert advance(pipeline, 108.0, chat=40.0) == []
    assert advance(pipeline, 113.5, chat=40.0) == ["a"]
    assert pipeline.ledger.coarse["gpu0"].since == pytest.approx(at(60.0), abs=0.01), "of what settled nothing moves"
    assert pipeline.snapshot(at(114.0)).recent[0].joules == pytest.approx(3 * 102.0, rel=1e-3), "evenly"


# --- several boards, other sensors ------------------------------------------------------------------------------------


def test_boards_that_step_at_different_moments_do_not_wait_for_each_other() -> None:
    boards = [counter(140.0, (35.0, 38.0), board=0), counter(140.0, (35.0, 38.0), board=1, phase=17.0)]
    pipeline = a_pipeline(boards=2)
    settled = run(pipeline, ran("a", 35.0, 38.0), end=80.0, boards=boards)
    assert settled["a"].joules_by_device == pytest.approx({"gpu0": 3 * BUSY, "gpu1": 3 * BUSY}, rel=DATED)


def test_a_board_that_serves_nobody_is_all_idle() -> None:
    whole = a_pipeline(boards=2)
    chat = replace(whole.settings.servers[0], gpus=("0",))
    pipeline = Pipeline(replace(whole.settings, servers=(chat,)), _devices(whole), BEGIN)
    boards = [counter(130.0, (35.0, 38.0), board=0), counter(130.0, board=1, phase=17.0)]
    settled = run(pipeline, ran("a", 35.0, 38.0), end=130.0, boards=boards)
    assert settled["a"].joules_by_device == pytest.approx({"gpu0": 3 * BUSY}, rel=DATED)
    pipeline.finish(at(130.0))
    other = pipeline.snapshot(at(130.0)).devices[1]
    assert other.booked["idle"] == pytest.approx(other.metered_joules)


def test_steps_at_the_edges_of_a_hole_stay_even_for_nobody_knows_when_they_were() -> None:
    busy = (65.0, 68.0), (95.0, 98.0), (125.0, 128.0)
    polls = (one for one in counter(190.0, *busy) if not at(60.5) < one.at < at(91.5))
    news = [ran(name, *span) for name, span in zip("abc", busy, strict=True)]
    settled = run(a_pipeline(), *news, end=190.0, boards=[polls])
    middle = 0.5 * (92.0 + 92.0 - PERIOD)
    step = PERIOD * IDLE + 3 * (BUSY - IDLE)
    assert settled["a"].joules == pytest.approx(3 * step / (middle - 60.0), rel=1e-3)
    assert settled["b"].joules == pytest.approx(3 * step / (120.0 - middle), rel=1e-3)
    assert settled["c"].joules == pytest.approx(3 * BUSY, rel=1e-3)


def test_power_that_stands_in_for_the_counter_is_not_refined() -> None:
    samples = [Told(at(each), reading=PowerReading("gpu0", at(each), Watts(146.0))) for each in range(0, 200, 30)]
    pipeline = a_pipeline()
    settled = run(pipeline, ran("a", 125.0, 128.0), end=200.0, boards=[iter(samples)])
    assert not pipeline.ledger.meters["gpu0"].counter_in_use or "a" not in settled
    pipeline.finish(at(200.0))
    given = {one.id: one.joules for one in pipeline.snapshot(at(200.0)).recent}
    assert given["a"] == pytest.approx(3 * 146.0, rel=1e-3)


def test_a_quick_counter_waits_for_nothing() -> None:
    pipeline = a_pipeline(period=0.0)
    hear(pipeline, [*counter(70.0, (35.0, 38.0)), ran("a", 35.0, 38.0)], 0.0, 62.0)
    assert advance(pipeline, 62.0, chat=50.0) == ["a"]
    assert pipeline.snapshot(at(62.0)).recent[0].joules == pytest.approx(3 * 102.0, rel=1e-3)


# --- across restarts --------------------------------------------------------------------------------------------------


def test_a_step_that_waits_survives_a_restart() -> None:
    told = [*counter(70.0, (35.0, 38.0)), ran("a", 35.0, 38.0)]
    pipeline = a_pipeline()
    hear(pipeline, told, 0.0, 61.0)
    advance(pipeline, 61.0)
    store = {key: value for key, value in pipeline.checkpoint(set()).items() if value is not None}
    again = a_pipeline(since=62.0)
    again.restore(store)
    for one in (pipeline, again):
        assert [advance(one, now) for now in (63.0, 64.0)] == [[], ["a"]]
    assert again.snapshot(at(64.0)).recent == pipeline.snapshot(at(64.0)).recent
    assert again.snapshot(at(64.0)).recent[0].joules == pytest.approx(3 * BUSY, rel=DATED)


def test_books_that_were_saved_before_steps_waited_are_taken_up() -> None:
    pipeline = a_pipeline()
    hear(pipeline, [*counter(70.0)], 0.0, 61.0)
    advance(pipeline, 61.0)
    store = {key: value for key, value in pipeline.checkpoint(set()).items() if value is not None}
    whole = json.loads(store["pipeline"])
    for device in whole["ledger"]["devices"].values():
        del device["coarse"]
    again = a_pipeline(since=62.0)
    again.restore({**store, "pipeline": json.dumps(whole).encode()})
    assert advance(again, 63.0) == []
    assert again.snapshot(at(63.0)).devices[0].metered_joules == pytest.approx(30 * IDLE, rel=DATED)


def test_a_step_in_which_the_exporter_began_stays_even() -> None:
    told = [*counter(100.0, (65.0, 68.0)), ran("a", 65.0, 68.0)]
    pipeline = a_pipeline()
    hear(pipeline, told, 0.0, 64.0)
    advance(pipeline, 64.0)
    again = a_pipeline(since=64.5)
    again.restore({key: value for key, value in pipeline.checkpoint(set()).items() if value is not None})
    hear(again, told, 64.0, 95.0)
    settled = [advance(again, now) for now in (94.0, 95.0)]
    assert ["a"] in settled
    assert again.snapshot(at(95.0)).recent[0].joules == pytest.approx(3 * 102.0, rel=1e-3)


@pytest.mark.parametrize("policy", ["time", "steps"])
def test_what_is_learned_from_is_what_the_counter_told(policy: PolicyName) -> None:
    """The same story with a baseline that is known and one that is not: nobody who learns can tell them apart."""
    learned = []
    for idle in (IDLE, None):
        pipeline = a_pipeline(idle=idle)
        rules = replace(pipeline.settings.attribution, policy=policy)
        pipeline = Pipeline(replace(pipeline.settings, attribution=rules), _devices(pipeline), BEGIN)
        spans = [(30.0 * step + 5.0, 30.0 * step + 8.0 + 0.3 * step) for step in range(1, 12)]
        news = [ran(str(index), *span) for index, span in enumerate(spans)]
        run(pipeline, *news, end=400.0, boards=[counter(400.0, *spans)])
        group = pipeline.ledger.groups[0].slices
        learned.append((group.energy.copy(), pipeline.servers["chat"].snapshot()["policy"]))
    assert np.array_equal(learned[0][0], learned[1][0])
    assert learned[0][1] == learned[1][1]


def _devices(pipeline: Pipeline) -> list[Device]:
    return [meter.device for meter in pipeline.ledger.meters.values()]
