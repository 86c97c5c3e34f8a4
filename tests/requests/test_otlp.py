"""OpenTelemetry spans as requests: which are, which count, what they say."""

import base64
import copy
import json
from collections.abc import Mapping
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.posted.otlp import build, core, meet
from exporter.requests.posted.spans.nesting import Nesting
from exporter.requests.posted.spans.span import KEPT, Span, spans_of
from tests.requests.replay import TRACES, back_read, events, feed, live, requests, truth

NOW = 1795240000.0
START_NS = 1795234191_000_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
INTERNAL, SERVER, CLIENT = 1, 2, 3
VLLM = {
    "gen_ai.latency.time_to_first_token": 0.5,
    "gen_ai.latency.e2e": 2.0,
    "gen_ai.latency.time_in_queue": 0.25,
    "gen_ai.usage.prompt_tokens": 38,
    "gen_ai.usage.completion_tokens": 22,
    "gen_ai.request.id": "chatcmpl-1",
}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "qwen3-8b"}


def any_value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(one) for one in value]}}
    return {"stringValue": value}


def pairs(attributes: Mapping[str, object]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def span(  # noqa: PLR0917 - a span has many sides
    attributes: Mapping[str, object],
    id_: int = 1,
    parent: int = 0,
    kind: int | str = SERVER,
    start: float = 0.0,
    seconds: float = 2.0,
    **more: object,
) -> dict[str, Any]:
    start_ns = START_NS + round(start * 1e9)
    return {
        "traceId": TRACE,
        "spanId": f"{id_:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": "any",
        "kind": kind,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + round(seconds * 1e9)),
        "attributes": pairs(attributes),
        **more,
    }


def export(*spans: object, service: str = "vllm-server") -> dict[str, Any]:
    resource = {"attributes": pairs({"service.name": service, "host.name": "h"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}]}]}


def line(record: object, wall_offset: float | None = 0.0) -> Line:
    text = record if isinstance(record, str) else json.dumps(record)
    return Line(text, Instant(-inf), Instant(NOW), wall_offset)


def heard(*spans: object) -> Heard:
    return build({}, None).feed(line(export(*spans)))


def completed(*spans: object) -> Completed:
    news = heard(*spans)
    assert isinstance(news, Used)
    (event,) = news.events
    assert isinstance(event, Completed)
    return event


def fates(*exports: dict[str, Any], nesting: Nesting | None = None) -> dict[str, str]:
    """What became of every span, by the last digits of its id."""
    nesting, found = nesting or Nesting(), {}
    for one in exports:
        decoded = spans_of(one)
        assert decoded
        for met in meet(decoded[0], nesting, 0.0, Instant(NOW)):
            found[met.span.span_id.lstrip("0")] = "used" if isinstance(met.heard, Used) else met.heard.reason
    return found


# vLLM as it was recorded: twelve requests, of which one was aborted. The client's clock was the server's; what differs
# is the HTTP server's work before and after.


@pytest.mark.parametrize("way", [back_read, live])
def test_vllm_spans_tell_every_request_but_the_aborted_one_as_its_client_saw_it(way: Any) -> None:
    told = requests(events(feed(TRACES.reader(), way(TRACES))))
    finished = [seen for seen in truth(TRACES) if not seen.aborted]
    assert (len(truth(TRACES)), len(finished), len(told)) == (12, 11, 11)
    for seen in finished:
        found = told[seen.id]
        assert seen.sent < found.start < seen.sent + 0.006
        assert seen.ended - 0.009 < found.end < seen.ended
        assert (found.ended.prompt_tokens, found.ended.output_tokens) == (seen.prompt_tokens, seen.output_tokens)
        assert found.ended.outcome == "ok"
        assert found.start_uncertainty <= 1e-6


def test_vllm_first_tokens_come_before_their_clients_see_them() -> None:
    told = requests(events(feed(TRACES.reader(), live(TRACES))))
    streams = [seen for seen in truth(TRACES) if seen.first is not None and not seen.aborted]
    assert len(streams) == 6
    for seen in streams:
        first = told[seen.id].first
        assert first is not None
        assert seen.first is not None
        assert seen.first - 0.006 < first < seen.first


def test_a_vllm_span_is_execution_without_its_queue() -> None:
    event = completed(span(VLLM))
    assert event == Completed(
        id="chatcmpl-1",
        start=Instant(1795234191.25),
        end=Instant(1795234193.0),
        start_uncertainty=1e-6,
        end_uncertainty=1e-6,
        first_token=Instant(1795234191.5),
        queued_seconds=0.25,
        prompt_tokens=38,
        output_tokens=22,
        trace_id=TRACE,
    )


