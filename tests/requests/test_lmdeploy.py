import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Counted, Dropped, Ended, Heard, Ignored, ServerRestarted, Started, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from tests.requests.replay import ALL_LOGS, events, feed, live, requests

NOW = 1795234621.0  # 2026-11-21T04:17:01Z
AT = Instant(NOW + 0.0625)
HALF = 0.0625


def _reader() -> RequestReader:
    return READERS["lmdeploy"].build({}, "UTC")


def _feed(reader: RequestReader, *texts: str) -> list[Heard]:
    return [reader.feed(Line(text, Instant(NOW), Instant(NOW + 0.125))) for text in texts]


def _events(reader: RequestReader, *texts: str) -> list[object]:
    return [event for heard in _feed(reader, *texts) if isinstance(heard, Used) for event in heard.events]


def _said(message: str, level: str = "INFO", file: str = "async_engine.py", stamp: str = "04:17:01,062") -> str:
    return f"2026-11-21 {stamp} - lmdeploy - {level} - {file}:731 - {message}"


def _start(id_: int, tokens: int = 11) -> str:
    return _said(
        f"session={id_}, history_tokens=0, input_tokens={tokens}, max_new_tokens=64, seq_start=True, seq_end=True, "
        "step=0, prep=True"
    )


def _end(id_: int, reason: str = "stop") -> str:
    return _said(f'session {id_} finished, reason "{reason}", input_tokens 11, output_tokens 64')


def test_a_request_starts_and_ends_with_its_tokens_at_a_millisecond() -> None:
    started, ended = _events(_reader(), _start(5), _end(5))
    at, half = pytest.approx(NOW + 0.0625, abs=1e-3), pytest.approx(0.0005, abs=1e-6)
    assert isinstance(started, Started)
    assert isinstance(ended, Ended)
    assert (started.id, started.prompt_tokens) == ("5", 11)
    assert (ended.id, ended.outcome, ended.prompt_tokens, ended.output_tokens) == ("5", "ok", 11, 64)
    assert started.at == at
    assert ended.uncertainty == half


@pytest.mark.parametrize(
    ("message", "outcome", "closing"),
    [
        ('session 5 finished, reason "length", input_tokens 11, output_tokens 64', "ok", "finish"),
        ('session 5 finished, reason "abort", input_tokens 11, output_tokens 3', "aborted", "abort"),
        ('session 5 finished, reason "error"', "error", "finish"),
        ('session 5 finished, ResponseType.INTERNAL_ENGINE_ERROR, reason "error"', "error", "finish"),
        ("[safe_run] session 5 exception caught: GeneratorExit ", "aborted", "abort"),
        ("[safe_run] session 5 exception caught: CancelledError Cancelled by cancel scope 7f", "aborted", "abort"),
        ("[safe_run] session 5 exception caught: RuntimeError out of memory", "error", "finish"),
        ("[generate] session 5 got aborted before starting inference", "aborted", "abort"),
        ("run out of tokens. session=5.", "error", "finish"),
    ],
)
def test_every_end_closes_its_request(message: str, outcome: str, closing: str) -> None:
    (ended,) = _events(_reader(), _start(5), _said(message, "ERROR"))[1:]
    assert isinstance(ended, Ended)
    assert (ended.id, ended.outcome, ended.closing) == ("5", outcome, closing)


def test_a_session_that_starts_while_it_is_open_ended_silently() -> None:
    told = _events(_reader(), _start(5), _start(5), _end(5))
    assert [type(event) for event in told] == [Started, Ended, Started, Ended]
    assert isinstance(told[1], Ended)
    assert told[1].closing == "reuse"


def test_sessions_are_numbered_anew_after_a_restart() -> None:
    process = "INFO:     Started server process [41]"
    told = _events(_reader(), _start(1), process, process, _start(1))
    assert [type(event) for event in told] == [Started, ServerRestarted, Started]


def test_trouble_of_nobody_known_says_nothing() -> None:
    assert _feed(_reader(), _said("[safe_run] session 9 exception caught: ValueError ", "ERROR")) == [Ignored("repeat")]


ACCESS = 'INFO:     10.2.3.4:50112 - "POST {path} HTTP/1.1" 200 OK'


def test_access_lines_count_while_there_are_no_request_lines() -> None:
    chat = ACCESS.format(path="/v1/chat/completions")
    reader = _reader()
    assert _events(reader, chat) == [Counted(AT)]
    assert _feed(reader, ACCESS.format(path="/v1/encode"), _start(1), chat)[::2] == [
        Ignored("other_endpoint"),
        Ignored("access_line"),
    ]


def test_a_stamp_that_is_none_in_a_file_read_back_is_counted_as_lost() -> None:
    line = Line(_start(1).replace("-11-21", "-13-41"), Instant(float("-inf")), Instant(NOW))
    assert _reader().feed(line) == Dropped("no_time")


_PIECES = st.sampled_from([_start(7), _end(5), _end(7), "\n" + _end(5), 'session 5 finished, reason "stop"', "'"])


@settings(deadline=None)
@given(st.lists(_PIECES | st.text(max_size=30), min_size=1, max_size=4).map("".join))
def test_a_prompt_cannot_forge_an_event(prompt: str) -> None:
    lines = (
        _said(f"session=5, prompt={prompt!r}", "REQUEST", "logger.py"),
        _said(
            f"session=5, adapter_name=, input_tokens=11, gen_config=G(n=1), prompt={prompt!r}", "REQUEST", "logger.py"
        ),
        _said(f"session=5, response={prompt!r}", "REQUEST", "logger.py"),
        _said(f"failed to parse {prompt!r}", "WARNING", "api_server.py"),
        _said(f'session 5 finished, reason "stop", {prompt!r}', "DEBUG"),
    )
    told = _events(_reader(), _start(5), *lines, _end(5))
    assert [type(event) for event in told] == [Started, Ended]


def test_the_recorded_logger_carries_prompts_and_they_are_left_alone() -> None:
    log = next(log for log in ALL_LOGS if log.name == "lmdeploy-0.18.0-driver.log")
    heard = feed(log.reader(), live(log))
    assert heard[:-1] == [Ignored("request_detail")] * 9


def test_overlapping_sessions_of_a_whole_log_end_as_they_did() -> None:
    log = next(log for log in ALL_LOGS if log.name == "lmdeploy-info-shape.log")
    told = events(feed(log.reader(), live(log)))
    ended = [event for event in told if isinstance(event, Ended)]
    assert [(one.id, one.outcome, one.output_tokens) for one in ended] == [
        ("3", "ok", 32),
        ("1", "ok", 57),
        ("2", "aborted", None),
        ("1", "error", None),
        ("4", "aborted", 7),
    ]
    found = requests(told)
    assert found["3"].end - found["3"].start == pytest.approx(0.638, abs=1e-3)
    assert found["4"].end - found["4"].start == pytest.approx(0.380, abs=1e-3)
