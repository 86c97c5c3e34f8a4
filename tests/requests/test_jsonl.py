import json
from math import inf
from typing import Any

import pytest

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.parts.access import INFERENCE_ENDPOINTS
from exporter.requests.registry import READERS

NOW = 1795234621.0
FIELDS = {"end": {"path": "t", "unit": "s", "precision": 0}, "duration": {"path": "d", "unit": "s", "precision": 0}}
GOOD = {"t": NOW, "d": 2.0}


def _feed(options: dict[str, Any], record: object, text: str = "{}", zone: str | None = "UTC") -> Heard:
    line = text.replace("{}", record if isinstance(record, str) else json.dumps(record), 1)
    return READERS["jsonl"].build(options, zone).feed(Line(line, Instant(-inf), Instant(NOW + 100)))


def _completed(options: dict[str, Any], record: object, text: str = "{}", zone: str | None = "UTC") -> Completed:
    heard = _feed(options, record, text, zone)
    assert isinstance(heard, Used)
    (event,) = heard.events
    assert isinstance(event, Completed)
    return event


def _mapped(**fields: Any) -> dict[str, Any]:
    return {"fields": {**FIELDS, **fields}}


def _nginx(**changes: Any) -> dict[str, Any]:
    return {"msec": NOW, "request_time": 2.0, "request_uri": "/v1/completions", "status": 200, **changes}


@pytest.mark.parametrize(
    ("fields", "record"),
    [
        ({"end": {"path": "t", "unit": "s"}, "duration": {"path": "d", "unit": "s"}}, {"t": NOW, "d": 2.0}),
        ({"end": {"path": "t", "unit": "ms"}, "duration": {"path": "d", "unit": "ms"}}, {"t": NOW * 1e3, "d": 2000}),
        (
            {"end": {"path": "t", "unit": "us"}, "duration": {"path": "d", "unit": "us"}},
            {"t": int(NOW * 1e6), "d": 2e6},
        ),
        (
            {"end": {"path": "t", "unit": "ns"}, "duration": {"path": "d", "unit": "ns"}},
            {"t": int(NOW * 1e9), "d": 2e9},
        ),
        ({"end": "t", "duration": {"path": "d", "unit": "s"}}, {"t": "2026-11-21T04:17:01.000Z", "d": "2.0"}),
        ({"start": "t", "duration": {"path": "d", "unit": "s"}}, {"t": "2026-11-21T05:16:59.000+01:00", "d": 2}),
        ({"start": "a", "end": "b"}, {"a": NOW - 2.0, "b": NOW + 0.0}),
        ({"start": "x.a", "end": "x.y.b"}, {"x": {"a": NOW - 2.0, "y": {"b": str(NOW)}}}),
        ({"start": "x.a|a", "end": "x.b"}, {"a": NOW - 2.0, "x.b": NOW}),
        (
            {"start": {"path": "t", "format": "%d/%b/%Y:%H:%M:%S.%f"}, "duration": {"path": "d", "unit": "s"}},
            {"t": "21/Nov/2026:04:16:59.000", "d": 2},
        ),
    ],
)
def test_a_request_is_placed_by_any_two_of_start_end_and_duration(fields: dict[str, Any], record: object) -> None:
    told = _completed({"fields": fields}, record)
    assert told.start == pytest.approx(NOW - 2.0, abs=0.06)
    assert told.end == pytest.approx(NOW, abs=0.06)


def test_stamps_without_a_zone_are_in_the_given_one() -> None:
    fields = {"end": "t", "duration": {"path": "d", "unit": "s"}}
    told = _completed({"fields": fields}, {"t": "2026-11-21 13:17:01,000", "d": 2}, zone="Asia/Tokyo")
    assert told.end == pytest.approx(NOW, abs=0.01)


def test_uncertainty_is_half_of_the_precision() -> None:
    options = {"fields": {"end": {"path": "t", "unit": "s"}, "duration": {"path": "d", "unit": "ms"}}}
    told = _completed(options, {"t": int(NOW), "d": 2000})
    assert (told.end_uncertainty, told.start_uncertainty) == pytest.approx((0.5, 0.5005))


def test_text_before_the_object_is_skipped() -> None:
    assert _completed(_mapped(), GOOD, "<134>Nov 21 04:17:07 host haproxy[123]: {} trailing").end == NOW


