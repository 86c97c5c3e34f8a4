"""Whole pipelines on steady power, where every joule can be worked out by hand."""

from collections.abc import Iterator

import pytest

from exporter.domain.events import Completed, Ended, RequestEvent, Started
from exporter.domain.readings import Device, PowerReading
from exporter.domain.settings import AttributionSettings, IdleRule, RequestSettings, ServerSettings, Settings
from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import Instant, Watts
from exporter.pipeline.pipeline import Pipeline
from tests.pipeline.telling import Told, imbalance, tell

BEGIN = Instant(1_795_234_620.0)
BUSY, IDLE = 300.0, 80.0
HORIZON = 60.0
Span = tuple[float, float]


def gpu(index: int) -> Device:
    return Device(f"gpu{index}", "gpu")


def a_pipeline(*servers: ServerSettings, devices: int = 1, idle: IdleRule = "active") -> Pipeline:
    """Equal time, a short horizon."""
    rules = AttributionSettings(policy="time", idle=idle, horizon_seconds=HORIZON)
    servers = servers or (server("chat"),)
    return Pipeline(Settings(servers=servers, attribution=rules), [gpu(index) for index in range(devices)], BEGIN)


def server(name: str, *gpus: str) -> ServerSettings:
    return ServerSettings(name, (RequestSettings("jsonl"),), gpus=gpus or "all")


def at(seconds: float) -> Instant:
    return Instant(BEGIN + seconds)


def power(end: float, *busy: Span, device: str = "gpu0") -> Iterator[Told]:
    """A sharp sensor of a board that is busy in these spans: two readings at each edge, a millisecond apart."""
    edges = sorted({edge for span in busy for edge in span})
    ticks = {round(0.25 * tick, 3) for tick in range(int(4 * end))}
    for seconds in sorted(ticks | set(edges) | {edge - 0.001 for edge in edges if edge > 0}):
        watts = BUSY if any(start <= seconds < stop for start, stop in busy) else IDLE
        yield Told(at(seconds), reading=PowerReading(device, at(seconds), Watts(watts)))


def said(seconds: float, event: RequestEvent, name: str = "chat") -> Told:
    return Told(at(seconds), event=event, server=name)


def ran(id_: str, start: float, end: float, name: str = "chat") -> list[Told]:
    """A request whose log tells its start and its end."""
    return [said(start, Started(id_, at(start)), name), said(end, Ended(id_, at(end)), name)]


def told_whole(id_: str, start: float, end: float) -> Told:
    """A request whose log speaks only at its end."""
    return said(end, Completed(id_, at(start), at(end)))


def run(pipeline: Pipeline, *told: Told, end: float, powers: list[Iterator[Told]]) -> dict[str, SettledRequest]:
    """Settled requests by id, once all has been told; the books balance."""
    ordered = sorted(told, key=lambda one: one.at)
    settled = tell(pipeline, *powers, ordered, begin=BEGIN, end=at(end))
    assert imbalance(pipeline.snapshot(at(end))) < 1e-9
    return {one.id: one for one in settled}


def booked(pipeline: Pipeline, share: str, device: str = "gpu0") -> float:
    views = {view.device.name: view for view in pipeline.snapshot(at(0.0)).devices}
    return {str(name): float(joules) for name, joules in views[device].booked.items()}[share]


