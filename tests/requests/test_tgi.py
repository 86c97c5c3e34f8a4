import json
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Completed, Counted, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.servers.tgi import build
from tests.requests.replay import ALL_LOGS, back_read, events, feed, texts

END = 1767884641.65502  # 2026-01-08T15:04:01.655020Z
NOW = END + 3600.0
STAMP = "2026-01-08T15:04:01.655020Z"
TIMES = {
    "total_time": "402.771215ms",
    "validation_time": "611.02\u00b5s",
    "queue_time": "48.551\u03bcs",
    "inference_time": "402.111702ms",
    "time_per_token": "25.131981ms",
    "seed": "None",
}
PLACE = "text_generation_router::server: router/src/server.rs:432: "


def _heard(text: str) -> Heard:
    return build({}, None).feed(Line(text, Instant(-inf), Instant(NOW)))


def _told(text: str) -> list[object]:
    heard = _heard(text)
    return list(heard.events) if isinstance(heard, Used) else []


def _fields(**changes: str) -> str:
    return " ".join(f'{name}="{value}"' for name, value in (TIMES | changes).items())


def _text(spans: str, message: str = "Success", level: str = " INFO") -> str:
    return f"{STAMP} {level} {spans}: {PLACE}{message}"


def _generate(parameters: str = "stop: []", **changes: str) -> str:
    return _text(f"generate{{parameters=GenerateParameters {{ {parameters} }} {_fields(**changes)}}}")


def _record(*spans: dict[str, str], message: str = "Success", level: str = "INFO") -> str:
    target = "text_generation_router::server"
    record = {"timestamp": STAMP, "level": level, "message": message, "target": target, "line_number": 432}
    return json.dumps(record | {"span": spans[-1], "spans": spans})


def test_a_success_tells_when_it_ran_how_long_it_waited_and_its_output() -> None:
    [told] = _told(_generate())
    assert isinstance(told, Completed)
    assert told.end == pytest.approx(END, abs=2e-6)
    assert told.end - told.start == pytest.approx(0.402111702, abs=1e-6)
    assert told.end_uncertainty <= 1e-6
    assert told.queued_seconds == pytest.approx(0.000659571)
    assert (told.outcome, told.prompt_tokens, told.output_tokens) == ("ok", None, 16)


def test_text_colour_and_json_say_the_same() -> None:
    said = {
        log.name: [event for event in events(feed(log.reader(), back_read(log))) if isinstance(event, Completed)]
        for log in ALL_LOGS
        if log.kind == "tgi"
    }
    assert said["tgi-3.x-text-shape.log"] == said["tgi-3.x-json-shape.log"]
    assert said["tgi-3.x-ansi-shape.log"] == said["tgi-3.x-text-shape.log"][:1]
    assert [one.output_tokens for one in said["tgi-3.x-text-shape.log"]] == [64, 16, 128]
    assert [round(one.queued_seconds, 6) for one in said["tgi-3.x-text-shape.log"]] == [0.000773, 0.00066, 8.102401]


def test_every_line_of_the_recorded_shapes_is_used() -> None:
    for log in ALL_LOGS:
        if log.kind == "tgi":
            heard = feed(log.reader(), back_read(log))
            assert [type(one) for text, one in zip(texts(log), heard, strict=True) if text] == [Used] * (len(heard) - 1)


@pytest.mark.parametrize(
    "spans",
    [
        f"chat_completions{{{_fields()}}}",
        f'compat_generate{{compute_type=Extension(ComputeType("gpu-x"))}}:generate{{parameters=P {{ }} {_fields()}}}',
        f"completions{{{_fields(inference_time='9s')} {_fields()}}}",
        f"generate_stream{{{_fields()}}}:async_stream",
    ],
)
def test_spans_may_nest_lack_parameters_and_repeat_their_times(spans: str) -> None:
    assert _told(_text(spans)) == _told(_generate())


def test_json_spans_may_nest() -> None:
    outer = {"name": "compat_generate", "default_return_full_text": "true"}
    assert _told(_record(outer, {"name": "generate", **TIMES})) == _told(_generate())
    assert _told(_record({"name": "chat_completions", **TIMES}, {"name": "async_stream"})) == _told(_generate())