def test_the_senders_clock_is_turned_into_instants() -> None:
    news = build({}, None).feed(line(export(span(VLLM)), wall_offset=-100.0))
    assert isinstance(news, Used)
    (event,) = news.events
    assert isinstance(event, Completed)
    assert (event.start, event.first_token, event.end) == (1795234091.25, 1795234091.5, 1795234093.0)


# OpenTelemetry's conventions, old and new, and those of others


@pytest.mark.parametrize(
    ("attributes", "model", "tokens"),
    [
        (
            {**CHAT, "gen_ai.response.model": "m-1", "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 7},
            "m-1",
            (5, None, 7),
        ),
        (
            {**CHAT, "gen_ai.usage.input_tokens": 9, "gen_ai.usage.cache_read.input_tokens": 4},
            "qwen3-8b",
            (9, 4, None),
        ),
        (
            {
                "gen_ai.system": "openai",
                "gen_ai.request.model": "old",
                "gen_ai.usage.prompt_tokens": 3,
                "gen_ai.usage.completion_tokens": "2",
            },
            "old",
            (3, None, 2),
        ),
        ({"gen_ai.operation.name": "text_completion"}, None, (None, None, None)),
        ({"gen_ai.operation.name": "generate_content", "gen_ai.request.model": "g"}, "g", (None, None, None)),
        ({"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 8}, None, (8, None, None)),
        (
            {"llm.request.type": "acompletion", "gen_ai.request.model": "litellm", "gen_ai.usage.prompt_tokens": 6},
            "litellm",
            (6, None, None),
        ),
        (
            {
                "openinference.span.kind": "LLM",
                "llm.model_name": "oi",
                "llm.token_count.prompt": 11,
                "llm.token_count.completion": 12,
                "llm.token_count.prompt_details.cache_read": 10,
            },
            "oi",
            (11, 10, 12),
        ),
    ],
)
def test_spans_of_every_convention_tell_model_and_tokens(
    attributes: dict[str, object], model: str | None, tokens: tuple[int | None, ...]
) -> None:
    event = completed(span(attributes, kind=CLIENT))
    assert (event.model, (event.prompt_tokens, event.cached_tokens, event.output_tokens)) == (model, tokens)
    assert (event.start, event.end, event.id) == (1795234191.0, 1795234193.0, "0000000000000001")


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.server.time_to_first_token",
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.response.time_to_first_token",
    ],
)
def test_the_time_to_first_token_is_known_by_several_names(key: str) -> None:
    assert completed(span({**CHAT, key: 0.75})).first_token == 1795234191.75


def test_an_event_may_tell_the_first_token() -> None:
    first = {"name": "First Token Stream Event", "timeUnixNano": str(START_NS + 300_000_000)}
    other = {"name": "gen_ai.user.message", "timeUnixNano": "1"}
    assert completed(span(CHAT, events=[other, first])).first_token == 1795234191.3


@pytest.mark.parametrize("after", [0, -1.0, 2.5, "soon", float("1e300")])
def test_a_first_token_outside_of_the_request_is_none(after: object) -> None:
    assert completed(span({**CHAT, "gen_ai.response.time_to_first_chunk": after})).first_token is None


def test_tgi_spans_hold_rusts_durations_as_text() -> None:
    tgi = {
        "total_time": "2s",
        "validation_time": "49.382µs",
        "queue_time": "499.950618ms",
        "inference_time": "1.5s",
        "time_per_token": "46.875ms",
    }
    event = completed(span(tgi, kind=INTERNAL))
    assert (event.start, event.queued_seconds, event.output_tokens) == (1795234191.5, 0.5, 32)


def test_triton_tells_one_request_of_an_ensemble_and_its_parts() -> None:
    ensemble = {"triton.model_name": "ensemble", "triton.trace_parent_id": 0, "triton.request_id": "r-1"}
    member = {"triton.model_name": "decoder", "triton.trace_parent_id": 1}
    spans = export(span({}, 1, seconds=2.2), span(ensemble, 2, 1), span(member, 3, 2), span({}, 4, 3), service="triton")
    assert fates(spans) == {"1": "other", "2": "used", "3": "part", "4": "other"}


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({}, "ok"),
        ({"status": {"code": 2}}, "error"),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, "error"),
        ({"status": {"code": 1}}, "ok"),
        ({"attributes": pairs({**CHAT, "error.type": "500"})}, "error"),
        ({"attributes": pairs({**CHAT, "error.type": "asyncio.CancelledError"}), "status": {"code": 2}}, "aborted"),
        ({"attributes": pairs({**CHAT, "gen_ai.response.finish_reasons": ["stop"]})}, "ok"),
        ({"attributes": pairs({**CHAT, "gen_ai.response.finish_reasons": ["abort"]})}, "aborted"),
        ({"attributes": pairs({**CHAT, "gen_ai.response.finish_reasons": ["error"]})}, "error"),
    ],
)
def test_the_outcome_is_the_status_and_the_reasons_why_it_finished(more: dict[str, object], outcome: str) -> None:
    assert completed({**span(CHAT), **more}).outcome == outcome


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 5}, "agent"),
        ({"gen_ai.operation.name": "execute_tool"}, "tool"),
        ({"gen_ai.operation.name": "retrieval", "gen_ai.request.model": "m"}, "other_operation"),
        ({"traceloop.span.kind": "workflow"}, "agent"),
        ({"openinference.span.kind": "RETRIEVER"}, "other_operation"),
        ({"http.request.method": "POST", "url.path": "/v1/completions"}, "http"),
        ({"rpc.system": "grpc"}, "http"),
        ({"code.function": "load_model"}, "startup"),
        ({"db.system": "redis"}, "other"),
        ({"gen_ai.request.model": "m"}, "other"),
    ],
)
def test_other_spans_are_ignored_by_their_kind(attributes: dict[str, object], reason: str) -> None:
    assert heard(span(attributes)) == Ignored(reason)