class TestSharing:
    def test_a_request_alone_gets_what_was_metered_while_it_ran(self) -> None:
        settled = run(a_pipeline(), *ran("a", 10.0, 14.0), end=30.0, powers=[power(30.0, (10.0, 14.0))])
        assert settled["a"].joules == pytest.approx(4 * BUSY, rel=0.01)

    def test_two_who_overlap_share_the_overlap(self) -> None:
        news = [*ran("a", 10.0, 14.0), *ran("b", 12.0, 16.0)]
        settled = run(a_pipeline(), *news, end=30.0, powers=[power(30.0, (10.0, 16.0))])
        assert settled["a"].joules == pytest.approx(3 * BUSY, rel=0.01)
        assert settled["b"].joules == pytest.approx(3 * BUSY, rel=0.01)

    def test_static_power_can_be_kept_out(self) -> None:
        pipeline = a_pipeline(idle="exclude")
        settled = run(pipeline, *ran("a", 20.0, 24.0), end=40.0, powers=[power(40.0, (20.0, 24.0))])
        assert settled["a"].joules == pytest.approx(4 * (BUSY - IDLE), rel=0.02)

    def test_a_server_on_several_boards_is_given_the_energy_of_each(self) -> None:
        powers = [power(30.0, (10.0, 14.0)), power(30.0, device="gpu1")]
        settled = run(a_pipeline(devices=2), *ran("a", 10.0, 14.0), end=30.0, powers=powers)
        shares = settled["a"].joules_by_device
        assert (shares["gpu0"], shares["gpu1"]) == pytest.approx((4 * BUSY, 4 * IDLE), rel=0.01)

    def test_two_servers_on_one_board_share_it(self) -> None:
        pipeline = a_pipeline(server("chat"), server("code"))
        news = [*ran("a", 10.0, 14.0), *ran("b", 12.0, 16.0, "code")]
        settled = run(pipeline, *news, end=30.0, powers=[power(30.0, (10.0, 16.0))])
        assert settled["a"].joules == pytest.approx(settled["b"].joules, rel=0.01)
        assert settled["a"].joules + settled["b"].joules == pytest.approx(6 * BUSY, rel=0.01)

    def test_servers_with_boards_of_their_own_do_not_share(self) -> None:
        pipeline = a_pipeline(server("chat", "0"), server("code", "1"), devices=2)
        powers = [power(30.0, (10.0, 14.0)), power(30.0, (12.0, 16.0), device="gpu1")]
        news = [*ran("a", 10.0, 14.0), *ran("b", 12.0, 16.0, "code")]
        settled = run(pipeline, *news, end=30.0, powers=powers)
        assert settled["a"].joules_by_device == {"gpu0": pytest.approx(4 * BUSY, rel=0.01)}
        assert settled["b"].joules_by_device == {"gpu1": pytest.approx(4 * BUSY, rel=0.01)}

    def test_a_board_that_serves_nobody_is_idle(self) -> None:
        pipeline = a_pipeline(server("chat", "0"), devices=2)
        powers = [power(100.0), power(100.0, (0.0, 100.0), device="gpu1")]
        run(pipeline, *ran("a", 10.0, 14.0), end=100.0, powers=powers)
        pipeline.finish(at(100.0))
        assert booked(pipeline, "idle", "gpu1") == pytest.approx(BUSY * 99.0, rel=0.02)
        assert booked(pipeline, "requests", "gpu1") == 0.0

    def test_nobody_configured_is_nobody_served(self) -> None:
        settings = Settings(attribution=AttributionSettings(horizon_seconds=HORIZON))
        pipeline = Pipeline(settings, [gpu(0)], BEGIN)
        run(pipeline, end=200.0, powers=[power(200.0)])
        assert booked(pipeline, "idle") == pytest.approx(IDLE * (200.0 - HORIZON), rel=0.02)


class TestLost:
    def test_the_energy_of_an_end_without_a_start_is_unattributed_and_not_idle(self) -> None:
        pipeline = a_pipeline()
        news = [*ran("a", 10.0, 14.0), said(24.0, Ended("b", at(24.0)))]
        run(pipeline, *news, end=120.0, powers=[power(120.0, (10.0, 14.0), (20.0, 24.0))])
        assert booked(pipeline, "unattributed") == pytest.approx(4 * BUSY, rel=0.02)
        assert booked(pipeline, "requests") == pytest.approx(4 * BUSY, rel=0.02)

    def test_the_energy_of_a_start_without_an_end_is_unattributed_and_not_idle(self) -> None:
        pipeline = a_pipeline()
        news = [*ran("a", 10.0, 14.0), said(20.0, Started("b", at(20.0)))]
        run(pipeline, *news, end=200.0, powers=[power(200.0, (10.0, 14.0), (20.0, 24.0))])
        # Four seconds are its ghost's; then its place was held until it was given up, so idle had to wait.
        assert booked(pipeline, "unattributed") >= 4 * BUSY * 0.99
        assert booked(pipeline, "requests") == pytest.approx(4 * BUSY, rel=0.02)

    def test_late_news_shares_what_nobody_claimed(self) -> None:
        pipeline = a_pipeline()
        late = said(30.0, Completed("late", at(10.0), at(14.0)))
        settled = run(pipeline, late, end=80.0, powers=[power(80.0, (10.0, 14.0))])
        assert settled["late"].joules == pytest.approx(4 * BUSY, rel=0.01)

    def test_late_news_is_told_what_it_was_due_where_others_took_it(self) -> None:
        pipeline = a_pipeline()
        late = said(30.0, Completed("late", at(10.0), at(14.0)))
        settled = run(pipeline, *ran("a", 10.0, 14.0), late, end=80.0, powers=[power(80.0, (10.0, 14.0))])
        assert settled["a"].joules == pytest.approx(4 * BUSY, rel=0.01)
        assert settled["late"].joules == pytest.approx(0.0, abs=1.0)
        assert settled["late"].late_joules == pytest.approx(2 * BUSY, rel=0.02)
        assert pipeline.servers["chat"].late_joules == settled["late"].late_joules


