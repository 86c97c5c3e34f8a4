"""Pushed events: what a line may hold, what it says, and that the published schema says the same."""

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Ended, FirstToken, Heard, Ignored, RequestEvent, Started, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.parts.stamps import Moment
from exporter.requests.posted.push import PushCore, RefusalError, build, parse
from exporter.requests.posted.pushed import EventError, read_event, schema

DOCS = Path(__file__).parents[2] / "docs"
NOW = 1795240000.0
HEARD = Moment(Instant(NOW), 0.25)
TRACE = "0af7651916cd43dd8448eb211c80319c"
WHOLE = {"id": "a", "start": 1795239000, "duration": 2}


def told(event: Mapping[str, object], core: PushCore | None = None, wall_offset: float = 0.0) -> RequestEvent | Ignored:
    return (core or PushCore()).hear(parse(json.dumps(event)), wall_offset, HEARD)


def error(event: object) -> str:
    with pytest.raises(RefusalError) as refusal:
        parse(json.dumps(event))
    return str(refusal.value)


def read(text: str, live: bool = True, **options: object) -> Heard:  # noqa: FBT001, FBT002 - one or the other
    before = NOW - 0.5 if live else -inf
    return build(options, None).feed(Line(text, Instant(before), Instant(NOW)))


# What an event says


def test_a_complete_event_tells_a_whole_request() -> None:
    event = {
        "id": "step-1",
        "server": "train",
        "start": 1795239000.5,
        "end": 1795239004.5,
        "first_token": 1795239001,
        "queued": 0.5,
        "outcome": "error",
        "model": "m",
        "prompt_tokens": 5,
        "cached_tokens": 4,
        "output_tokens": 3.0,
        "tenant": "t",
        "trace_id": TRACE,
        "kind": "batch",
    }
    assert told(event) == Completed(
        id="step-1",
        start=Instant(1795239000.5),
        end=Instant(1795239004.5),
        start_uncertainty=1e-6,
        end_uncertainty=1e-6,
        first_token=Instant(1795239001.0),
        queued_seconds=0.5,
        outcome="error",
        model="m",
        prompt_tokens=5,
        cached_tokens=4,
        output_tokens=3,
        tenant="t",
        trace_id=TRACE,
    )


def test_a_window_is_told_while_it_runs() -> None:
    core = PushCore()
    start = {"event": "start", "id": "w", "at": 1795239000, "model": "m", "prompt_tokens": 7, "tenant": "t"}
    assert told(start, core) == Started("w", Instant(1795239000.0), 1e-6, "m", 7, "t", None)
    assert told({"event": "first_token", "id": "w", "at": 1795239001}, core) == FirstToken(
        "w", Instant(1795239001.0), 1e-6
    )
    end = {"event": "end", "id": "w", "at": 1795239002, "outcome": "aborted", "output_tokens": 9}
    assert told(end, core) == Ended("w", Instant(1795239002.0), 1e-6, "aborted", "abort", None, None, None, 9)


def test_without_a_time_it_happened_when_it_was_heard() -> None:
    assert told({"event": "start", "id": "w"}) == Started("w", Instant(NOW), 0.25)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-21T05:30:00Z", 1795239000.0),
        ("2026-11-21t05:30:00.25z", 1795239000.25),
        ("2026-11-21 06:30:00.123456789+01:00", 1795239000.123456789),
        ("2026-11-20T22:00:00.5-07:30", 1795239000.5),
    ],
)
def test_times_may_be_rfc_3339(text: str, seconds: float) -> None:
    event = told({"id": "a", "start": text, "duration": 0})
    assert isinstance(event, Completed)
    assert event.start == pytest.approx(seconds, abs=1e-6)


def test_the_senders_clock_is_turned_into_instants() -> None:
    event = told({**WHOLE, "first_token": 1795239001}, wall_offset=-50.0)
    assert isinstance(event, Completed)
    assert (event.start, event.first_token, event.end) == (1795238950.0, 1795238951.0, 1795238952.0)


