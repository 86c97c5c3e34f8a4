import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Counted, Ended, FirstToken, Heard, Ignored, ServerRestarted, Started, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS

NOW = 1795234621.0  # 2026-11-21T04:17:01Z
PREFIX = "(APIServer pid=7) INFO 11-21 04:17:01 [{file}:65] "


def _reader() -> RequestReader:
    return READERS["vllm"].build({}, "UTC")


def _feed(reader: RequestReader, *texts: str) -> list[Heard]:
    return [reader.feed(Line(text, Instant(NOW), Instant(NOW + 0.125))) for text in texts]


def _events(reader: RequestReader, *texts: str) -> list[object]:
    return [event for heard in _feed(reader, *texts) if isinstance(heard, Used) for event in heard.events]


def _said(message: str, file: str = "async_llm.py") -> str:
    return PREFIX.format(file=file) + message


def _received(id_: str) -> str:
    return _said(f"Received request {id_}: params: SamplingParams(n=1), lora_request: None.", "request_logger.py")


def _generated(id_: str, how: str = "", reason: str = "stop") -> str:
    return _said(f"Generated response {id_}{how}: output: 'x', finish_reason: {reason}", "request_logger.py")


AT = Instant(NOW + 0.0625)
HALF = 0.0625


@pytest.mark.parametrize(
    "prefix",
    [
        "INFO 11-21 04:17:01 logger.py:36] ",
        "INFO 11-21 04:17:01 [logger.py:39] ",
        "\x1b[1;36m(APIServer pid=20475)\x1b[0;0m INFO 11-21 04:17:01 [logger.py:40] ",
        "(APIServer pid=6001) INFO 11-21 04:17:01 [request_logger.py:65] ",
        "(ApiServer_2 pid=6001) \x1b[32mINFO\x1b[0m \x1b[90m11-21 04:17:01\x1b[0m \x1b[90m[logger.py:65]\x1b[0m ",
        "(APIServer pid=8171) INFO 11-21 04:17:01 [entrypoints/.../utils/request_logger.py:65] ",
    ],
)
def test_every_eras_prefix_is_read(prefix: str) -> None:
    text = prefix + "Received request cmpl-1-0: prompt: 'hi', params: SamplingParams(n=1)."
    assert _events(_reader(), text) == [Started("cmpl-1-0", AT, HALF)]


def test_a_request_starts_gives_its_first_token_and_ends_once() -> None:
    told = _events(
        _reader(),
        _received("a"),
        _said("Added request a-0123abcd."),
        _generated("a", " (streaming delta)", "None"),
        _generated("a", " (streaming delta)", "None"),
        _generated("a", " (streaming complete)", "streaming_complete"),
    )
    assert [type(event) for event in told] == [Started, FirstToken, Ended]


def test_an_abort_of_two_lines_is_one_end() -> None:
    reader = _reader()
    told = _events(reader, _received("a"), _said("Aborted request(s) a-0123abcd."), _said("Request a aborted."))
    assert told[1:] == [Ended("a", AT, HALF, "aborted", "abort")]


def test_a_list_of_aborted_requests_ends_each() -> None:
    ids = [f"chatcmpl-{number:036d}" for number in range(100)]
    reader = _reader()
    _feed(reader, *map(_received, ids))
    told = _events(reader, _said(f"Aborted request(s) {','.join(f'{id_}-0123abcd' for id_ in ids)}."))
    assert [event.id for event in told if isinstance(event, Ended)] == ids


def test_an_id_that_itself_ends_in_eight_hex_digits_is_matched_whole_first() -> None:
    told = _events(_reader(), _received("a"), _received("a-0123abcd"), _said("Aborted request(s) a-0123abcd."))
    assert told[2:] == [Ended("a-0123abcd", AT, HALF, "aborted", "abort")]


def test_parallel_samples_are_one_request() -> None:
    told = _events(
        _reader(), _received("a"), _said("Added request 0_a-0123abcd."), _said("Added request 1_a-89abcdef.")
    )
    assert [type(event) for event in told] == [Started]


def test_a_completion_of_several_prompts_is_ended_by_its_common_answer() -> None:
    told = _events(_reader(), _received("cmpl-x-0"), _received("cmpl-x-1"), _generated("cmpl-x"), _generated("cmpl-x"))
    assert [event.id for event in told if isinstance(event, Ended)] == ["cmpl-x-0", "cmpl-x-1"]


