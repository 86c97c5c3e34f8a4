import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Completed, Counted, Dropped, Ended, Heard, Ignored, ServerRestarted, Started, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from tests.requests.replay import ALL_LOGS, events, feed, live

NOW = 1795234621.0  # 2026-11-21T04:17:01Z
STAMP = "2026-11-21 04:17:01.062 "
AT = pytest.approx(NOW + 0.0625, abs=1e-3)
CHAT = "openai.v1.chat.completions"


def _reader() -> RequestReader:
    return READERS["kserve"].build({}, "UTC")


def _feed(reader: RequestReader, *texts: str) -> list[Heard]:
    return [reader.feed(Line(text, Instant(NOW), Instant(NOW + 0.125))) for text in texts]


def _events(reader: RequestReader, *texts: str) -> list[object]:
    return [event for heard in _feed(reader, *texts) if isinstance(heard, Used) for event in heard.events]


def _completed(reader: RequestReader, *texts: str) -> list[Completed]:
    return [event for event in _events(reader, *texts) if isinstance(event, Completed)]


def _trace(id_: str = "k-1", predict_ms: str = "400.25") -> str:
    return (
        f"{STAMP}15140 kserve.trace requestId: {id_}, preprocess_ms: 0.5, explain_ms: 0, predict_ms: {predict_ms}, "
        "postprocess_ms: 0.25"
    )


def _timing(name: str = "v1.models.m:predict", seconds: str = "0.405", status: str = "200", clock: str = "wall") -> str:
    tags = [f"http_status:{status}", "http_method:POST", f"time:{clock}"]
    return f"{STAMP}15140 kserve.trace kserve.io.{name}: {seconds} {tags}"


def _access(path: str = "/v1/models/m%3Apredict", status: str = "200 OK") -> str:
    return f'{STAMP}uvicorn.access INFO:     127.0.0.1:55804 15140 - "POST {path} HTTP/1.1" {status}'


PROCESS = STAMP + "15140 uvicorn.error INFO:     Started server process [15140]"


def test_a_trace_tells_the_models_own_time_before_it() -> None:
    (told,) = _completed(_reader(), _trace(), _access(), _timing(), _timing(clock="cpu", seconds="0.007"))
    assert (told.id, told.outcome) == ("k-1", "ok")
    assert told.end == AT
    assert told.end - told.start == pytest.approx(0.401, abs=1e-6)


def test_requests_without_an_id_are_given_one_each() -> None:
    assert [told.id for told in _completed(_reader(), _trace("N.A."), _trace("N.A."))] == ["nameless-1", "nameless-2"]


def test_an_id_that_looks_like_the_rest_of_its_line_is_an_id() -> None:
    (told,) = _completed(_reader(), _trace("x, preprocess_ms: 9e9, predict_ms: 1"))
    assert told.id == "x, preprocess_ms: 9e9, predict_ms: 1"
    assert told.end - told.start == pytest.approx(0.401, abs=1e-6)


def test_a_failure_has_no_trace_and_is_told_by_its_timing() -> None:
    (told,) = _completed(
        _reader(), _trace(), _access(status="400 Bad Request"), _timing(seconds="0.002", status="400")
    )[1:]
    assert (told.outcome, told.model) == ("error", "m")
    assert told.end - told.start == pytest.approx(0.002, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        (CHAT, None),
        ("kserve.protocol.rest.openai.endpoints.create_chat_completion", None),
        ("v1.models.llama-3:predict", "llama-3"),
        ("v2.models.llama-3.versions.1.infer", "llama-3"),
        ("kserve.protocol.rest.v1_endpoints.predict", None),
    ],
)
def test_without_traces_the_timing_tells_the_request(name: str, model: str | None) -> None:
    (told,) = _completed(_reader(), _access("/openai/v1/chat/completions"), _timing(name, "2.5"))
    assert told.end - told.start == pytest.approx(2.5, abs=1e-6)
    assert told.model == model


