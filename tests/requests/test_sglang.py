import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Completed, Counted, Dropped, Ended, Heard, Ignored, ServerRestarted, Started, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from tests.requests.replay import ALL_LOGS, events, feed, live, texts

NOW = 1795234621.0  # 2026-11-21T04:17:01Z
AT = Instant(NOW + 0.0625)
HALF = 0.0625
STAMP = "[2026-11-21 04:17:01] "
META: dict[str, Any] = {
    "id": "a",
    "finish_reason": {"type": "stop", "matched": 2},
    "prompt_tokens": 12,
    "completion_tokens": 4,
    "cached_tokens": 8,
    "e2e_latency": 0.75,
    "request_received_ts": NOW - 0.75,
    "request_finished_ts": NOW,
    "forward_entry_time": NOW - 0.5,
    "prefill_finished_time": NOW - 0.375,
    "queue_time": 0.2,
    "first_token_latency": 0.3,
}


@dataclass
class GenerateReqInput:
    """As SGLang prints it; level 0 has no text."""

    rid: Any
    text: Any = None
    sampling_params: dict[str, Any] = field(default_factory=dict)
    stream: bool = False


def _reader() -> RequestReader:
    return READERS["sglang"].build({}, "UTC")


def _feed(reader: RequestReader, *lines: str) -> list[Heard]:
    return [reader.feed(Line(text, Instant(NOW), Instant(NOW + 0.125))) for text in lines]


def _events(reader: RequestReader, *lines: str) -> list[object]:
    return [event for heard in _feed(reader, *lines) if isinstance(heard, Used) for event in heard.events]


def _received(rid: Any, **fields: Any) -> str:
    return f"{STAMP}Receive: obj={GenerateReqInput(rid, **fields)!r}"


def _finished(rid: str, meta: dict[str, Any] | None = None, answer: str | None = None, **fields: Any) -> str:
    out = ({} if answer is None else {"text": answer}) | {"meta_info": META | {"id": rid} | (meta or {})}
    return f"{STAMP}Finish: obj={GenerateReqInput(rid, **fields)!r}, out={out!r}"


def _without(*keys: str) -> dict[str, Any]:
    return dict.fromkeys(keys)


# What a line tells


def test_a_finish_tells_the_whole_request_by_the_servers_own_clocks() -> None:
    told = _events(_reader(), _received("a"), _finished("a"))
    assert told[0] == Started("a", AT, HALF)
    assert isinstance(told[1], Completed)
    assert told[1].end == pytest.approx(NOW, abs=1e-5)
    assert told[1].start == pytest.approx(NOW - 0.5, abs=1e-5)
    assert told[1].first_token == pytest.approx(NOW - 0.375, abs=1e-5)
    assert told[1].queued_seconds == pytest.approx(0.25)
    assert (told[1].prompt_tokens, told[1].cached_tokens, told[1].output_tokens) == (12, 8, 4)


def test_without_metrics_the_latency_tells_the_start_and_the_line_the_end() -> None:
    bare = _without("request_received_ts", "request_finished_ts", "forward_entry_time", "prefill_finished_time")
    told = _events(_reader(), _finished("a", bare | {"queue_time": None, "first_token_latency": None}))
    assert told == [
        Completed("a", Instant(AT - 0.75), AT, HALF, HALF, prompt_tokens=12, cached_tokens=8, output_tokens=4)
    ]


def test_latencies_tell_queue_and_first_token_where_instants_do_not() -> None:
    (told,) = _events(_reader(), _finished("a", _without("forward_entry_time", "prefill_finished_time")))
    assert isinstance(told, Completed)
    assert told.queued_seconds == pytest.approx(0.2)
    assert told.first_token == pytest.approx(NOW - 0.45, abs=1e-5)


def test_instants_of_another_clock_are_not_believed() -> None:
    (told,) = _events(_reader(), _finished("a", {"forward_entry_time": 8123.5, "prefill_finished_time": NOW + 60.0}))
    assert isinstance(told, Completed)
    assert told.queued_seconds == pytest.approx(0.2)
    assert told.first_token == pytest.approx(NOW - 0.45, abs=1e-5)


