from math import inf
from typing import Any

import pytest

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.registry import READERS

START = 1795234624.798  # 2026-11-21T04:17:04.798Z


def _text(  # noqa: PLR0917 - a line's fields, in its order
    timers: str = "0/0/0/3/434",
    status: int = 200,
    state: str = "----",
    server: str = "s1",
    captured: str = "",
    request: str = "POST /v1/chat/completions HTTP/1.1",
) -> str:
    return (
        f"127.0.0.1:49198 [21/Nov/2026:04:17:04.798] llm~ llm/{server} {timers} {status} 17098 - - {state} "
        f'2/2/1/1/0 0/0 {captured}"{request}"'
    )


def _feed(text: str, options: dict[str, Any] | None = None) -> Heard:
    return READERS["haproxy"].build(options or {}, "UTC").feed(Line(text, Instant(-inf), Instant(START + 100)))


def _completed(text: str, options: dict[str, Any] | None = None) -> Completed:
    heard = _feed(text, options)
    assert isinstance(heard, Used), heard
    (event,) = heard.events
    assert isinstance(event, Completed)
    return event


def test_a_request_is_on_its_server_once_it_is_connected() -> None:
    told = _completed(_text("10/250/40/30/2000"))
    assert told.start == pytest.approx(START + 0.3, abs=0.0011)
    assert told.end == pytest.approx(START + 2.0, abs=0.0011)
    assert told.queued_seconds == pytest.approx(0.3)
    assert (told.first_token, told.id, told.outcome) == (None, "#1", "ok")
    assert told.end_uncertainty == pytest.approx(0.001, abs=1e-6)


@pytest.mark.parametrize(
    "prefix",
    [
        "<134>Nov 21 04:17:07 lb haproxy[123]: ",
        "Nov 21 04:17:07 lb haproxy[123]: ",
        "<134>1 2026-11-21T04:17:07.370+00:00 lb haproxy 123 - - ",
        "2026-11-21T04:17:07.370123+00:00 lb haproxy[123]: ",
    ],
)
def test_a_syslog_header_changes_nothing(prefix: str) -> None:
    assert _completed(prefix + _text()) == _completed(_text())


@pytest.mark.parametrize("timers", ["0/-1/-1/-1/5", "-1/-1/-1/-1/5", "0/3/-1/-1/5", "0/0/0/-1/-1"])
def test_a_request_that_never_reached_a_server_is_ignored(timers: str) -> None:
    assert _feed(_text(timers, 503, "SC--")) == Ignored("never_served")


def test_what_haproxy_answered_by_itself_is_ignored() -> None:
    assert _feed(_text("0/0/0/0/1", 403, "LR--", server="<NOSRV>")) == Ignored("never_served")


@pytest.mark.parametrize(
    ("state", "status", "outcome"),
    [
        ("----", 200, "ok"),
        ("--NI", 200, "ok"),
        ("----", 400, "error"),
        ("----", 499, "aborted"),
        ("CD--", 200, "aborted"),
        ("CD--", 400, "error"),
        ("CH--", -1, "aborted"),
        ("cD--", 200, "aborted"),
        ("SD--", 200, "error"),
        ("sD--", 200, "error"),
        ("SH--", 502, "error"),
        ("PD--", 200, "error"),
    ],
)
def test_the_termination_state_says_who_ended_it(state: str, status: int, outcome: str) -> None:
    assert _completed(_text("0/0/0/-1/434", status, state)).outcome == outcome


@pytest.mark.parametrize("timers", ["0/0/0/3/+3", "0/0/0/3/+434"])
def test_a_line_that_was_written_at_the_headers_has_no_end(timers: str) -> None:
    assert _feed(_text(timers)) == Dropped("logged_early")


def test_captured_headers_may_be_told() -> None:
    options = {"captures": ["-", "request_id", "tenant", "trace_id", "model"]}
    traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    told = _completed(_text(captured=f"{{curl|id-1|team-a|{traced}|m}} {{ignored}} "), options)
    assert (told.id, told.tenant, told.model) == ("id-1", "team-a", "m")
    assert told.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    without = _completed(_text(captured="{|||||} "), options)
    assert (without.id, without.tenant, without.trace_id) == ("#1", None, None)


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("", Ignored("other_line")),
        ("Nov 21 04:17:07 lb haproxy[123]: Server llm/s1 is DOWN, reason: Layer4 timeout", Ignored("other_line")),
        (_text(request="GET /health HTTP/1.1"), Ignored("filtered")),
        (_text(request="<BADREQ>"), Ignored("filtered")),
        (_text(request="POST /v1/models HTTP/1.1"), Ignored("filtered")),
        ("10.0.0.1:49198 [21/Nov/2026:04:17:04.798] tcp tcp/s1 0/0/434 17098 -- 2/2/1/1/0 0/0", Ignored("tcp")),
        (_text("0/0/0/3"), Dropped("unreadable")),
        (_text()[:100], Dropped("unreadable")),
        (_text().replace("21/Nov", "41/Nov"), Dropped("bad_times")),
    ],
)
def test_a_line_that_is_not_used_says_why(text: str, heard: Heard) -> None:
    assert _feed(text) == heard


def test_a_line_cut_at_its_longest_is_used_where_its_path_is_whole() -> None:
    text = _text(request="POST /v1/chat/completions?" + "x" * 900)[:-1]
    assert _completed(text).end == pytest.approx(START + 0.434, abs=0.002)


def test_a_captured_header_cannot_write_a_line_of_its_own() -> None:
    forged = _text("0/0/0/0/999999").replace('"', "#22").replace("{", "#7B").replace("}", "#7D")
    told = _completed(_text(captured=f"{{{forged}}} "))
    assert told.end == pytest.approx(START + 0.434, abs=0.002)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"captures": ["colour"]}, "options.captures"),
        ({"captures": "request_id"}, "options.captures"),
        ({"captures": [{}]}, "options.captures"),
        ({"paths": "/x"}, "options.paths"),
    ],
)
def test_a_wrong_option_is_named_by_its_path(options: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as error:
        READERS["haproxy"].build(options, None)
    assert error.value.path == path