def test_everything_that_is_mapped_is_told() -> None:
    options = _mapped(
        id="i", model="m", prompt_tokens="u.p", cached_tokens="u.c", output_tokens="u.o",
        ttft={"path": "f", "unit": "ms"}, queued={"path": "q", "unit": "ms"},
    )  # fmt: skip
    record = {**GOOD, "i": "x", "m": "llama", "u": {"p": 10, "c": "4", "o": 7.0}, "f": 500, "q": 250}
    told = _completed(options, record)
    assert (told.id, told.model, told.prompt_tokens, told.cached_tokens, told.output_tokens) == ("x", "llama", 10, 4, 7)
    assert (told.start, told.first_token, told.queued_seconds) == (NOW - 1.75, NOW - 1.5, 0.25)


def test_what_is_missing_or_absurd_is_unknown() -> None:
    options = _mapped(model="m", prompt_tokens="p", output_tokens="o", ttft={"path": "f", "unit": "s"})
    told = _completed(options, {**GOOD, "m": "-", "p": -1, "o": True, "f": 99})
    assert (told.model, told.prompt_tokens, told.output_tokens, told.first_token) == (None, None, None, None)


def test_requests_without_an_id_are_numbered() -> None:
    reader = READERS["jsonl"].build(_mapped(id="i"), None)
    heard = [reader.feed(Line(json.dumps({**GOOD, "i": "-"}), Instant(-inf), Instant(NOW))) for _ in range(2)]
    assert [one.events[0].id for one in heard if isinstance(one, Used)] == ["#1", "#2"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("record", "heard"),
    [
        ("no object", Ignored("not_json")),
        ('{"t": 1', Dropped("bad_json")),
        ({"d": 2.0}, Dropped("bad_times")),
        ({"t": NOW}, Dropped("bad_times")),
        ({"t": None, "d": 2.0}, Dropped("bad_times")),
        ({"t": [NOW], "d": 2.0}, Dropped("bad_times")),
        ({"t": NOW, "d": -1}, Dropped("bad_times")),
        ({"t": NOW, "d": "+93"}, Dropped("bad_times")),
        ('{"t": NaN, "d": 2.0}', Dropped("bad_times")),
        ('{"t": 1e999, "d": 2.0}', Dropped("bad_times")),
    ],
)
def test_a_line_that_cannot_be_used_says_why(record: object, heard: Heard) -> None:
    assert _feed(_mapped(), record) == heard


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "ok"),
        ({"status": 499}, "aborted"),
        ({"status": "503"}, "error"),
        ({"status": 404}, "error"),
        ({"request_completion": "OK"}, "ok"),
        ({"request_completion": ""}, "aborted"),
    ],
)
def test_a_status_says_the_outcome_and_a_front_who_left(changes: dict[str, Any], outcome: str) -> None:
    assert _completed({"profile": "nginx"}, _nginx(**changes)).outcome == outcome


def test_a_word_may_say_the_outcome() -> None:
    options = _mapped(outcome={"path": "r", "ok": ["done", True], "error": "failed", "aborted": ["gone"]})
    outcomes = [_completed(options, {**GOOD, "r": result}).outcome for result in ("done", True, "failed", "gone", "?")]
    assert outcomes == ["ok", "ok", "error", "aborted", "ok"]


@pytest.mark.parametrize("path", [*INFERENCE_ENDPOINTS, "/llm/v1/chat/completions?stream=1"])
def test_fronts_take_inference_endpoints(path: str) -> None:
    assert _completed({"profile": "nginx"}, _nginx(request_uri=path))


@pytest.mark.parametrize("path", ["/", "/v1/models", "/health", "/metrics", "/completions.js", None, 5])
def test_fronts_ignore_other_paths(path: object) -> None:
    assert _feed({"profile": "nginx"}, _nginx(request_uri=path)) == Ignored("filtered")


def test_a_users_filters_and_fields_overrule_the_profile() -> None:
    options = {"profile": "nginx", "where": {"kind": ["llm"]}, "fields": {"model": "llm"}}
    assert _completed(options, _nginx(request_uri="/", kind="llm", llm="m")).model == "m"


@pytest.mark.parametrize("value", ["0.010, 1.990", "0.500 : 1.500", "2.000", "-, 2.0"])
def test_nginx_lists_of_upstream_times_are_summed(value: str) -> None:
    fields = {"duration": {"path": "upstream_response_time", "unit": "s"}}
    told = _completed({"profile": "nginx", "fields": fields}, _nginx(upstream_response_time=value))
    assert told.end - told.start == pytest.approx(2.0)


