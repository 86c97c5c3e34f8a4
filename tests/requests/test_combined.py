import json
from math import inf
from typing import Any

import pytest

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Counted, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.registry import READERS
from tests.requests.replay import FRONT_LOGS, back_read, texts, truth

NOW = 1795234621.0  # 2026-11-21T04:17:01Z
ASKED = '"POST /v1/chat/completions HTTP/1.1"'
COMBINED = f'127.0.0.1 - - [21/Nov/2026:04:17:01 +0000] {ASKED} 200 698 "-" "curl/8"'
ALL_FIELDS = {"fields": ["request_time", "msec", "request_id", "request_completion", "upstream_addr", "tenant"]}


def _feed(text: str, options: dict[str, Any] | None = None) -> Heard:
    return READERS["combined"].build(options or {}, "UTC").feed(Line(text, Instant(-inf), Instant(NOW + 100)))


def _completed(text: str, options: dict[str, Any] | None = None) -> Completed:
    heard = _feed(text, options)
    assert isinstance(heard, Used), heard
    (event,) = heard.events
    assert isinstance(event, Completed)
    return event


def test_one_number_of_seconds_after_the_user_agent_is_the_duration_and_the_stamp_the_end() -> None:
    told = _completed(f"{COMBINED} 1.297")
    assert told.end - told.start == pytest.approx(1.297)
    assert told.end == pytest.approx(NOW + 0.5)
    assert (told.id, told.end_uncertainty, told.start_uncertainty) == ("#1", 0.5, 0.5005)


@pytest.mark.parametrize("value", ['"1.297"', "rt=1.297", '"1.297" ignored', "1.297 more fields [here]"])
def test_a_named_duration_may_be_quoted_have_its_key_before_it_and_others_behind_it(value: str) -> None:
    told = _completed(f"{COMBINED} {value}", {"fields": ["request_time"]})
    assert told.end - told.start == pytest.approx(1.297)


def test_the_common_format_has_neither_referer_nor_user_agent() -> None:
    told = _completed(f"10.0.0.1 - alice b [21/Nov/2026:04:17:01 +0000] {ASKED} 200 - 1.297")
    assert told.end - told.start == pytest.approx(1.297)


def test_everything_that_is_named_is_told() -> None:
    text = f'{COMBINED} 1.297 1795234621.494 "4c7d" "OK" "127.0.0.1:8102" "team-a"'
    told = _completed(text, ALL_FIELDS)
    assert (told.id, told.outcome, told.tenant) == ("4c7d", "ok", "team-a")
    assert told.end == pytest.approx(NOW + 0.4945)
    assert told.end_uncertainty == pytest.approx(0.0005, abs=1e-6)


@pytest.mark.parametrize("completion", ['""', '"-"', "-"])
def test_a_stream_whose_client_left_is_aborted_where_request_completion_is_logged(completion: str) -> None:
    text = f'{COMBINED} 0.181 1795234621.494 "4c7d" {completion} "127.0.0.1:8102" "-"'
    told = _completed(text, ALL_FIELDS)
    assert (told.outcome, told.tenant) == ("aborted", None)


@pytest.mark.parametrize(("status", "outcome"), [("200", "ok"), ("400", "error"), ("499", "aborted"), ("502", "error")])
def test_a_status_says_the_outcome(status: str, outcome: str) -> None:
    assert _completed(f"{COMBINED} 1.0".replace("200", status) + "00").outcome == outcome


def test_what_nginx_answered_by_itself_never_reached_a_server() -> None:
    text = f'{COMBINED} 1.297 1795234621.494 "4c7d" "OK" "-" "-"'
    assert _feed(text, ALL_FIELDS) == Ignored("never_served")


@pytest.mark.parametrize(
    ("field", "value", "seconds", "width"),
    [
        ("%D", "1297123", 1.297123, 1.0),
        ("%T", "1", 1.0, 2.0),
        ({"%T": "ms"}, "1297", 1.297, 1.001),
        ("%{ms}T", "1297", 1.297, 1.001),
    ],
)
def test_apache_stamps_the_start_and_has_its_own_units(field: object, value: str, seconds: float, width: float) -> None:
    told = _completed(f"{COMBINED} {value}", {"fields": [field]})
    assert told.end - told.start == pytest.approx(seconds)
    assert told.end == pytest.approx(NOW + seconds + width / 2, abs=1e-5)


def test_the_stamp_may_be_said_to_be_the_other_edge() -> None:
    assert _completed(f"{COMBINED} 2.000", {"stamp": "start"}).end == pytest.approx(NOW + 2.5, abs=0.001)
    assert _completed(f"{COMBINED} 2000000", {"stamp": "end", "fields": ["%D"]}).end == pytest.approx(NOW + 0.5)


def test_nginx_own_numbers_place_requests_where_their_clients_saw_them() -> None:
    """What nginx logged as JSON, written as the lines that the advice has it write."""
    log = FRONT_LOGS[0]
    assert "nginx" in log.name
    options = {"fields": ["request_time", "msec", "request_id", "request_completion", "upstream_addr"]}
    reader = READERS["combined"].build(options, "UTC")
    told: list[Completed] = []
    for text, line in zip(texts(log), back_read(log), strict=True):
        heard = reader.feed(line._replace(text=_as_nginx_would(json.loads(text)))) if text else None
        told += [one for one in heard.events if isinstance(one, Completed)] if isinstance(heard, Used) else []
    assert len(told) == len(truth(log)) + 1  # the malformed one
    for seen in truth(log):
        found = min(told, key=lambda one: abs(one.start - seen.sent) + abs(one.end - seen.ended))
        assert found.start == pytest.approx(seen.sent, abs=0.005)
        assert found.end == pytest.approx(seen.ended, abs=0.002)
        assert found.outcome == ("aborted" if seen.aborted else "ok")