# What cannot be used


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"spanId": ""}, "bad_ids"),
        ({"spanId": "0" * 16}, "bad_ids"),
        ({"traceId": "zz" * 16}, "bad_ids"),
        ({"traceId": 7}, "bad_ids"),
        ({"startTimeUnixNano": "0"}, "bad_times"),
        ({"endTimeUnixNano": "5"}, "bad_times"),
        ({"endTimeUnixNano": None}, "bad_times"),
        ({"startTimeUnixNano": "1" * 30}, "bad_times"),
        ({"endTimeUnixNano": str(round((NOW + 61) * 1e9))}, "in_future"),
    ],
)
def test_a_request_without_usable_ids_or_times_is_dropped(more: dict[str, object], reason: str) -> None:
    assert heard({**span(VLLM), **more}) == Dropped(reason)


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ('{"resourceMetrics": []}', Ignored("not_traces")),
        ('{"resourceSpans": {}}', Ignored("not_traces")),
        ("[]", Ignored("not_traces")),
        ('{"resourceSpans": [', Dropped("bad_json")),
        ('{"resourceSpans": []}', Ignored("no_spans")),
        (json.dumps(export(3, None, "x")), Dropped("bad_span")),
        (json.dumps(export({})), Ignored("other")),
    ],
)
def test_what_is_no_trace_says_nothing(text: str, fate: Heard) -> None:
    assert build({}, None).feed(line(text)) == fate


def test_ids_may_be_hexadecimal_or_base64_and_numbers_may_be_numbers() -> None:
    other = span(VLLM, kind="SPAN_KIND_SERVER")
    other["traceId"] = base64.b64encode(bytes.fromhex(TRACE)).decode()
    other["spanId"] = base64.b64encode(bytes.fromhex(f"{1:016x}")).decode()
    other["startTimeUnixNano"] = START_NS
    assert completed(other) == completed(span(VLLM))


def test_no_prompt_is_kept() -> None:
    prompts = {"gen_ai.prompt.0.content": "SECRET", "gen_ai.input.messages": "SECRET", "llm.prompts": ["SECRET"]}
    reader = build({}, None)
    news = reader.feed(line(export(span({**VLLM, **prompts}, name="SECRET", status={"message": "SECRET"}))))
    assert isinstance(news, Used)
    assert "SECRET" not in repr(news) + json.dumps(reader.snapshot())
    assert not KEPT & prompts.keys()


# One request that is told more than once


def test_the_same_span_twice_counts_once() -> None:
    nesting = Nesting()
    assert fates(export(span(VLLM)), nesting=nesting) == {"1": "used"}
    assert fates(export(span(VLLM)), nesting=nesting) == {"1": "duplicate"}


