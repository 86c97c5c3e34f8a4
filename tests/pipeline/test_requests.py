"""From news to lives, however disordered, doubled or lost the news is."""

import json

import pytest

from exporter.domain.events import Completed, Counted, Ended, FirstToken, ServerRestarted, Started
from exporter.domain.units import Instant
from exporter.pipeline.requests import Requests
from exporter.pipeline.waiting import Finished

HORIZON = 900.0


def no_requests() -> Requests:
    return Requests(horizon_seconds=HORIZON, since=0.0)


def start(requests: Requests, id_: str, at: float, *, prompt: int | None = None, late: float = 0.0) -> None:
    requests.hear(Started(id_, Instant(at), prompt_tokens=prompt), at + late)


def end(requests: Requests, id_: str, at: float, *, output: int | None = None, heard: float | None = None) -> None:
    requests.hear(Ended(id_, Instant(at), output_tokens=output), at if heard is None else heard)


def complete(requests: Requests, id_: str, begin: float, until: float, *, output: int | None = None) -> None:
    requests.hear(Completed(id_, Instant(begin), Instant(until), output_tokens=output), until)


def acquainted(duration: float = 10.0) -> Requests:
    """Requests of which some have been seen; each took this long."""
    requests = no_requests()
    for one in range(5):
        complete(requests, f"before{one}", 0.0, duration, output=101)
    requests.fresh()
    return requests


def ghosts(finished: list[Finished]) -> list[Finished]:
    return [one for one in finished if one.ghost]


class TestWhole:
    def test_start_first_token_and_end_make_a_life(self) -> None:
        requests = no_requests()
        start(requests, "a", 1.0, prompt=200)
        requests.hear(FirstToken("a", Instant(2.0)), 2.0)
        requests.hear(Ended("a", Instant(5.0), cached_tokens=50, output_tokens=31), 5.0)
        (one,) = requests.fresh()
        assert one.life[:3] == (1.0, 2.0, 5.0)
        assert (one.life.prefill_tokens, one.life.decode_tokens) == (150.0, 30.0)
        assert not one.late
        assert not one.ghost
        assert not requests.running
        assert requests.closings == {"finish": 1}

    def test_where_the_first_token_is_unknown_all_output_is_decoded(self) -> None:
        requests = no_requests()
        complete(requests, "a", 1.0, 5.0, output=31)
        (one,) = requests.fresh()
        assert one.life[:3] == (1.0, 1.0, 5.0)
        assert one.life.decode_tokens == 31.0

    def test_unknown_output_is_guessed_from_the_usual_pace(self) -> None:
        requests = acquainted(duration=10.0)
        start(requests, "a", 20.0)
        end(requests, "a", 30.0)
        (one,) = requests.fresh()
        assert one.life.decode_tokens == pytest.approx(101.0)

    def test_an_instant_request_still_ran(self) -> None:
        requests = no_requests()
        complete(requests, "a", 3.0, 3.0)
        (one,) = requests.fresh()
        assert one.life.end == pytest.approx(3.001)

    def test_an_end_before_its_start_is_no_negative_life(self) -> None:
        requests = no_requests()
        complete(requests, "a", 5.0, 3.0)
        start(requests, "b", 6.0)
        end(requests, "b", 4.0, heard=6.0)
        for one in requests.fresh():
            assert one.life.end > one.life.start
            assert one.news.end >= one.news.start

    def test_news_cannot_come_before_what_it_tells_of(self) -> None:
        requests = no_requests()
        start(requests, "a", 1.0)
        requests.hear(Ended("a", Instant(1e9)), 4.0)
        (one,) = requests.fresh()
        assert one.life.end == 4.0

    def test_old_news_cannot_claim_years(self) -> None:
        requests = no_requests()
        requests.hear(Completed("a", Instant(1.0), Instant(1e12)), None)
        (one,) = requests.fresh()
        assert one.life.end < 5.0 * HORIZON

    def test_what_can_only_be_counted_is_counted(self) -> None:
        requests = no_requests()
        requests.hear(Counted(Instant(1.0)), 1.0)
        requests.hear(Counted(Instant(2.0), outcome="error"), 2.0)
        assert requests.counted == {"ok": 1, "error": 1}
        assert requests.fresh() == []


