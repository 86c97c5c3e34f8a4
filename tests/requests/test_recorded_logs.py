"""Recorded logs against what was said of them before, and against what the clients of the same run saw."""

import pytest

from exporter.domain.events import Completed
from tests.requests.golden import WAYS, golden_path, said
from tests.requests.replay import (
    ALL_LOGS,
    BARE_LLAMA_LOG,
    FRONT_LOGS,
    FRONT_WITHOUT_DURATIONS,
    GATEWAY_LOG,
    OLD_LLAMA_LOGS,
    POLL_SECONDS,
    TEXT_FRONT_LOGS,
    TIMED_LLAMA_LOGS,
    VLLM_LOGS,
    VLLM_WITHOUT_REQUEST_LINES,
    Log,
    Seen,
    Told,
    back_read,
    counted,
    events,
    feed,
    live,
    requests,
    surveyed,
    tasks,
    truth,
)


def _id(value: Log | str) -> str:
    return value.name if isinstance(value, Log) else value


def _told(log: Log, way: str) -> dict[str, Told]:
    heard = feed(surveyed(log), back_read(log)) if way == "back" else feed(log.reader(), live(log))
    return requests(events(heard))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("log", ALL_LOGS, ids=_id)
def test_a_recorded_log_still_says_what_it_said(log: Log, way: str) -> None:
    assert said(log, way) == golden_path(log, way).read_text()


# vLLM: one-second stamps read back are half a second sure; live, a poll's width; JSON, milliseconds. The server's own
# work before its first line and after its last costs up to 33 ms more on the two CPU cores that were recorded.


@pytest.mark.parametrize("log", VLLM_LOGS, ids=_id)
@pytest.mark.parametrize("way", WAYS)
def test_vllm_requests_are_where_their_clients_saw_them(log: Log, way: str) -> None:
    told = _told(log, way)
    precision = 0.001 if "json" in log.name else 0.5 if way == "back" else POLL_SECONDS / 2
    assert len(told) == len(truth(log))
    for seen in truth(log):
        found = told[seen.id]
        assert found.start == pytest.approx(seen.sent, abs=precision + 0.04)
        assert found.end == pytest.approx(seen.ended, abs=precision + 0.04)
        assert found.start_uncertainty <= precision + 1e-6
        assert found.ended.outcome == ("aborted" if seen.aborted else "ok")


@pytest.mark.parametrize("log", VLLM_LOGS[:2], ids=_id)
def test_vllm_streams_with_deltas_tell_their_first_token(log: Log) -> None:
    told = _told(log, "live")
    streams = [seen for seen in truth(log) if seen.first is not None]
    assert streams
    for seen in streams:
        assert told[seen.id].first == pytest.approx(seen.first, abs=POLL_SECONDS)


def test_vllm_without_request_lines_counts_every_request_and_places_none() -> None:
    log = VLLM_WITHOUT_REQUEST_LINES
    told = events(feed(log.reader(), live(log)))
    refused = 1  # the malformed one
    assert len(counted(told)) == len(truth(log)) + refused
    assert not requests(told)


# llama-server: its clock is microseconds; what is left is the answer's way to the client, and in one run a machine
# that was stalled for seconds. The start is execution, so durations are compared with what the server itself answered.


@pytest.mark.parametrize("log", TIMED_LLAMA_LOGS, ids=_id)
@pytest.mark.parametrize("way", WAYS)
def test_llama_server_requests_are_where_and_as_long_as_their_clients_were_told(log: Log, way: str) -> None:
    told = _told(log, way)
    matched = tasks(log)
    assert len(told) == len(truth(log)) == len(matched) + 1  # the aborted one has no timings
    for task, seen in matched.items():
        found = told[task]
        assert seen.total_ms
        assert found.end == pytest.approx(seen.ended, abs=0.035)
        assert found.end - found.start == pytest.approx(seen.total_ms / 1e3, abs=0.025)


@pytest.mark.parametrize("log", [*TIMED_LLAMA_LOGS, BARE_LLAMA_LOG], ids=_id)
def test_llama_server_tells_the_tokens_that_the_client_was_billed(log: Log) -> None:
    told = _told(log, "live")
    for task, seen in tasks(log).items():
        assert told[task].ended.prompt_tokens == seen.prompt_tokens
        assert told[task].ended.output_tokens == seen.output_tokens


@pytest.mark.parametrize("log", [*TIMED_LLAMA_LOGS, BARE_LLAMA_LOG], ids=_id)
def test_llama_server_aborts_are_aborted(log: Log) -> None:
    told = _told(log, "live")
    assert [one.ended.outcome for task, one in told.items() if task not in tasks(log)] == ["aborted"]


