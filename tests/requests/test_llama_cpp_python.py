from itertools import pairwise
from math import inf

import pytest

from exporter.domain.events import Completed, Counted, Heard, Ignored, RequestEvent, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.servers.llama_cpp_python import build
from tests.requests.replay import (
    LLAMA_CPP_PYTHON_LOG,
    LLAMA_CPP_PYTHON_WITHOUT_BLOCKS,
    POLL_SECONDS,
    Told,
    back_read,
    counted,
    events,
    feed,
    live,
    requests,
    truth,
)

NOW = 1795234621.0
HALF = 0.0625
NOISE = "llama_kv_cache: layer   0: dev = CPU"
STREAM = 'INFO:     127.0.0.1:38594 - "POST /v1/chat/completions HTTP/1.1" 200 OK'
REFUSED = 'INFO:     127.0.0.1:38594 - "POST /v1/chat/completions HTTP/1.1" 400 Bad Request'
STARTED = "INFO:     Started server process [17611]"
LEFT = "Disconnected from client (via refresh/close) Address(host='127.0.0.1', port=38682)"


def _generate(cached: int = 24, remaining: int = 30) -> str:
    return f"Llama.generate: {cached} prefix-match hit, remaining {remaining} prompt tokens to eval"


def _block(
    evaluated: int = 30,
    runs: int = 59,
    prompt_ms: float = 110.48,
    eval_ms: float = 587.2,
    head: str = "perf_context_print",
) -> list[str]:
    return [
        f"llama_{head}:        load time =       0.32 ms",
        f"llama_{head}: prompt eval time = {prompt_ms:10.2f} ms / {evaluated:5} tokens (    3.68 ms per token)",
        f"llama_{head}:        eval time = {eval_ms:10.2f} ms / {runs:5} runs   (    9.95 ms per token)",
        f"llama_{head}:       total time =     776.37 ms /    89 tokens",
        f"llama_{head}:    graphs reused =         58",
    ]


def _heard(*texts: str, reader: RequestReader | None = None, live: bool = True) -> list[Heard]:
    reader = reader or build({}, None)
    return [
        reader.feed(Line(text, Instant(NOW + second if live else -inf), Instant(NOW + second + 2 * HALF)))
        for second, text in enumerate(texts)
    ]


def _told(*texts: str, reader: RequestReader | None = None, live: bool = True) -> list[RequestEvent]:
    return [e for one in _heard(*texts, reader=reader, live=live) if isinstance(one, Used) for e in one.events]


def _only(*texts: str) -> Completed:
    [told] = _told(*texts)
    assert isinstance(told, Completed)
    return told


# What was recorded


def _recorded() -> list[Told]:
    return list(requests(events(feed(LLAMA_CPP_PYTHON_LOG.reader(), live(LLAMA_CPP_PYTHON_LOG)))).values())


def test_every_execution_ends_when_its_client_saw_it_end() -> None:
    told, seen = _recorded(), sorted(truth(LLAMA_CPP_PYTHON_LOG), key=lambda one: one.ended)
    assert len(told) == len(seen) == 12
    for found, one in zip(told, seen, strict=True):
        assert found.end == pytest.approx(one.ended, abs=POLL_SECONDS / 2 + 1e-6)
        assert found.ended.outcome == ("aborted" if one.aborted else "ok")
        assert found.start >= one.sent - POLL_SECONDS / 2


def test_executions_come_one_after_the_other() -> None:
    told = _recorded()
    for earlier, found in pairwise(told):
        assert found.start == pytest.approx(earlier.end, abs=POLL_SECONDS)


def test_the_tokens_are_those_that_clients_were_billed() -> None:
    told, seen = _recorded(), sorted(truth(LLAMA_CPP_PYTHON_LOG), key=lambda one: one.ended)
    billed = [(found, one) for found, one in zip(told, seen, strict=True) if one.output_tokens is not None]
    assert len(billed) == 5
    for found, one in billed:
        assert (found.ended.prompt_tokens, found.ended.output_tokens) == (one.prompt_tokens, one.output_tokens)


def test_first_tokens_are_told_where_the_prompt_was_timed_rightly() -> None:
    told, seen = _recorded(), sorted(truth(LLAMA_CPP_PYTHON_LOG), key=lambda one: one.ended)
    streams = [(f.first, one.first) for f, one in zip(told, seen, strict=True) if f.first is not None and one.first]
    assert len(streams) == 5
    for found, first in streams:
        assert found == pytest.approx(first, abs=POLL_SECONDS)


def test_what_is_read_back_is_counted() -> None:
    told = events(feed(LLAMA_CPP_PYTHON_LOG.reader(), back_read(LLAMA_CPP_PYTHON_LOG)))
    assert sorted(one.outcome for one in counted(told)) == ["aborted", "error", *["ok"] * 11]
    assert not requests(told)


def test_without_blocks_every_request_is_counted_once() -> None:
    log = LLAMA_CPP_PYTHON_WITHOUT_BLOCKS
    told = events(feed(log.reader(), live(log)))
    assert len(told) == len(counted(told)) == len(truth(log)) + 1  # the malformed one
    assert [one.outcome for one in counted(told)].count("error") == 1


# One execution