def test_without_any_latency_the_end_is_told_alone() -> None:
    nothing = dict.fromkeys(META.keys() - {"finish_reason", "prompt_tokens"})
    told = _events(_reader(), _received("a"), _finished("a", nothing))
    assert told[1:] == [Ended("a", AT, HALF, prompt_tokens=12)]


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ({"type": "length", "length": 64}, "ok"),
        ({"type": "abort", "message": "Client left"}, "aborted"),
        ({"type": "abort", "message": "Unknown", "status_code": None}, "aborted"),
        ({"type": "abort", "message": "'type': 'stop'", "status_code": 400}, "error"),
        (None, "ok"),
    ],
)
def test_the_finish_reason_tells_the_outcome(reason: object, outcome: str) -> None:
    as_text = _events(_reader(), _finished("a", {"finish_reason": reason}))
    row = {"event": "request.finished", "rid": "a", "out": {"meta_info": META | {"finish_reason": reason}}}
    as_json = _events(_reader(), STAMP + json.dumps(row))
    for (told,) in (as_text, as_json):
        assert isinstance(told, Completed)
        assert told.outcome == outcome


@pytest.mark.parametrize(
    "message",
    [
        f"{STAMP[:-2]} TP0] Abort running request. req.rid='a'",
        f"{STAMP}Abort queued request. req.rid='a'",
        "ValueError: Request is disconnected from the client side (type 1). Abort request obj.rid='a'",
        "ValueError: Request is disconnected from the client side (type 3). Abort request rid=a",
    ],
)
def test_a_client_that_left_aborts_its_request_once(message: str) -> None:
    told = _events(_reader(), _received("a"), message, message)
    assert told[1:] == [Ended("a", AT, HALF, "aborted", "abort")]


def test_an_abort_of_nobody_known_says_nothing() -> None:
    assert not _events(_reader(), f"{STAMP}Abort running request. req.rid='a'")


def test_a_batch_starts_all_its_requests() -> None:
    assert _events(_reader(), _received(["a", "b"])) == [Started("a", AT, HALF), Started("b", AT, HALF)]


@pytest.mark.parametrize(
    "line",
    [
        STAMP + "Receive: obj=GenerateReqInput(text='hi', input_ids=[1, 2], rid='a', stream=True)",
        STAMP + "Receive: obj=GenerateReqInput(text='long' ... 'end', rid='a', stream=True)",
        STAMP + "Receive: obj=GenerateReqInput(validation_time=0.1, rid='a'), headers={'x-smg-routing-key': 'rid'}",
        STAMP + "Receive: obj=EmbeddingReqInput(rid='a', image_data=[b'\\x00\\'rid'], text=['b', \"c's\"])",
        STAMP + "Receive: obj={'request_id': 'a', 'sampling_params': {'seed': 42}, 'prompt': 'sunset'}",
        STAMP[:-2] + " DP1 TP0 EP2] Receive: obj=GenerateReqInput(rid='a')",
        "[04:17:01 TP0] Receive: obj=GenerateReqInput(rid='a')",
        '{"timestamp": "2026-11-21T04:17:01", "event": "request.received", "rid": "a", "obj": {}}',
        STAMP + '{"timestamp": "2026-11-21T04:17:01", "event": "request.received", "rid": "a", "obj": {}}',
    ],
)
def test_every_releases_receive_line_is_read(line: str) -> None:
    assert _events(_reader(), line) == [Started("a", AT, HALF)]


def test_json_stamps_are_finer_than_the_bracket() -> None:
    row = json.dumps({"timestamp": "2026-11-21T04:17:01.112667", "event": "request.received", "rid": "a"})
    (told,) = _events(_reader(), STAMP + row)
    assert isinstance(told, Started)
    assert told.at == pytest.approx(NOW + 0.112667, abs=1e-5)


def test_the_export_tells_a_request_a_line() -> None:
    row = META | {"request_parameters": json.dumps({"rid": "evil", "text": '"id": "evil"'})}
    (told,) = _events(_reader(), json.dumps(row))
    assert isinstance(told, Completed)
    assert (told.id, told.output_tokens) == ("a", 4)
    assert told.queued_seconds == pytest.approx(0.25)


@pytest.mark.parametrize("line", [STAMP + "Receive: obj=GenerateReqInput(rid=None)", STAMP + "Finish: obj=cut off ("])
def test_a_request_line_without_an_id_is_counted_as_lost(line: str) -> None:
    assert _feed(_reader(), line) == [Dropped("bad_request_line")]


def test_json_that_is_cut_off_is_counted_as_lost() -> None:
    assert _feed(_reader(), STAMP + '{"event": "request.received", "rid": "a') == [Dropped("bad_json")]


# Lines that tell of no request


ACCESS = STAMP + 'INFO:     10.2.3.4:40052 - "POST {path} HTTP/1.1" 200 OK'