# What it may not hold


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ([], "must be a JSON object"),
        ("text", "must be a JSON object"),
        ({}, "id: missing"),
        ({"id": "a"}, "start: missing"),
        ({**WHOLE, "id": ""}, "id: must be a text of 1 to 256 characters"),
        ({**WHOLE, "id": 7}, "id: must be a text of 1 to 256 characters"),
        ({**WHOLE, "end": 1795239002}, "end: give either `end` or `duration`"),
        ({"id": "a", "start": 1}, "end: give either `end` or `duration`"),
        ({"id": "a", "start": 5, "end": 4}, "end: is before start, or years after it"),
        ({**WHOLE, "first_token": 1795239003}, "first_token: is not between start and end"),
        ({**WHOLE, "start": "2026-11-21T05:30:00"}, "start: must be seconds since 1970, or RFC 3339 with its zone"),
        ({**WHOLE, "start": "2026-02-30T05:30:00Z"}, "start: must be seconds since 1970, or RFC 3339 with its zone"),
        ({**WHOLE, "start": True}, "start: must be seconds since 1970, or RFC 3339 with its zone"),
        ({**WHOLE, "output_tokens": 1.5}, "output_tokens: must be a whole number, 0 or more"),
        ({**WHOLE, "prompt_tokens": None}, "prompt_tokens: must be a whole number, 0 or more"),
        ({**WHOLE, "outcome": "fine"}, "outcome: must be one of ok, error, aborted"),
        ({**WHOLE, "trace_id": TRACE.upper()}, "trace_id: must be 32 hexadecimal digits in lower case"),
        ({"event": "begin", "id": "a"}, "event: must be one of complete, start, first_token, end, or be left out"),
        ({"event": "start", "id": "a", "output_tokens": 3}, "output_tokens: unknown in an event of kind start"),
        ({**WHOLE, "promt_tokens": 3}, "promt_tokens: unknown in an event of kind complete"),
    ],
)
def test_what_is_wrong_is_said(event: object, says: str) -> None:
    assert error(event).startswith(says)


def test_no_value_is_repeated_and_names_are_shortened() -> None:
    values = [{**WHOLE, key: "SECRET"} for key in ("start", "outcome", "trace_id", "output_tokens", "prompt")]
    assert not any("SECRET" in error(one) for one in values)
    assert len(error({**WHOLE, "x" * 5000: 1})) < 400
    assert error({**WHOLE, "a\n\x1b[31m": 1}).startswith("a??[31m: unknown")


def test_a_time_from_the_future_is_refused() -> None:
    with pytest.raises(RefusalError, match="future"):
        told({**WHOLE, "start": NOW + 59, "duration": 2})
    assert isinstance(told({**WHOLE, "start": NOW + 57, "duration": 2}), Completed)


# Told more than once


def test_the_same_event_again_changes_nothing_however_it_is_written() -> None:
    core = PushCore()
    assert isinstance(told(WHOLE, core), Completed)
    again = {"duration": 2.0, "start": "2026-11-21T05:30:00Z", "id": "a", "outcome": "ok", "event": "complete"}
    assert told(again, core) == Ignored("duplicate")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (WHOLE, {**WHOLE, "duration": 3}),
        (WHOLE, {"event": "start", "id": "a"}),
        (WHOLE, {"event": "end", "id": "a"}),
        ({"event": "end", "id": "a"}, {"event": "end", "id": "a", "outcome": "error"}),
        ({"event": "end", "id": "a"}, {"event": "start", "id": "a"}),
        ({"event": "end", "id": "a"}, WHOLE),
        ({"event": "start", "id": "a", "at": 1}, {"event": "start", "id": "a", "at": 2}),
    ],
)
def test_the_same_id_with_something_else_is_refused(first: dict[str, object], then: dict[str, object]) -> None:
    core = PushCore()
    told(first, core)
    with pytest.raises(RefusalError, match="was told before") as refusal:
        told(then, core)
    assert refusal.value.dropped == Dropped("conflict")
    assert told(first, core) == Ignored("duplicate")


def test_a_start_may_be_followed_by_the_whole() -> None:
    core = PushCore()
    told({"event": "start", "id": "a"}, core)
    assert isinstance(told(WHOLE, core), Completed)


def test_what_was_told_is_remembered_across_a_restart_and_within_bounds() -> None:
    before, after = PushCore(), PushCore()
    for number in range(70_000):
        told({**WHOLE, "id": f"id-{number}"}, before)
    assert len(before._known) == 65_536
    after.restore(json.loads(json.dumps(before.snapshot())))
    assert told({**WHOLE, "id": "id-69999"}, after) == Ignored("duplicate")
    assert isinstance(told({**WHOLE, "id": "id-0"}, after), Completed)


# As a file


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("", Ignored("empty")),
        ("not JSON", Dropped("bad_json")),
        ("[" * 100_000, Dropped("bad_event")),
        ("[" * 50_000, Dropped("bad_json")),
        ('{"id": "a"}', Dropped("bad_event")),
        (json.dumps({**WHOLE, "server": "other"}), Ignored("other_server")),
    ],
)
def test_a_line_that_cannot_be_used_is_counted(text: str, fate: Heard) -> None:
    assert read(text, server="train") == fate