def test_requests_that_never_reached_a_server_are_ignored() -> None:
    haproxy = {"tr": "21/Nov/2026:04:17:01.000", "Ta": 5, "Tw": -1, "Tc": -1, "status": 503, "path": "/v1/completions"}
    assert _feed({"profile": "haproxy"}, haproxy) == Ignored("never_served")
    assert _feed({"profile": "nginx"}, _nginx(upstream_addr="-")) == Ignored("never_served")


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "options.fields"),
        ({"profile": "apache"}, "options.profile"),
        ({"profile": ["nginx"]}, "options.profile"),
        ({"fields": FIELDS, "once": "yes"}, "options.once"),
        ({"fields": FIELDS, "failed": "x"}, "options.failed"),
        ({"profile": "nginx", "feilds": {}}, "options.feilds"),
        ({"fields": []}, "options.fields"),
        ({"fields": {"starts": "x"}}, "options.fields.starts"),
        ({"fields": {"start": "x"}}, "options.fields"),
        ({"fields": {"start": {"unit": "s"}}}, "options.fields.start.path"),
        ({"fields": {"start": {"path": "x", "unit": "minutes"}}}, "options.fields.start.unit"),
        ({"fields": {"start": {"path": "x", "unit": "s", "format": "rfc3339"}}}, "options.fields.start"),
        ({"fields": {"start": {"path": "x", "format": "%H:%M:%S"}}}, "options.fields.start.format"),
        ({"fields": {"start": {"path": "x", "format": 7}}}, "options.fields.start.format"),
        ({"fields": {"start": {"path": "x", "colour": 1}}}, "options.fields.start.colour"),
        ({"fields": {"start": {"path": 3}}}, "options.fields.start.path"),
        ({"fields": {"duration": "d"}}, "options.fields.duration.unit"),
        ({"fields": {"end": {"path": "x", "precision": -1}}}, "options.fields.end.precision"),
        ({"fields": {**FIELDS, "id": ["a"]}}, "options.fields.id"),
        ({"fields": {**FIELDS, "outcome": {"path": "x", "ok": {}}}}, "options.fields.outcome.ok"),
        ({"fields": FIELDS, "where": "path"}, "options.where"),
        ({"fields": FIELDS, "where": {"path": {"regex": "x"}}}, "options.where.path.regex"),
        ({"fields": FIELDS, "where": {"path": {"prefix": "a", "suffix": "b"}}}, "options.where.path"),
        ({"fields": FIELDS, "where": {"path": {"prefix": [1]}}}, "options.where.path.prefix"),
        ({"fields": FIELDS, "unless": {"path": [[]]}}, "options.unless.path"),
    ],
)
def test_a_wrong_option_is_named_by_its_path(options: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as error:
        READERS["jsonl"].build(options, None)
    assert error.value.path == path


@pytest.mark.parametrize(
    ("name", "source"),
    [("vllm-json", "vllm"), ("llama-jsonl", "llamacpp"), ("sglang-json", "sglang"), ("ray-json", "ray")],
)
def test_a_log_of_several_lines_a_request_is_left_to_the_source_that_reads_it(name: str, source: str) -> None:
    with pytest.raises(ConfigError, match=f"use source {source}") as error:
        READERS["jsonl"].build({"profile": name}, None)
    assert error.value.path == "options.profile"


def test_tenant_and_trace_are_told_where_they_are_mapped() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    options = _mapped(tenant="who", trace_id="p")
    told = _completed(options, {**GOOD, "who": "team-a", "p": f"00-{trace}-00f067aa0ba902b7-01"})
    assert (told.tenant, told.trace_id) == ("team-a", trace)
    for text in (trace.upper(), trace):
        assert _completed(options, {**GOOD, "p": text}).trace_id == trace


@pytest.mark.parametrize("text", ["", "-", "x" * 32, "0" * 32, "4bf92f35", 7, None])
def test_what_is_no_trace_is_none(text: object) -> None:
    assert _completed(_mapped(trace_id="p"), {**GOOD, "p": text}).trace_id is None


def test_something_else_may_break_though_the_status_is_one_of_success() -> None:
    options = {**_mapped(status="s"), "aborted": {"f": {"word": "DC"}}, "failed": {"f": {"word": ["UC", "UT"]}}}
    outcomes = [_completed(options, {**GOOD, "f": flags, "s": 200}).outcome for flags in ("-", "UT", "DC", "UC,DC")]
    assert outcomes == ["ok", "error", "aborted", "aborted"]


def test_what_several_fronts_logged_is_told_once() -> None:
    reader = READERS["jsonl"].build({**_mapped(id="i"), "once": True}, None)
    lines = [{"i": "a", "t": NOW, "d": 2.0}, {"i": "a", "t": NOW + 0.01, "d": 2.02}, {"i": "b", "t": NOW, "d": 2.0}]
    heard = [reader.feed(Line(json.dumps(line), Instant(-inf), Instant(NOW + 100))) for line in lines]
    assert [isinstance(one, Used) for one in heard] == [True, False, True]
    assert heard[1] == Ignored("told_before")
    restored = READERS["jsonl"].build({**_mapped(id="i"), "once": True}, None)
    restored.restore(json.loads(json.dumps(reader.snapshot())))
    assert restored.feed(Line(json.dumps(lines[0]), Instant(-inf), Instant(NOW + 100))) == Ignored("told_before")


def test_a_first_token_at_the_very_end_is_none() -> None:
    options = _mapped(first_token={"path": "f", "unit": "s"})
    assert _completed(options, {**GOOD, "f": NOW}).first_token is None
    assert _completed(options, {**GOOD, "f": NOW - 0.5}).first_token == NOW - 0.5


def _envoy(**changes: Any) -> dict[str, Any]:
    return {
        "start_time": "2026-11-21T04:17:01.000Z", "duration": 2000, "path": "/v1/completions", "method": "POST",
        "response_code": 200, "response_flags": "-", "upstream_host": "10.0.0.1:80", "request_id": "r", **changes,
    }  # fmt: skip


@pytest.mark.parametrize("profile", ["envoy", "istio", "envoy-ai-gateway"])
@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "ok"),
        ({"response_flags": "DC"}, "aborted"),
        ({"response_flags": "DR"}, "aborted"),
        ({"response_code": 0}, "aborted"),
        ({"response_code_details": "downstream_remote_disconnect"}, "aborted"),
        ({"response_flags": "UC"}, "error"),
        ({"response_code": 503, "response_flags": "UC"}, "error"),
    ],
)
def test_envoys_flags_say_who_ended_a_request(profile: str, changes: dict[str, Any], outcome: str) -> None:
    told = _completed({"profile": profile}, _envoy(**changes))
    assert (told.id, told.outcome) == ("r", outcome)


