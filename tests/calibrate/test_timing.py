"""Timing an API, against a real local server; and against a real llama-server where one is installed."""

import asyncio
import contextlib
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.calibrate.timing import (
    LONGEST_WORDS,
    SHORTEST_WORDS,
    Findings,
    Plan,
    Progress,
    lengths,
    prompt,
    time_server,
)
from exporter.completions.client import CompletionError, Target, endpoint
from exporter.completions.observation import Observation
from exporter.completions.streamed import CUT, Answer, Stream
from exporter.demo.inference import InferenceError, find_inference, running
from exporter.domain.errors import UsageError
from tests.calibrate.api_server import KEY, Behaviour, serving
from tests.properties import PROPERTIES

PLAN = Plan(requests=4, max_tokens=12)


async def timed(behaviour: Behaviour, plan: Plan = PLAN, key: str | None = None) -> Findings:
    async with serving(behaviour) as url:
        return await time_server(Target(url, "small", key), plan, "n")


async def refused(behaviour: Behaviour, key: str | None = None) -> str:
    with pytest.raises(CompletionError) as error:
        await timed(behaviour, key=key)
    assert KEY not in str(error.value)
    return str(error.value)


async def test_every_answer_is_timed_with_the_servers_own_counts() -> None:
    findings = await timed(Behaviour())
    assert (len(findings.good), findings.failures, findings.counted_pieces) == (4, {}, 0)
    for one, words in zip(findings.good, lengths(4), strict=True):
        assert 0.0 < one.time_to_first_token_seconds < one.seconds
        assert one.output_tokens == 12
        assert words < (one.prompt_tokens or 0) < words + 20


async def test_one_request_goes_first_and_does_not_count() -> None:
    behaviour = Behaviour()
    findings = await timed(behaviour)
    assert len(behaviour.bodies) == len(findings.good) + 1


async def test_each_timing_is_told_as_it_comes() -> None:
    told: list[Observation] = []
    async with serving(Behaviour()) as url:
        findings = await time_server(Target(url, "small"), PLAN, "n", told.append)
    assert told == findings.good


async def test_requests_are_streamed_and_ask_for_what_they_cost() -> None:
    behaviour = Behaviour()
    await timed(behaviour, key=KEY)
    assert all(body["stream"] and body["stream_options"] == {"include_usage": True} for body in behaviour.bodies)
    assert {body["model"] for body in behaviour.bodies} == {"small"}
    assert set(behaviour.keys) == {f"Bearer {KEY}"}


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_as_many_run_at_once_as_are_wanted(concurrency: int) -> None:
    behaviour = Behaviour()
    findings = await timed(behaviour, Plan(requests=7, concurrency=concurrency, max_tokens=12))
    assert behaviour.most_running == concurrency
    assert len(findings.good) == 7


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(refuses_stream_options=True),
        Behaviour(wants_completion_tokens=True),
        Behaviour(refuses_stream_options=True, wants_completion_tokens=True),
        Behaviour(only_text=True),
        Behaviour(only_text=True, refuses_stream_options=True),
        Behaviour(busy_times=2),
        Behaviour(thinks=True),
        Behaviour(bytewise=True),
        Behaviour(bytewise=True, line_end="\r\n"),
        Behaviour(line_end="\r"),
    ],
)
async def test_servers_differ_and_are_timed_all_the_same(behaviour: Behaviour) -> None:
    findings = await timed(behaviour)
    assert (len(findings.good), findings.failures) == (4, {})
    assert {one.output_tokens for one in findings.good} == {12}


@pytest.mark.parametrize("behaviour", [Behaviour(refuses_stream_options=True), Behaviour(tells_usage=False)])
async def test_where_the_server_does_not_count_pieces_are_counted_and_it_is_said(behaviour: Behaviour) -> None:
    findings = await timed(behaviour)
    assert findings.counted_pieces == 4
    assert [(one.prompt_tokens, one.output_tokens) for one in findings.good] == 4 * [(None, 12)]


async def test_without_a_key_that_it_needs_it_is_said_how_to_give_one() -> None:
    said = await refused(Behaviour(needs_key=True))
    assert "401" in said
    assert "--api-key-env" in said


async def test_a_wrong_key_is_never_shown() -> None:
    async with serving(Behaviour(needs_key=True)) as url:
        with pytest.raises(CompletionError) as error:
            await time_server(Target(url, "small", "sk-wrong"), PLAN, "n")
    assert "sk-wrong" not in f"{error.value} {error.value.__cause__} {Target(url, 'small', 'sk-wrong')!r}"


async def test_a_key_that_a_server_repeats_is_not_shown() -> None:
    said = await refused(Behaviour(repeats_key=True), key=KEY)
    assert "400" in said
    assert "***" in said


async def test_a_prompt_that_is_too_long_for_the_server_is_one_failure_and_changes_nothing_else() -> None:
    behaviour = Behaviour(longest_prompt=200)
    findings = await timed(behaviour)
    assert 0 < len(findings.good) < 4
    [reason] = findings.failures
    assert "context" in reason
    assert all("stream_options" in body for body in behaviour.bodies)


async def test_a_connection_that_the_server_closed_is_opened_again() -> None:
    findings = await timed(Behaviour(hangs_up_once=True))
    assert (len(findings.good), findings.failures) == (4, {})


async def test_a_model_that_is_not_there_is_named() -> None:
    assert "`small` does not exist" in await refused(Behaviour(unknown_model=True))


async def test_a_server_that_is_not_there_is_said() -> None:
    with pytest.raises(
        CompletionError, match=r"http://127\.0\.0\.1:9 gave no answer that could be timed: cannot be reached"
    ):
        await time_server(Target("http://127.0.0.1:9", "small"), PLAN, "n")