class TestMoreExact:
    def test_a_whole_request_after_its_start_is_placed_by_what_it_says_itself(self) -> None:
        requests = no_requests()
        start(requests, "a", 1.05)
        requests.hear(Completed("a", Instant(1.0), Instant(3.0), prompt_tokens=40, output_tokens=9), 3.0)
        (finished,) = requests.fresh()
        assert (finished.life.start, finished.life.end, finished.life.prefill_tokens) == (1.0, 3.0, 40.0)
        assert not requests.running
        assert requests.duplicates == 0


class TestTwice:
    def test_a_start_heard_twice_is_one_request(self) -> None:
        requests = no_requests()
        start(requests, "a", 1.0)
        start(requests, "a", 1.2)
        assert requests.running["a"].news.at == 1.0
        assert requests.duplicates == 1

    def test_an_end_heard_twice_is_one_request(self) -> None:
        requests = no_requests()
        start(requests, "a", 1.0)
        end(requests, "a", 3.0)
        end(requests, "a", 3.0)
        assert len(requests.fresh()) == 1
        assert requests.duplicates == 1
        assert requests.orphans == 0

    def test_a_start_repeated_after_the_end_opens_nothing(self) -> None:
        requests = no_requests()
        start(requests, "a", 1.0)
        end(requests, "a", 1.3)
        start(requests, "a", 1.0, late=2.0)
        assert not requests.running
        assert requests.duplicates == 1

    def test_a_whole_request_heard_twice_is_one_request(self) -> None:
        requests = no_requests()
        complete(requests, "a", 1.0, 3.0)
        complete(requests, "a", 1.0, 3.0)
        complete(requests, "a", 2.0, 4.0)
        assert len(requests.fresh()) == 1
        assert requests.duplicates == 2

    def test_an_id_may_be_used_again_later(self) -> None:
        requests = no_requests()
        complete(requests, "a", 1.0, 3.0)
        complete(requests, "a", 3.0, 5.0)
        start(requests, "a", 6.0)
        end(requests, "a", 7.0)
        assert [one.life.start for one in requests.fresh()] == [1.0, 3.0, 6.0]
        assert requests.duplicates == 0


class TestLost:
    def test_an_end_without_a_start_haunts_the_time_before_it(self) -> None:
        requests = acquainted(duration=10.0)
        end(requests, "a", 100.0)
        (ghost,) = ghosts(requests.fresh())
        assert (ghost.life.start, ghost.life.end) == (90.0, 100.0)
        assert requests.orphans == 1

    def test_where_durations_are_unknown_an_orphan_haunts_nothing(self) -> None:
        requests = no_requests()
        end(requests, "a", 100.0)
        assert requests.fresh() == []
        assert requests.orphans == 1

    def test_a_start_without_an_end_is_given_up_after_a_while(self) -> None:
        requests = acquainted(duration=10.0)
        start(requests, "a", 100.0)
        requests.give_up_silent(159.0)
        assert "a" in requests.running
        requests.give_up_silent(161.0)
        (ghost,) = ghosts(requests.fresh())
        assert (ghost.life.start, ghost.life.end) == (100.0, 110.0)
        assert requests.closings["timeout"] == 1

    def test_patience_is_three_times_the_longest_recent_request(self) -> None:
        requests = acquainted(duration=200.0)
        start(requests, "a", 1000.0)
        requests.give_up_silent(1599.0)
        assert "a" in requests.running
        requests.give_up_silent(1601.0)
        assert "a" not in requests.running

    def test_while_nothing_is_known_patience_is_the_horizon(self) -> None:
        requests = no_requests()
        start(requests, "a", 0.0)
        requests.give_up_silent(899.0)
        assert "a" in requests.running
        requests.give_up_silent(901.0)
        (ghost,) = ghosts(requests.fresh())
        assert (ghost.life.start, ghost.life.end) == (0.0, 901.0)

    def test_a_ghost_never_lives_in_the_future(self) -> None:
        requests = acquainted(duration=1e6)
        start(requests, "a", 0.0)
        requests.give_up_silent(5000.0)
        (ghost,) = ghosts(requests.fresh())
        assert ghost.life.end == 5000.0

    def test_an_end_that_comes_after_all_has_what_its_ghost_did_not_take(self) -> None:
        requests = acquainted(duration=10.0)
        start(requests, "a", 100.0)
        requests.give_up_silent(161.0)
        requests.fresh()
        end(requests, "a", 190.0, output=900)
        (one,) = requests.fresh()
        assert not one.ghost
        assert one.late
        assert (one.news.start, one.life.start, one.life.end) == (100.0, 110.0, 190.0)
        assert one.life.decode_tokens == pytest.approx(900.0 * 80.0 / 90.0, rel=0.15)
        assert requests.duplicates == 0

    def test_a_restarted_server_ends_what_ran_on_it_and_forgets_its_ids(self) -> None:
        requests = no_requests()
        complete(requests, "0", 0.0, 1.0)
        start(requests, "a", 1.0)
        requests.fresh()
        requests.hear(ServerRestarted(Instant(5.0)), 5.0)
        (one,) = requests.fresh()
        assert (one.news.outcome, one.life.end) == ("aborted", 5.0)
        assert requests.closings["restart"] == 1
        complete(requests, "0", 0.5, 6.0)
        assert len(requests.fresh()) == 1

    def test_what_started_after_the_restart_goes_on(self) -> None:
        requests = no_requests()
        start(requests, "a", 6.0)
        requests.hear(ServerRestarted(Instant(5.0)), 6.5)
        assert "a" in requests.running