def test_a_mesh_tells_a_request_once() -> None:
    reader = READERS["jsonl"].build({"profile": "istio"}, None)
    lines = [_envoy(duration=1990, start_time="2026-11-21T04:17:01.005Z"), _envoy()]
    heard = [reader.feed(Line(json.dumps(line), Instant(-inf), Instant(NOW + 100))) for line in lines]
    assert heard[1] == Ignored("told_before")


@pytest.mark.parametrize(
    ("term", "outcome"),
    [("----", "ok"), ("CD--", "aborted"), ("cD--", "aborted"), ("SD--", "error"), ("PD--", "error")],
)
def test_haproxys_termination_state_says_who_ended_a_request(term: str, outcome: str) -> None:
    record = {"tr": "21/Nov/2026:04:17:01.000", "Ta": 5, "Tw": 0, "Tc": 0, "status": 200, "path": "/v1/completions"}
    assert _completed({"profile": "haproxy"}, {**record, "term": term}).outcome == outcome


def test_a_browsers_question_whether_it_may_post_is_no_request() -> None:
    assert _feed({"profile": "nginx"}, _nginx(request_method="OPTIONS")) == Ignored("never_served")
    assert _feed({"profile": "envoy"}, _envoy(method="OPTIONS")) == Ignored("never_served")


def test_sglangs_export_tells_execution_tokens_and_the_first_token() -> None:
    record = {
        "id": "r", "finish_reason": {"type": "length"}, "prompt_tokens": 38, "completion_tokens": 64,
        "cached_tokens": 0, "queue_time": 0.25, "e2e_latency": 2.0, "first_token_latency": 0.5,
        "request_finished_ts": NOW,
    }  # fmt: skip
    told = _completed({"profile": "sglang-export"}, record)
    assert told.first_token
    assert (told.start, told.first_token, told.end) == pytest.approx((NOW - 1.75, NOW - 1.5, NOW), rel=0, abs=1e-5)
    assert (told.prompt_tokens, told.cached_tokens, told.output_tokens, told.outcome) == (38, 0, 64, "ok")
    aborted = {**record, "finish_reason": {"type": "abort", "message": "x"}}
    assert _completed({"profile": "sglang-export"}, aborted).outcome == "aborted"


def test_an_answer_from_a_gateways_cache_cost_no_server_anything() -> None:
    record = {"id": "r", "startTime": NOW - 2, "endTime": NOW, "status": "success", "cache_hit": True}
    assert _feed({"profile": "litellm"}, record) == Ignored("never_served")
    assert _completed({"profile": "litellm"}, {**record, "cache_hit": None}).outcome == "ok"