class TestLong:
    def test_a_request_longer_than_the_horizon_gets_all_its_energy(self) -> None:
        pipeline = a_pipeline()
        news = [*ran("before", 1.0, 50.0), *ran("a", 110.0, 250.0)]
        settled = run(pipeline, *news, end=280.0, powers=[power(280.0, (1.0, 50.0), (110.0, 250.0))])
        assert settled["a"].joules == pytest.approx(140 * BUSY, rel=0.001)
        assert booked(pipeline, "unattributed") == pytest.approx(0.0, abs=1.0)

    def test_two_longer_than_the_horizon_share(self) -> None:
        pipeline = a_pipeline()
        news = [*ran("before", 1.0, 50.0), *ran("a", 110.0, 250.0), *ran("b", 110.0, 250.0)]
        settled = run(pipeline, *news, end=280.0, powers=[power(280.0, (1.0, 50.0), (110.0, 250.0))])
        assert settled["a"].joules == pytest.approx(70 * BUSY, rel=0.001)
        assert settled["b"].joules == pytest.approx(settled["a"].joules, rel=1e-6)

    def test_where_no_duration_is_known_yet_a_lost_end_is_unattributed_rather_than_idle(self) -> None:
        pipeline = a_pipeline()
        first = said(10.0, Started("first", at(10.0)))
        run(pipeline, first, end=200.0, powers=[power(200.0, (10.0, 30.0))])
        assert booked(pipeline, "unattributed") == pytest.approx(20 * BUSY + 40 * IDLE, rel=0.02)

    def test_a_leap_of_time_loses_no_joule_and_takes_no_memory(self) -> None:
        pipeline = a_pipeline()
        run(pipeline, *ran("a", 10.0, 14.0), end=20.0, powers=[power(20.0, (10.0, 14.0))])
        month = 30 * 86400.0
        pipeline.receive_reading(PowerReading("gpu0", at(month), Watts(IDLE)))
        pipeline.receive_reading(PowerReading("gpu0", at(month + 0.5), Watts(IDLE)))
        pipeline.receive_event("chat", Completed("b", at(month - 5.0), at(month)), at(month))
        pipeline.receive_progress("chat", at(month + 1.0))
        pipeline.advance(at(month + 1.0))
        assert imbalance(pipeline.snapshot(at(month + 1.0))) < 1e-9
        assert max(group.slices.energy.shape[1] for group in pipeline.ledger.groups) < 10_000

    def test_a_log_that_stands_still_holds_the_watermark_but_not_for_ever(self) -> None:
        pipeline = a_pipeline()
        for seconds in range(200):
            pipeline.receive_reading(PowerReading("gpu0", at(seconds), Watts(IDLE)))
            pipeline.advance(at(seconds + 0.5))
        assert pipeline.watermark == pytest.approx(at(199.5 - 0.75 * HORIZON))


class TestIdle:
    def test_idle_is_learned_from_quiet_moments(self) -> None:
        pipeline = a_pipeline()
        run(pipeline, *ran("a", 30.0, 34.0), end=60.0, powers=[power(60.0, (30.0, 34.0))])
        assert pipeline.ledger.idle["gpu0"].watts == pytest.approx(IDLE, rel=0.001)

    def test_idle_is_not_learned_from_requests_that_are_told_of_only_at_their_end(self) -> None:
        pipeline = a_pipeline()
        news = [told_whole("a", 2.0, 28.0), told_whole("b", 60.0, 90.0)]
        run(pipeline, *news, end=150.0, powers=[power(150.0, (2.0, 28.0), (60.0, 90.0))])
        assert pipeline.ledger.idle["gpu0"].watts == pytest.approx(IDLE, rel=0.001)

    def test_idle_is_not_learned_from_a_request_that_was_given_up_too_early(self) -> None:
        pipeline = a_pipeline()
        news = [*ran("a", 1.0, 5.0), *ran("long", 40.0, 95.0)]
        run(pipeline, *news, end=150.0, powers=[power(150.0, (1.0, 5.0), (40.0, 95.0))])
        assert pipeline.ledger.idle["gpu0"].watts == pytest.approx(IDLE, rel=0.001)

    def test_the_rest_of_a_slice_is_idle(self) -> None:
        pipeline = a_pipeline()
        told = ran("a", 30.05, 30.05 + 0.1)
        settled = run(pipeline, *told, end=60.0, powers=[power(60.0, (30.05, 30.15))])
        assert settled["a"].joules == pytest.approx(0.1 * BUSY, rel=0.1)


def test_who_ends_in_the_very_slice_in_which_the_story_ends_is_settled_too() -> None:
    pipeline = a_pipeline()
    for one in (*power(10.1, (2.0, 10.04)), *ran("late", 2.0, 10.04)):
        if one.reading is not None:
            pipeline.receive_reading(one.reading)
        if one.event is not None:
            pipeline.receive_event("chat", one.event, one.at)
    (settled,) = pipeline.finish(at(10.05))
    assert settled.id == "late"
    assert settled.joules == pytest.approx(8.0 * BUSY, rel=0.02)