class TestTime:
    def test_requests_settle_once_the_watermark_has_passed_their_end(self) -> None:
        requests = no_requests()
        complete(requests, "a", 1.0, 3.0)
        complete(requests, "b", 1.0, 5.0)
        requests.fresh()
        assert [one.news.id for one in requests.due(3.0)] == ["a"]
        assert [one.news.id for one in requests.due(10.0)] == ["b"]
        assert requests.due(10.0) == []

    def test_running_requests_hold_their_place_up_to_now(self) -> None:
        requests = acquainted()
        start(requests, "a", 20.0, prompt=100)
        start(requests, "b", 30.0)
        (life,) = requests.reservations(25.0)
        assert (life.start, life.end, life.prefill_tokens) == (20.0, 25.0, 100.0)
        assert life.decode_tokens == pytest.approx(10.1 * 5.0)

    def test_everything_is_known_until_the_first_of_those_that_run(self) -> None:
        requests = no_requests()
        assert requests.complete_until(50.0) == 50.0
        start(requests, "a", 20.0)
        assert requests.complete_until(50.0) == 20.0

    def test_who_started_after_the_watermark_moves_nothing(self) -> None:
        requests = no_requests()
        start(requests, "a", 60.0)
        assert requests.complete_until(50.0) == 50.0

    def test_news_of_settled_time_is_late(self) -> None:
        requests = no_requests()
        requests.ripe = 50.0
        complete(requests, "a", 40.0, 60.0)
        start(requests, "b", 45.0)
        end(requests, "b", 61.0)
        assert [one.late for one in requests.fresh()] == [True, True]

    def test_delay_is_that_of_the_latest_news_of_a_kind_that_speaks_only_at_the_end(self) -> None:
        requests = no_requests()
        complete(requests, "a", 10.0, 40.0)
        assert requests.usual.delay() == 30.0
        start(requests, "b", 50.0, late=0.5)
        assert requests.usual.delay() == 30.0

    def test_quiet_is_sure_once_three_times_the_usual_delay_has_passed(self) -> None:
        requests = no_requests()
        assert requests.quiet_until(100.0) == 40.0
        complete(requests, "a", 10.0, 15.0)
        assert requests.quiet_until(100.0) == 90.0


def test_nothing_is_forgotten_across_a_restart() -> None:
    before = acquainted()
    start(before, "running", 20.0, prompt=100)
    before.hear(FirstToken("running", Instant(21.0)), 21.0)
    complete(before, "registered", 10.0, 30.0)
    before.fresh()
    complete(before, "fresh", 11.0, 31.0)
    after = no_requests()
    after.restore(json.loads(json.dumps(before.snapshot())))
    assert after.snapshot() == before.snapshot()
    assert after.running == before.running
    assert (after.fresh(), after.unsettled()) == (before.fresh(), before.unsettled())
    complete(after, "registered", 10.0, 30.0)
    assert after.duplicates == before.duplicates + 1