def _as_nginx_would(said: dict[str, Any]) -> str:
    return (
        '{remote_addr} - - [{time_local}] "{request_method} {request_uri} {server_protocol}" {status} '
        '{body_bytes_sent} "-" "-" {request_time:.3f} {msec:.3f} '
        '"{request_id}" "{request_completion}" "{upstream_addr}"'
    ).format(**said)


@pytest.mark.parametrize(("value", "seconds"), [("0.010, 1.990", 2.0), ("0.500 : 1.500", 2.0), ("-, 2.0", 2.0)])
def test_lists_of_what_each_tried_server_took_are_summed(value: str, seconds: float) -> None:
    told = _completed(f"{COMBINED} {value} id-1", {"fields": ["upstream_response_time", "request_id"]})
    assert told.end - told.start == pytest.approx(seconds)
    assert told.id == "id-1"


def test_the_request_time_is_believed_before_the_servers() -> None:
    told = _completed(f"{COMBINED} 0.500 2.000", {"fields": ["upstream_response_time", "request_time"]})
    assert told.end - told.start == pytest.approx(2.0)


def test_ingress_nginx_needs_no_options() -> None:
    ending = "456 1.297 [llm-vllm-8000] [] 10.0.3.7:8000, 10.0.3.8:8000 0, 16291 0.001, 1.296 502, 200 9f1c"
    told = _completed(f"{COMBINED} {ending}")
    assert told.end - told.start == pytest.approx(1.297)
    assert told.id == "9f1c"
    assert _feed(f"{COMBINED} 456 0.000 [llm-vllm-8000] [] - - - - 9f1d") == Ignored("never_served")


def test_traefik_stamps_the_start_and_ends_in_milliseconds() -> None:
    told = _completed(f'{COMBINED} 5 "llm@file" "http://127.0.0.1:8102" 1153ms')
    assert told.end - told.start == pytest.approx(1.153)
    assert told.start == pytest.approx(NOW + 0.5, abs=0.001)
    assert _feed(f'{COMBINED} 5 "-" "-" 0ms') == Ignored("never_served")


@pytest.mark.parametrize("ending", ["", " 1297", ' "a" b', " 1.297 0.005"])
def test_where_nothing_says_what_a_number_is_a_request_is_only_counted(ending: str) -> None:
    heard = _feed(COMBINED + ending)
    assert heard == Used((Counted(Instant(NOW + 0.5)),))


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("2026/11/21 04:17:01 [error] 7#7: *1 upstream timed out", Ignored("other_line")),
        ("", Ignored("other_line")),
        (COMBINED.replace("/v1/chat/completions", "/health"), Ignored("filtered")),
        (COMBINED.replace("POST", "OPTIONS"), Ignored("filtered")),
        (COMBINED.replace("POST /v1/chat/completions HTTP/1.1", r"\x16\x03\x01"), Ignored("filtered")),
        (COMBINED[:-1], Dropped("unreadable")),
        (COMBINED.replace("200", "OK"), Dropped("unreadable")),
        (f"{COMBINED} 1.297".replace("21/Nov", "41/Nov"), Dropped("bad_times")),
    ],
)
def test_a_line_that_is_not_used_says_why(text: str, heard: Heard) -> None:
    assert _feed(text) == heard


def test_too_few_fields_are_missed() -> None:
    assert _feed(f"{COMBINED} 1.297", ALL_FIELDS) == Dropped("missing_fields")
    assert _feed(f"{COMBINED} fast", {"fields": ["request_time"]}) == Dropped("bad_times")


FORGED = 'x" 200 9 "-" "-" 999.000'


@pytest.mark.parametrize("escape", ["\\x22", '\\"'])
def test_a_client_cannot_write_a_line_of_its_own(escape: str) -> None:
    written = FORGED.replace('"', escape)
    told = _completed(f"{COMBINED.replace('curl/8', written)} 1.297")
    assert told.end - told.start == pytest.approx(1.297)
    in_path = COMBINED.replace("/v1/chat/completions", f"/v1/chat/completions?{written}")
    assert _feed(f"{in_path} 1.297") == Ignored("filtered")  # nobody asks for a path with spaces
    user = COMBINED.replace("- - [", f"- {COMBINED.replace(chr(34), escape)} [")
    assert _completed(f"{user} 1.297").end == pytest.approx(NOW + 0.5)


def test_a_front_may_put_text_before_the_line() -> None:
    assert _completed(f"<190>Nov 21 04:17:01 web nginx: {COMBINED} 1.297").end == pytest.approx(NOW + 0.5)
    assert _completed(f"llm.example:443 {COMBINED} 1.297").end == pytest.approx(NOW + 0.5)


def test_paths_may_be_other_ones() -> None:
    text = f"{COMBINED} 1.297".replace("/v1/chat/completions", "/llm/ask?x=1")
    assert _feed(text) == Ignored("filtered")
    assert _completed(text, {"paths": ["/ask"]})


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"fields": []}, "options.fields"),
        ({"fields": "request_time"}, "options.fields"),
        ({"fields": ["-", "colour"]}, "options.fields.1"),
        ({"fields": [{"request_time": "minutes"}]}, "options.fields.0"),
        ({"fields": [{"request_time": []}]}, "options.fields.0"),
        ({"fields": [{"request_id": "s"}]}, "options.fields.0"),
        ({"stamp": "middle"}, "options.stamp"),
        ({"paths": []}, "options.paths"),
        ({"paths": [3]}, "options.paths"),
        ({"path": "x"}, "options.path"),
    ],
)
def test_a_wrong_option_is_named_by_its_path(options: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as error:
        READERS["combined"].build(options, None)
    assert error.value.path == path