def test_bare_llama_server_lines_are_placed_by_their_reading() -> None:
    told = _told(BARE_LLAMA_LOG, "live")
    for task, seen in tasks(BARE_LLAMA_LOG).items():
        assert seen.total_ms
        assert told[task].end == pytest.approx(seen.ended, abs=POLL_SECONDS / 2 + 0.01)
        assert told[task].end - told[task].start == pytest.approx(seen.total_ms / 1e3, abs=POLL_SECONDS)


@pytest.mark.parametrize("log", OLD_LLAMA_LOGS, ids=_id)
def test_older_llama_servers_tell_tokens_whichever_line_comes_first(log: Log) -> None:
    told = _told(log, "live")
    assert len(told) == 8
    for one in told.values():
        assert one.ended.prompt_tokens
        assert one.ended.output_tokens in (13, 20, 50, 80)
        assert one.ended.cached_tokens is not None


@pytest.mark.parametrize("log", [BARE_LLAMA_LOG, *OLD_LLAMA_LOGS], ids=_id)
def test_lines_without_any_time_that_are_read_back_are_counted(log: Log) -> None:
    told = events(feed(surveyed(log), back_read(log)))
    assert not requests(told)
    assert len(counted(told)) in (8, 12)


# Fronts: milliseconds. HAProxy lets a short stream run on after its client left: 164 ms here. Traefik's process was
# starved of its core for 18 ms once.


@pytest.mark.parametrize("log", FRONT_LOGS, ids=_id)
@pytest.mark.parametrize("way", WAYS)
def test_fronts_place_requests_within_milliseconds(log: Log, way: str) -> None:
    told = sorted(_told(log, way).values(), key=lambda one: one.start)
    refused = told.pop()
    assert refused.ended.outcome == "error"
    for found, seen in zip(told, sorted(truth(log), key=lambda one: one.sent), strict=True):
        runs_on = seen.aborted and "haproxy" in log.name
        assert found.start == pytest.approx(seen.sent, abs=0.020)
        assert found.end == pytest.approx(seen.ended, abs=0.170 if runs_on else 0.005)
        assert found.ended.outcome == ("aborted" if seen.aborted and not runs_on else "ok")


@pytest.mark.parametrize("log", TEXT_FRONT_LOGS, ids=_id)
@pytest.mark.parametrize("way", WAYS)
def test_fronts_text_logs_place_requests_as_well_as_their_stamps(log: Log, way: str) -> None:
    told = list(_told(log, way).values())
    assert [one.ended.outcome for one in told].count("error") == 1  # the malformed one
    assert len(told) == len(truth(log)) + 1
    for seen in truth(log):
        runs_on = seen.aborted and "haproxy" in log.name
        took = seen.ended - seen.sent
        found = min(told, key=lambda one: abs(one.end - one.start - took) if "clf" in log.name else _apart(one, seen))
        assert found.start == pytest.approx(seen.sent, abs=found.start_uncertainty + 0.006)
        assert found.end == pytest.approx(seen.ended, abs=found.end_uncertainty + (0.170 if runs_on else 0.006))
        assert found.end - found.start == pytest.approx(took, abs=0.170 if runs_on else 0.015)
        # Traefik's text logs a stream with its headers' status, 200, whoever ended it.
        unseen = runs_on or "clf" in log.name
        assert found.ended.outcome == ("aborted" if seen.aborted and not unseen else "ok")


def _apart(one: Told, seen: Seen) -> float:
    return abs(one.start - seen.sent) + abs(one.end - seen.ended)


def test_a_front_that_logs_no_duration_counts_every_request_and_places_none() -> None:
    log = FRONT_WITHOUT_DURATIONS
    told = events(feed(log.reader(), live(log)))
    assert [one.outcome for one in counted(told)] == ["ok"] * len(truth(log)) + ["error"]
    assert not requests(told)


@pytest.mark.parametrize("way", WAYS)
def test_a_gateways_callback_tells_time_tokens_and_whose_a_request_is(way: str) -> None:
    told = _told(GATEWAY_LOG, way)
    assert len(told) == len(truth(GATEWAY_LOG)) + 1  # one was refused
    for seen in truth(GATEWAY_LOG):
        found = told[seen.id]
        assert found.start == pytest.approx(seen.sent, abs=0.001)
        assert found.end == pytest.approx(seen.ended, abs=0.002)
        assert found.first == pytest.approx(seen.first, abs=0.001)  # none of an answer in one piece
        assert (found.ended.prompt_tokens, found.ended.output_tokens) == (seen.prompt_tokens, seen.output_tokens)
        assert isinstance(found.ended, Completed)
        assert found.ended.tenant == "team-a"
        assert found.ended.outcome == "ok"
    assert [one.ended.outcome for one in told.values()].count("error") == 1
