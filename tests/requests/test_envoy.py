import json
from collections.abc import Mapping
from math import inf
from typing import Any

import pytest

from exporter.domain.events import Completed, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS

START = 1795234662.950  # 2026-11-21T04:17:42.950Z


def _text(  # noqa: PLR0917 - a line's fields, in its order
    at: str = "42.950",
    flags: str = "-",
    status: int = 200,
    numbers: str = "264 16940 2597 3",
    agent: str = "curl/8",
    name: str = "id-1",
    server: str = "127.0.0.1:8102",
    istio: str | None = None,
    request: str = "POST /v1/chat/completions HTTP/1.1",
) -> str:
    middle, end = (
        (f'{istio} - "-" ', f" outbound|80||llm {server} 10.0.0.1:80 10.0.0.2:4 - default") if istio else ("", "")
    )
    return (
        f'[2026-11-21T04:17:{at}Z] "{request}" {status} {flags} {middle}{numbers} "-" "{agent}" "{name}" '
        f'"llm.example" "{server}"{end}'
    )


def _heard(reader: RequestReader, text: str) -> Heard:
    return reader.feed(Line(text, Instant(-inf), Instant(START + 100)))


def _reader() -> RequestReader:
    return READERS["envoy"].build({}, "UTC")


def _completed(text: str) -> Completed:
    heard = _heard(_reader(), text)
    assert isinstance(heard, Used), heard
    (event,) = heard.events
    assert isinstance(event, Completed)
    return event


@pytest.mark.parametrize("istio", [None, "via_upstream"])
def test_a_line_is_a_request_from_its_start_for_its_duration(istio: str | None) -> None:
    told = _completed(_text(istio=istio))
    assert (told.id, told.outcome, told.first_token) == ("id-1", "ok", None)
    assert told.start == pytest.approx(START, abs=0.0011)
    assert told.end == pytest.approx(START + 2.597, abs=0.0011)
    assert told.end_uncertainty == pytest.approx(0.001, abs=1e-6)


@pytest.mark.parametrize(
    ("flags", "status", "details", "outcome"),
    [
        ("-", 200, None, "ok"),
        ("-", 400, None, "error"),
        ("DC", 200, None, "aborted"),
        ("DC", 0, None, "aborted"),
        ("-", 0, None, "aborted"),
        ("DR", 200, None, "aborted"),
        ("-", 200, "downstream_remote_disconnect", "aborted"),
        ("DI", 200, None, "ok"),
        ("UC", 200, None, "error"),
        ("UT", 504, None, "error"),
        ("SI", 200, None, "error"),
        ("DI,DC", 200, None, "aborted"),
    ],
)
def test_flags_say_who_ended_a_request_whatever_its_status(
    flags: str, status: int, details: str | None, outcome: str
) -> None:
    assert _completed(_text(flags=flags, status=status, istio=details)).outcome == outcome


@pytest.mark.parametrize("flags", ["UF", "UH", "NR", "NC", "UO"])
def test_a_request_without_a_server_was_never_served(flags: str) -> None:
    assert _heard(_reader(), _text(flags=flags, status=503)) == Ignored("never_served")
    assert _heard(_reader(), _text(status=429, server="-")) == Ignored("never_served")
    assert isinstance(_heard(_reader(), _text(flags=f"{flags},URX", status=503)), Used)


def test_a_request_that_two_sidecars_logged_is_told_once() -> None:
    reader = _reader()
    assert isinstance(_heard(reader, _text(numbers="1 2 2590 3", at="42.955", istio="via_upstream")), Used)
    other = _text(numbers="1 2 2597 9", at="42.950", istio="via_upstream")
    assert _heard(reader, other) == Ignored("told_before")


@pytest.mark.parametrize(("at", "seconds"), [("45.950", 1.0), ("43.951", 1.0), ("43.050", 0.1), ("42.000", 1.5)])
def test_an_id_that_is_used_again_is_another_request(at: str, seconds: float) -> None:
    reader = _reader()
    assert isinstance(_heard(reader, _text(numbers=f"1 2 {min(seconds, 1.0) * 1e3:.0f} 3", at="42.950")), Used)
    assert isinstance(_heard(reader, _text(numbers=f"1 2 {seconds * 1e3:.0f} 3", at=at)), Used)


def test_requests_without_an_id_are_numbered_and_never_the_same() -> None:
    reader = _reader()
    told = [_heard(reader, _text(name="-")) for _ in range(2)]
    assert [one.events[0].id for one in told if isinstance(one, Used)] == ["#1", "#2"]  # type: ignore[union-attr]


def test_what_was_told_survives_a_restart() -> None:
    reader, successor = _reader(), _reader()
    _heard(reader, _text())
    successor.restore(json.loads(json.dumps(reader.snapshot())))
    assert _heard(successor, _text()) == Ignored("told_before")


def test_only_so_many_ids_are_remembered() -> None:
    reader = _reader()
    for number in range(5_000):
        _heard(reader, _text(name=f"id-{number}"))
    assert len(_told(reader.snapshot())) == 4_096
    assert isinstance(_heard(reader, _text(name="id-0")), Used)


def _told(snapshot: Mapping[str, Any]) -> list[Any]:
    told = snapshot["told"]
    assert isinstance(told, list)
    return told


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("", Ignored("other_line")),
        ("[2026-11-21 04:17:42.656][1][info][main] [source/server/server.cc:1] starting", Ignored("other_line")),
        (_text(request="GET /health HTTP/1.1"), Ignored("filtered")),
        (_text(request="POST /v1/models HTTP/2"), Ignored("filtered")),
        (_text(request="- - HTTP/1.1"), Ignored("filtered")),
        (_text(numbers="1 2 x 4"), Dropped("unreadable")),
        (_text()[:110], Dropped("unreadable")),
        (_text(numbers="1 2 - -"), Dropped("bad_times")),
        (_text().replace("-11-", "-13-"), Dropped("bad_times")),
    ],
)
def test_a_line_that_is_not_used_says_why(text: str, heard: Heard) -> None:
    assert _heard(_reader(), text) == heard


@pytest.mark.parametrize("istio", [None, "via_upstream"])
def test_a_user_agent_with_quotes_moves_nothing(istio: str | None) -> None:
    forged = '" "forged" "a" "b" 200 - 1 2 999999 3 "-" "'
    told = _completed(_text(agent=forged, istio=istio))
    assert told.id == "id-1"
    assert told.end == pytest.approx(START + 2.597, abs=0.0011)