def test_a_completion_of_one_prompt_gives_its_first_token() -> None:
    told = _events(_reader(), _received("cmpl-x-0"), _generated("cmpl-x", " (streaming delta)", "None"))
    assert told[1] == FirstToken("cmpl-x-0", AT, HALF)


def test_v0_says_finished() -> None:
    finished = "INFO 11-21 04:17:01 async_llm_engine.py:141] Finished request a."
    assert [type(event) for event in _events(_reader(), _received("a"), finished)] == [Started, Ended]


@pytest.mark.parametrize("why", ["(engine dead).", "(bad request).", "due to ValueError."])
def test_a_failure_is_an_error(why: str) -> None:
    told = _events(_reader(), _received("a"), _said(f"Request a failed {why}"))
    assert told[1:] == [Ended("a", AT, HALF, "error")]


def test_an_end_whose_start_was_before_us_is_still_told() -> None:
    assert _events(_reader(), _generated("a")) == [Ended("a", AT, HALF)]


def test_a_start_that_is_shipped_twice_is_one_request() -> None:
    assert _events(_reader(), _received("a"), _received("a")) == [Started("a", AT, HALF)]


ACCESS = 'INFO:     10.1.2.3:4000 - "POST /v1/chat/completions HTTP/1.1" {status}'


def test_access_lines_count_while_there_are_no_request_lines() -> None:
    told = _events(_reader(), ACCESS.format(status="200 OK"), ACCESS.format(status="503 Service Unavailable"))
    assert told == [Counted(AT, "ok"), Counted(AT, "error")]


def test_access_lines_are_ignored_once_there_are_request_lines() -> None:
    assert _feed(_reader(), _received("a"), ACCESS.format(status="200 OK"))[1] == Ignored("access_line")


@pytest.mark.parametrize("path", ["GET /health", "GET /metrics", "POST /tokenize", "GET /v1/models"])
def test_other_endpoints_are_ignored(path: str) -> None:
    assert _feed(_reader(), f'INFO:     10.1.2.3:4000 - "{path} HTTP/1.1" 200 OK') == [Ignored("other_endpoint")]


def test_a_start_is_one_restart_however_much_it_prints() -> None:
    start = (
        _said("vLLM API server version 0.11.0", "api_server.py"),
        "(EngineCore_DP0 pid=8) INFO 11-21 04:17:01 [core.py:77] Initializing a V1 LLM engine (v0.11.0) with config: x",
        "INFO:     Started server process [7]",
    )
    reader = _reader()
    told = _events(reader, *start, _received("a"), *start)
    assert [type(event) for event in told] == [ServerRestarted, Started, ServerRestarted]
    assert _events(reader, _received("a"))[0] == Started("a", AT, HALF)


def test_an_engine_that_is_added_later_is_no_restart() -> None:
    reader = _reader()
    _feed(reader, _said("vLLM API server version 0.11.0", "api_server.py"), _received("a"))
    assert not _events(
        reader, "(EngineCore_DP1 pid=9) INFO 11-21 04:17:01 [core.py:77] Initializing a V1 LLM engine (v0) with config"
    )


FORGERIES = (
    "Received request evil: params: x",
    _received("evil"),
    _generated("evil"),
    _said("Aborted request(s) a."),
    ACCESS.format(status="200 OK"),
    '{"message": "Received request evil: params: x", "name": "request_logger"}',
)


@settings(deadline=None)
@given(st.lists(st.one_of(st.sampled_from(FORGERIES), st.text()), min_size=1, max_size=4), st.booleans())
def test_a_prompt_cannot_forge_an_event(pieces: list[str], repeats_prefix: bool) -> None:  # noqa: FBT001
    reader = _reader()
    _feed(reader, _received("a"))
    prompt = "\n".join(pieces)
    inline = _said(f"Request a details: prompt: {prompt!r}", "request_logger.py")
    lines = [inline, _said("Received request b: prompt: " + repr(prompt) + ", params: x", "logger.py")]
    if repeats_prefix:  # an error that quotes the prompt line by line, each behind the prefix
        lines += [_said(piece, "serving_chat.py") for piece in prompt.split("\n")]
    told = _events(reader, *lines)
    assert told == [Started("b", AT, HALF)]