def test_a_line_without_a_time_needs_a_live_reading() -> None:
    text = json.dumps({"event": "start", "id": "w"})
    assert read(text) == Used((Started("w", Instant(NOW - 0.25), 0.25),))
    assert read(text, live=False) == Dropped("no_time")


def test_a_server_names_whose_events_are_meant() -> None:
    assert isinstance(read(json.dumps({**WHOLE, "server": "train"}), server="train"), Used)
    assert isinstance(read(json.dumps(WHOLE), server="train"), Used)
    with pytest.raises(ConfigError) as wrong:
        build({"server": 3}, None)
    assert wrong.value.path == "options.server"


# The published schema

_VALIDATOR = Draft202012Validator(schema())
_NO_SUCH_TIME = ("2026-02-30T01:00:00Z", "1969-12-31T23:59:59Z")
_WRONG_ORDER = ("end: is before", "first_token: is not between")
"""What no schema can say: days that no calendar has, and which time comes first."""

_times: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([0, -1, 1795239000, 1795239002.5, 253402300800, 1e300]),
    st.sampled_from(["2026-11-21T05:30:00Z", *_NO_SUCH_TIME, "2026-13-01T00:00:00Z"]),
    st.sampled_from(["2026-11-21", "2026-11-21T05:30:00", "2026-11-21T05:30:00.5+01:00", "now"]),
    st.sampled_from([None, True, [], {}, ""]),
)  # fmt: skip
_texts = st.sampled_from(["a", "", "x" * 64, "x" * 65, "x" * 256, "x" * 257, "é\n", 5, None, False])
_numbers = st.sampled_from([0, 3, 3.0, 2.5, -1, 1 << 40, (1 << 40) + 1, 1e8, 1e9, "3", True, None])
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "event": st.sampled_from(["complete", "start", "first_token", "end", "begin", None, 1, ["start"]]),
    "id": _texts,
    "server": _texts,
    "model": _texts,
    "tenant": _texts,
    "kind": _texts,
    **dict.fromkeys(("start", "end", "at", "first_token"), _times),
    **dict.fromkeys(("duration", "queued", "prompt_tokens", "cached_tokens", "output_tokens"), _numbers),
    "outcome": st.sampled_from(["ok", "error", "aborted", "fine", "", None, ["ok"]]),
    "trace_id": st.sampled_from([TRACE, TRACE.upper(), TRACE[1:], TRACE + "\n", 5]),
    "unknown": st.just(1),
}
_valid = st.sampled_from(
    [
        WHOLE,
        {"id": "a", "start": 1, "end": 2},
        {"event": "start", "id": "a"},
        {"event": "first_token", "id": "a", "at": 5},
        {"event": "end", "id": "a", "outcome": "ok"},
    ]
)
_changes = st.lists(st.sampled_from(sorted(_VALUES)), max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: _VALUES[name] for name in names})
)
_removed = st.lists(st.sampled_from(["id", "start", "duration", "end", "event"]), max_size=1)


@settings(max_examples=1500, deadline=None)
@given(valid=_valid, changes=_changes, removed=_removed)
def test_the_schema_and_the_reading_agree(
    valid: dict[str, object], changes: dict[str, object], removed: list[str]
) -> None:
    event = {key: value for key, value in {**valid, **changes}.items() if key not in removed}
    allowed = _VALIDATOR.is_valid(event)
    try:
        read_event(json.loads(json.dumps(event)))
    except EventError as refusal:
        refused = str(refusal)
    else:
        refused = ""
    if refused.startswith(_WRONG_ORDER) or any(value in _NO_SUCH_TIME for value in event.values()):
        return
    assert allowed == (not refused), f"{event}: {refused or 'the schema forbids it'}"


def test_the_schema_is_one_and_every_field_of_it_is_described() -> None:
    Draft202012Validator.check_schema(schema())
    assert all(field["description"] for field in schema()["$defs"].values())


def test_the_schema_in_the_documentation_is_current() -> None:
    assert json.loads((DOCS / "events.schema.json").read_text()) == schema(), (
        "run: python -m exporter.requests.posted.pushed > docs/events.schema.json"
    )


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(_VALUES)), inner, max_size=4),
).map(json.dumps))  # fmt: skip
def test_no_text_makes_the_reader_raise(text: str) -> None:
    assert isinstance(read(text), Used | Ignored | Dropped)