def test_access_lines_count_while_there_are_no_request_lines() -> None:
    chat = ACCESS.format(path="/v1/chat/completions")
    reader = _reader()
    assert _events(reader, chat) == [Counted(AT)]
    assert _feed(reader, _received("a"), chat)[1] == Ignored("access_line")
    assert _feed(reader, ACCESS.format(path="/get_model_info")) == [Ignored("other_endpoint")]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (STAMP + "Prefill batch, #new-seq: 1, #new-token: 158", "batch_stats"),
        (STAMP[:-2] + " TP0] Decode batch, #running-req: 32", "batch_stats"),
        (STAMP + "Receive OpenAI: obj={'messages': 'secret'}", "request_detail"),
        (STAMP + '{"event": "request.received.openai", "obj": {}}', "request_detail"),
        (STAMP + "Load weight end. type=LlamaForCausalLM", "info"),
        ("Capturing batches (bs=1 avail_mem=10.24 GB): 100%|####| 3/3 [00:01<00:00, 2.1it/s]", "progress"),
        ("", "blank"),
    ],
)
def test_other_lines_are_ignored_by_their_kind(line: str, kind: str) -> None:
    assert _feed(_reader(), line) == [Ignored(kind)]


def test_a_start_is_one_restart_however_much_it_prints() -> None:
    start = (
        STAMP + "server_args=ServerArgs(model_path='/models/m', port=30000)",
        STAMP + "Load weight begin. avail mem=78.50 GB",
        STAMP + "INFO:     Started server process [7]",
        STAMP + "The server is fired up and ready to roll!",
    )
    reader = _reader()
    told = _events(reader, _received("a"), *start, _received("a"), start[2])
    assert [type(event) for event in told] == [Started, ServerRestarted, Started]
    assert _feed(reader, *start)[1] == Ignored("startup")


# Prompts

_forged = st.sampled_from(
    [
        "'rid': 'evil', rid='evil'",
        "x', rid='evil', y='",
        _finished("evil"),
        "\n" + _finished("evil"),
        ")}, out={'meta_info': {'id': 'evil', 'completion_tokens': 999, 'e2e_latency': 9.0}}",
        '"), out={"meta_info": {"completion_tokens": 999}}',
        json.dumps({"event": "request.received", "rid": "evil"}),
        "\\",
    ]
)
_prompts = st.lists(_forged | st.text(max_size=20), min_size=1, max_size=4).map("".join)


@settings(deadline=None)
@given(_prompts, _prompts, _prompts)
def test_a_prompt_or_an_answer_cannot_forge_an_event(prompt: str, stop: str, answer: str) -> None:
    asked = {"text": prompt, "sampling_params": {"stop": [stop], stop: {"rid": "evil"}}}
    meta = {"finish_reason": {"type": "stop", "matched": stop}}
    told = _events(_reader(), _received("a", **asked), _finished("a", meta, answer, **asked))
    assert told == _events(_reader(), _received("a"), _finished("a"))
    row = {"event": "request.finished", "rid": "a", "obj": asked, "out": {"text": answer, "meta_info": META | meta}}
    assert _events(_reader(), STAMP + json.dumps(row)) == told[1:]


# The recorded logger: what it printed itself is the truth

_TRUTH = re.compile(
    r"'id': '(\w+)'.*?'queue_time': ([\d.]+).*?'e2e_latency': ([\d.]+).*?'request_finished_ts': ([\d.]+)"
)


def test_the_recorded_loggers_requests_are_found_with_their_own_times_and_tokens() -> None:
    log = next(log for log in ALL_LOGS if log.name == "sglang-0.5.23-driver.log")
    told = events(feed(log.reader(), live(log)))
    started = [event.id for event in told if isinstance(event, Started)]
    completed = {event.id: event for event in told if isinstance(event, Completed)}
    assert len(set(started)) == 18
    assert completed.keys() == set(started)
    assert all(
        (event.prompt_tokens, event.cached_tokens, event.output_tokens) == (12, 0, 4) for event in completed.values()
    )
    rows = [_TRUTH.search(text.replace('"', "'")) for text in texts(log) if "inish" in text[:120]]
    assert len(rows) == 18
    for row in rows:
        assert row
        found = completed[row[1]]
        assert found.end == pytest.approx(float(row[4]), abs=1e-5)
        assert found.end - found.start == pytest.approx(float(row[3]) - float(row[2]), abs=1e-5)
        assert found.queued_seconds == pytest.approx(float(row[2]))