def test_of_a_client_and_the_server_that_it_asked_only_the_server_counts() -> None:
    client = span(CHAT, 1, kind=CLIENT, start=-0.1, seconds=2.2)
    http = span({"http.request.method": "POST"}, 2, 1, kind=CLIENT, start=-0.05, seconds=2.1)
    engine = span(VLLM, 3, 2)
    assert fates(export(client, http, engine)) == {"1": "wrapper", "2": "http", "3": "used"}
    assert fates(export(engine), export(http), export(client, service="app")) == {
        "3": "used",
        "2": "http",
        "1": "wrapper",
    }


def test_a_gateways_server_span_around_an_engines_is_a_wrapper() -> None:
    gateway = span({**CHAT, "gen_ai.usage.prompt_tokens": 38}, 1, start=-0.1, seconds=2.3)
    assert fates(export(gateway, span(VLLM, 2))) == {"1": "wrapper", "2": "used"}


def test_of_two_clients_around_each_other_the_inner_one_counts() -> None:
    outer, inner = span(CHAT, 1, kind=CLIENT, seconds=3.0), span(CHAT, 2, 1, kind=CLIENT)
    assert fates(export(outer, inner)) == {"1": "wrapper", "2": "used"}


def test_requests_of_one_trace_one_after_the_other_all_count() -> None:
    turns = [span(CHAT, number, 99, kind=CLIENT, start=3.0 * number) for number in range(1, 4)]
    agent = span({"gen_ai.operation.name": "invoke_agent"}, 99, kind=INTERNAL, seconds=12.0)
    assert fates(export(agent, *turns)) == {"63": "agent", "1": "used", "2": "used", "3": "used"}


def test_a_client_that_was_faster_is_counted_once_and_known_for_a_wrapper_from_then_on() -> None:
    nesting = Nesting()
    client, engine = span(CHAT, 1, kind=CLIENT, start=-0.1, seconds=2.2), span(VLLM, 2, 1)
    assert fates(export(client, service="app"), export(engine), nesting=nesting) == {
        "1": "used",
        "2": "counted_by_wrapper",
    }
    later = {"traceId": "f" * 32}
    client, engine = {**client, **later}, {**engine, **later}
    assert fates(export(client, service="app"), export(engine), nesting=nesting) == {"1": "wrapper", "2": "used"}
    elsewhere = {**span(CHAT, 3, kind=CLIENT), "traceId": "e" * 32}
    assert fates(export(elsewhere, service="another-app"), nesting=nesting) == {"3": "used"}


def test_what_was_told_is_remembered_across_a_restart() -> None:
    before, after = Nesting(), Nesting()
    fates(export(span(VLLM, 2, 1)), nesting=before)
    after.restore(json.loads(json.dumps(before.snapshot())))
    client = span(CHAT, 1, kind=CLIENT, start=-0.1, seconds=2.2)
    assert fates(export(span(VLLM, 2, 1), client), nesting=after) == {"1": "wrapper", "2": "duplicate"}


def test_memory_is_bounded_over_traces_and_within_one() -> None:
    nesting = Nesting()
    for number in range(1, 40_000):
        one = {**span(CHAT, number, kind=CLIENT), "traceId": f"{number if number > 2000 else 1:032x}"}
        fates(export(one), nesting=nesting)
    assert sum(len(trace) for trace in nesting._traces.values()) <= 32_768
    assert max(len(trace) for trace in nesting._traces.values()) <= 256


# Whose spans


def test_a_service_names_whose_spans_are_meant() -> None:
    reader = build({"service": "b"}, None)
    assert reader.feed(line(export(span(VLLM), service="a"))) == Ignored("other_service")
    assert isinstance(reader.feed(line(export(span(VLLM), service="b"))), Used)


@pytest.mark.parametrize(
    ("options", "path"),
    [({"service": ""}, "options.service"), ({"service": 3}, "options.service"), ({"x": 1}, "options.x")],
)
def test_a_wrong_option_is_named(options: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigError) as error:
        core(options)
    assert error.value.path == path


# No JSON makes it raise

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_anything = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_field_of_any_kind_makes_it_raise(data: st.DataObject) -> None:
    record: Any = copy.deepcopy(export(span(VLLM, events=[{"name": "First Token"}], status={"code": 1})))
    inside = record["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    places = [(record, "resourceSpans"), (record["resourceSpans"][0], "resource"), *((inside, key) for key in inside)]
    places += [(pair, "value") for pair in inside["attributes"]]
    for holder, key in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=4)):
        holder[key] = data.draw(_anything)
    decoded = spans_of(record)
    for one in decoded[0] if decoded else []:
        assert isinstance(one, Span)
    assert isinstance(build({}, None).feed(line(record)), Used | Ignored | Dropped)