def test_the_older_form_of_a_timing_is_read() -> None:
    old = "['http_status:200', 'http_method:POST', 'time:wall']"
    line = f"{STAMP}1 root INFO [timing():48] kserve.io.kserve.protocol.rest.v1_endpoints.predict 0.25, {old}"
    (told,) = _completed(_reader(), line)
    assert told.end - told.start == pytest.approx(0.25, abs=1e-6)


def test_access_lines_count_where_nothing_better_is_logged_and_the_last_is_held_back() -> None:
    told = _events(_reader(), _access(), _access(status="503 Unavailable"), _access())
    assert [event.outcome for event in told if isinstance(event, Counted)] == ["ok", "error"]


def test_access_lines_beside_timings_count_nothing() -> None:
    told = _events(_reader(), _access(), _timing(), _access(), _timing())
    assert [type(event) for event in told] == [Completed, Completed]


def test_vllms_request_lines_are_read_and_beat_the_timing() -> None:
    received = "INFO 11-21 04:17:01 [logger.py:40] Received request a: prompt: 'x', params: SamplingParams(n=1)"
    generated = "INFO 11-21 04:17:01 [logger.py:71] Generated response a: output: 'x', finish_reason: stop"
    told = _events(_reader(), received, _access("/openai/v1/chat/completions"), generated, _timing(CHAT))
    assert [type(event) for event in told] == [Started, Ended]


def test_a_restart_forgets_what_was_running_and_what_the_log_held() -> None:
    received = "INFO 11-21 04:17:01 [logger.py:40] Received request a: prompt: 'x', params: SamplingParams(n=1)"
    told = _events(_reader(), received, PROCESS, PROCESS, received, PROCESS)
    assert [type(event) for event in told] == [Started, ServerRestarted, Started, ServerRestarted]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (STAMP + "15140 kserve INFO [model_server.py:register_model():472] Registering model: m", "info"),
        (STAMP + "15140 kserve ERROR [errors.py:invalid_input_handler():131] Exception:", "error"),
        (_timing("v2.health.ready").replace("POST", "GET"), "other_endpoint"),
        (_access("/v2/repository/models/m/load"), "other_endpoint"),
        ("Traceback (most recent call last):", "traceback"),
        ("", "blank"),
    ],
)
def test_other_lines_are_ignored_by_their_kind(line: str, kind: str) -> None:
    assert _feed(_reader(), line) == [Ignored(kind)]


@pytest.mark.parametrize("line", [_trace(predict_ms="oops"), _timing(seconds="soon"), _trace(predict_ms="99999999999")])
def test_a_trace_that_cannot_be_read_is_counted_as_lost(line: str) -> None:
    assert _feed(_reader(), line) == [Dropped("bad_trace_line")]


_PIECES = st.sampled_from([_trace("evil"), _timing(), PROCESS, _access(), "requestId: evil, preprocess_ms: 1", "'"])


@settings(deadline=None)
@given(st.lists(_PIECES | st.text(max_size=20), min_size=1, max_size=3).map("".join))
def test_a_prompt_inside_a_line_cannot_forge_an_event(prompt: str) -> None:
    lines = (
        f"INFO 11-21 04:17:01 [logger.py:40] Received request a: prompt: {prompt!r}, params: SamplingParams(n=1)",
        f"{STAMP}1 kserve WARNING [x.py:f():1] cannot use {prompt!r}",
        json.dumps({"prompt": prompt}),
    )
    assert [type(event) for event in _events(_reader(), *lines)] == [Started]


def test_the_recorded_logs_requests_are_found_by_their_names_and_lengths() -> None:
    log = next(log for log in ALL_LOGS if log.name == "kserve-0.21.0.log")
    told = [event for event in events(feed(log.reader(), live(log))) if isinstance(event, Completed)]
    assert [(one.id, one.outcome) for one in told] == [
        *((f"k-{number}", "ok") for number in (1, 2, 3, 4)),
        ("nameless-1", "error"),
    ]
    lengths = [one.end - one.start for one in told]
    assert lengths == pytest.approx([0.400503, 0.400606, 0.401236, 0.400683, 0.002270], abs=1e-5)