@pytest.mark.parametrize(
    ("inference", "per_token", "tokens"),
    [
        ("1.284511902s", "1.284511902s", 1),
        ("1.283738601s", "20.058415ms", 64),
        ("12ns", "4ns", 3),
        ("10ns", "1ns", None),  # six to ten tokens give this quotient
        ("1.28s", "20.06ms", None),  # rounded by somebody: no number gives it
        ("1s", "2s", None),
        ("1s", "0ns", None),
        ("1s", "fast", None),
    ],
)
def test_output_tokens_are_told_only_where_one_number_fits(inference: str, per_token: str, tokens: int | None) -> None:
    [told] = _told(_generate(inference_time=inference, time_per_token=per_token))
    assert isinstance(told, Completed)
    assert told.output_tokens == tokens


@given(st.integers(1, 4096), st.integers(10**6, 10**12))
def test_tokens_that_took_a_millisecond_and_more_come_back_whole(tokens: int, nanoseconds: int) -> None:
    inference = max(nanoseconds, tokens * 10**6)
    line = _generate(inference_time=f"{inference}ns", time_per_token=f"{inference // tokens}ns")
    [told] = _told(line)
    assert isinstance(told, Completed)
    assert told.output_tokens == tokens


def test_a_failure_in_a_requests_span_is_counted_as_an_error() -> None:
    said = "Request failed during generation: Server error: out of memory"
    assert _told(_text("generate{parameters=P { }}:generate:infer:send_error", said, "ERROR")) == [
        Counted(Instant(pytest.approx(END, abs=2e-6)), "error")  # type: ignore[arg-type]
    ]
    assert [type(one) for one in _told(_record({"name": "chat_completions"}, message=said, level="ERROR"))] == [Counted]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_text("batch{batch_size=1}:prefill{id=0 size=1}", "Server error: x", "ERROR"), "server"),
        (f"{STAMP}  INFO {PLACE}Serving revision 0", "server"),
        (f"{STAMP}  INFO text_generation_launcher: Sharding model on 2 processes", "launcher"),
        ("    warnings.warn(", "continuation"),
        (_record({"name": "x"}, message="Connected"), "server"),
        ('{"timestamp":"x","fields":{"message":"Success"},"target":"text_generation_launcher"}', "launcher"),
        ('{"message":"Success"}', "json_record"),
    ],
)
def test_other_lines_are_ignored_by_their_kind(text: str, reason: str) -> None:
    assert _heard(text) == Ignored(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_text("generate{parameters=P { }}"), "bad_success_line"),
        (_generate(inference_time="soon"), "bad_success_line"),
        (_record({"name": "generate"}), "bad_success_line"),
        (_record({"name": "generate", **TIMES})[:-9], "bad_json"),
        (_generate().replace("2026-01-08", "2026-13-08"), "no_time"),
    ],
)
def test_a_success_that_cannot_be_used_is_dropped_with_its_reason(text: str, reason: str) -> None:
    assert _heard(text) == Dropped(reason)


def test_a_line_that_is_shipped_twice_is_the_same_request() -> None:
    assert _told(_generate()) == _told(_generate())


def _debug(text: str) -> str:
    """A string as Rust's Debug prints it: quotes, backslashes and line ends escaped."""
    return json.dumps(text, ensure_ascii=False)


FORGERIES = (
    f" {_fields(inference_time='99s')}}}: {PLACE}Success",
    'inference_time="99s"',
    f"\n{_generate(inference_time='99s')}\n",
    "inference_time=",
    "99s",
    ": Success",
    f"}}: {PLACE}Success",
)


@settings(deadline=None)
@given(st.lists(st.one_of(st.sampled_from(FORGERIES), st.text(max_size=30)), max_size=6))
def test_a_stop_sequence_or_a_grammar_cannot_forge_an_event(stops: list[str]) -> None:
    parameters = f"stop: [{', '.join(map(_debug, stops))}], grammar: Some(Regex({_debug(''.join(stops))}))"
    assert _told(_generate(parameters)) == _told(_generate())
    failed = _text(f"generate{{parameters=P {{ {parameters} }}}}", "Input validation error: x", "ERROR")
    assert [type(one) for one in _told(failed)] == [Counted]
    started = _text(f"generate{{parameters=P {{ {parameters} }}}}", "Started")
    assert not _told(started)