def test_a_block_is_an_execution_that_took_its_total_until_now() -> None:
    assert _only(_generate(), *_block()) == Completed(
        "#1",
        Instant(NOW + 4 + HALF - 0.77637),
        Instant(NOW + 4 + HALF),
        HALF,
        HALF,
        first_token=Instant(NOW + 4 + HALF - 0.77637 + 0.11048),
        prompt_tokens=54,
        cached_tokens=24,
        output_tokens=60,
    )


def test_blocks_of_older_builds_are_read_too() -> None:
    head = "print_timings"
    sample = "llama_print_timings:      sample time =      61.58 ms /   232 runs   (    0.27 ms per token)"
    block = _block(head=head)
    assert _only(_generate(), *block[:1], sample, *block[1:]) == _only(_generate(), "", *_block())


def test_a_cache_is_known_to_be_empty_only_if_the_begin_was_seen() -> None:
    assert _only(*_block()).prompt_tokens is None
    assert (_only(STARTED, *_block()).prompt_tokens, _only(STARTED, *_block()).cached_tokens) == (30, 0)
    [_, second] = _told(*_block(), *_block())
    assert isinstance(second, Completed)
    assert second.cached_tokens == 0


@pytest.mark.parametrize(
    ("texts", "output"),
    [
        ((STARTED, *_block()), 60),
        ((_generate(100, 1), *_block(evaluated=1)), 59),  # the prompt's last token took a run
        (("Llama.generate: prefix-match hit", *_block(evaluated=0)), 59),
        (("Llama.generate: prefix-match hit", *_block(evaluated=1)), None),
        ((STARTED, *_block(runs=1, eval_ms=0.0)), None),  # one token, or an embedding
    ],
)
def test_output_is_a_token_more_than_there_were_decoding_runs(texts: tuple[str, ...], output: int | None) -> None:
    assert _only(*texts).output_tokens == output


@pytest.mark.parametrize("prompt_ms", [0.0, 0.11, 4.0, 9999.0])
def test_an_absurd_time_of_the_prompt_tells_no_first_token(prompt_ms: float) -> None:
    assert _only(STARTED, *_block(prompt_ms=prompt_ms)).first_token is None


def test_lines_of_other_threads_may_come_within_a_block() -> None:
    texts = _block()
    assert _only(_generate(), *texts[:2], STREAM, *texts[2:]).output_tokens == 60


# Clients that leave


def test_an_execution_without_a_block_is_aborted_when_its_client_left() -> None:
    told = _told(_generate(), "disconnected", LEFT, _generate(), *_block())
    assert told[0] == Completed(
        "#1",
        Instant(NOW + HALF),
        Instant(NOW + 1 + HALF),
        HALF,
        HALF,
        outcome="aborted",
        prompt_tokens=54,
        cached_tokens=24,
    )
    assert isinstance(told[1], Completed)
    assert told[1].outcome == "ok"


def test_the_last_execution_is_told_when_the_server_stops() -> None:
    [told] = _told(_generate(), LEFT, "INFO:     Shutting down")
    assert isinstance(told, Completed)
    assert (told.outcome, told.end) == ("aborted", NOW + 1 + HALF)


def test_a_client_that_leaves_while_it_waits_is_counted() -> None:
    told = _told(_generate(), LEFT, *_block())
    assert [type(one) for one in told] == [Counted, Completed]
    assert [getattr(one, "outcome", None) for one in told] == ["aborted", "ok"]


def test_a_block_that_is_not_of_what_was_seen_to_begin_is_of_a_later_execution() -> None:
    told = _told(_generate(24, 300), LEFT, *_block(evaluated=30))
    assert [getattr(one, "outcome", None) for one in told] == ["aborted", "ok"]
    assert [getattr(one, "prompt_tokens", None) for one in told] == [324, None]


def test_an_execution_that_a_crash_cut_short_is_counted() -> None:
    assert _told(_generate(), STARTED) == [Counted(Instant(NOW + 1 + 2 * HALF), "aborted")]


# Counting


def test_access_lines_count_until_the_log_shows_executions() -> None:
    assert [one.outcome for one in _told(STREAM, REFUSED) if isinstance(one, Counted)] == ["ok", "error"]
    assert _heard(NOISE, STREAM)[1] == Ignored("access_line")
    assert _told(NOISE, REFUSED) == [Counted(Instant(NOW + 1 + HALF), "error")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('INFO:     127.0.0.1:38582 - "GET /v1/models HTTP/1.1" 200 OK', "other_endpoint"),
        (NOISE, "library"),
        (STARTED, "startup"),
        ("INFO:     Uvicorn running on http://127.0.0.1:8101 (Press CTRL+C to quit)", "startup"),
        ("INFO:     Shutting down", "shutdown"),
        ("ERROR:    ASGI callable returned without completing response.", "error"),
        ("disconnected", "disconnect"),
        (LEFT, "disconnect"),
        ("", "blank"),
        ("Model metadata: {'tokenizer.chat_template': 'x'}", "unstamped"),
    ],
)
def test_other_lines_are_ignored_by_their_kind(text: str, reason: str) -> None:
    assert _heard(text) == [Ignored(reason)]


def test_a_template_that_is_printed_with_the_model_forges_nothing() -> None:
    for text in (*_block(), _generate(), STREAM, LEFT):
        assert not _told(f"Model metadata: {{'tokenizer.chat_template': \"{text}\"}}", f"  {text}")