@pytest.mark.parametrize("written", ["seconds", "date"])
async def test_nobody_waits_for_an_hour(written: str) -> None:
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    retry_after = "3600" if written == "seconds" else tomorrow
    assert "try again later" in await refused(Behaviour(busy_times=1, retry_after=retry_after))


async def test_a_server_that_stays_busy_is_given_up_on() -> None:
    assert "too busy (HTTP 429)" in await refused(Behaviour(busy_times=1000))


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Behaviour(cuts_after=3), CUT),
        (Behaviour(breaks_after=3, cuts_after=3), CUT),
        (Behaviour(fails_after=3), "failed (HTTP 500)"),
    ],
)
async def test_failures_on_the_way_are_counted_and_the_rest_is_kept(behaviour: Behaviour, reason: str) -> None:
    findings = await timed(behaviour)
    assert len(findings.good) == 2
    assert findings.failures == {reason: 2}


async def test_an_answer_in_one_piece_tells_no_first_token() -> None:
    findings = await timed(Behaviour(in_one_piece=True))
    assert findings.good == []
    [reason] = findings.failures
    assert "does not stream" in reason


async def test_an_answer_without_text_is_no_timing() -> None:
    assert "held no text" in await refused(Behaviour(silent=True))


async def test_a_server_that_never_answers_times_out() -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(CompletionError, match="timed out"):
            await time_server(Target(url, "small"), replace(PLAN, timeout_seconds=0.05), "n")


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("http://h:8000", "http://h:8000/v1/chat/completions"),
        ("http://h:8000/", "http://h:8000/v1/chat/completions"),
        ("https://h/v1", "https://h/v1/chat/completions"),
        ("https://h/openai/v1/", "https://h/openai/v1/chat/completions"),
        ("https://h/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1/completions", "https://h/v1/chat/completions"),
        ("https://h/deployments/d?api-version=1", "https://h/deployments/d/chat/completions?api-version=1"),
    ],
)
def test_the_url_may_be_given_as_one_has_it(given: str, asked: str) -> None:
    assert endpoint(given, "chat") == asked


@pytest.mark.parametrize("given", ["localhost:8000", "ftp://h/", "http://", "", "file:///etc/passwd"])
def test_what_is_no_url_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="--url"):
        endpoint(given, "chat")


def test_prompts_are_short_and_long_and_length_has_nothing_to_do_with_time() -> None:
    words = list(lengths(20))
    assert min(words) < 2 * SHORTEST_WORDS
    assert max(words) > LONGEST_WORDS / 2
    assert words != sorted(words)
    assert abs(sum(words[:10]) - sum(words[10:])) < 0.5 * sum(words)


def test_no_cache_has_seen_a_prompt_before() -> None:
    assert prompt(30, "a-1").split()[0] != prompt(30, "a-2").split()[0]
    assert prompt(30, "a-1") == prompt(30, "a-1")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals_only() -> None:
    for stream, shown in ((Terminal(), "\r  timed 1 of 2\r  timed 2 of 2\n"), (StringIO(), "")):
        progress = Progress(2, stream)
        progress.step()
        progress.step()
        assert stream.getvalue() == shown


@PROPERTIES
@given(st.binary())
def test_no_bytes_break_a_stream(noise: bytes) -> None:
    stream = Stream(0.0)
    stream.take(b"data: " + noise + b"\n\n", 1.0)
    stream.take(noise, 2.0)
    stream.end()
    assert isinstance(stream.answer(), str)


@pytest.mark.parametrize(
    "data", ["[]", "1", '"x"', "{", '{"choices": 3}', '{"choices": [3]}', '{"choices": [{"delta": 3}]}', '{"usage": 1}']
)
def test_events_that_are_no_chunks_are_passed_over(data: str) -> None:
    stream = Stream(0.0)
    stream.take(f"data: {data}\n\n".encode(), 1.0)
    assert stream.answer() == CUT


def test_the_clock_runs_from_the_first_text_to_the_last() -> None:
    stream = Stream(10.0)
    for now, text in ((11.0, ""), (12.0, "a"), (13.0, "b"), (14.0, "c")):
        stream.take(f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n".encode(), now)
    stream.take(b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 4}}\n\n', 15.0)
    stream.take(b"data: [DONE]\n\n", 16.0)
    assert stream.answer() == Answer(Observation(2.0, 4.0, 5, 4), counted_pieces=False)


def test_an_error_within_the_stream_is_a_failure() -> None:
    stream = Stream(0.0)
    stream.take(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: {"error": {"message": "x"}}\n\n', 1.0)
    stream.take(b"data: [DONE]\n\n", 2.0)
    assert stream.answer() == "broke off with an error in the stream"


@pytest.mark.e2e
def test_a_real_llama_server_can_be_timed() -> None:
    try:
        inference = find_inference()
    except InferenceError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with running(inference) as server:
        findings = asyncio.run(time_server(Target(server.url, server.model), Plan(requests=6, max_tokens=16), "e2e"))
    assert set(findings.failures) <= {"held no text"}, "a small model may have nothing to say"
    assert (len(findings.good) >= 4, findings.counted_pieces) == (True, 0)
    by_length = sorted(findings.good, key=lambda one: one.prompt_tokens or 0)
    assert (by_length[-1].prompt_tokens or 0) > 4 * (by_length[0].prompt_tokens or 0) > 40
    assert by_length[-1].time_to_first_token_seconds > by_length[0].time_to_first_token_seconds
    assert all(2 <= (one.output_tokens or 0) <= 16 for one in findings.good)
