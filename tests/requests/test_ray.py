import json

import pytest

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from tests.requests.replay import RAY_LOGS, Log, back_read, events, feed, requests, surveyed, texts, truth

NOW = 1795234810.6  # 2026-11-21T04:20:10.6Z
PROXY = "INFO 2026-11-21 04:20:10,548 proxy 192.0.2.2 {id} -- POST /v1/chat/completions 200 208.6ms"
REPLICA = "INFO 2026-11-21 04:20:10,546 app_LLM jy6f4brh {id} -- POST /v1/chat/completions 200 203.3ms"
DRIVEN = "INFO 2026-11-21 04:20:10,546 app_LLM r1 8b7e -- POST /llm 200 12.5ms"
LEFT = "INFO 2026-11-21 04:20:10,545 proxy 192.0.2.2 {id} -- Client for request {id} disconnected, cancelling request."


def _reader(**options: object) -> RequestReader:
    return READERS["ray"].build(options, "UTC")


def _hear(reader: RequestReader, text: str) -> Heard:
    return reader.feed(Line(text, Instant(float("-inf")), Instant(NOW)))


def _told(reader: RequestReader, *lines: str) -> list[Completed]:
    heard = [_hear(reader, text) for text in lines]
    return [event for event in events(heard) if isinstance(event, Completed)]


def _combined(first: Log, second: Log) -> list[Line]:
    return [*back_read(first), *back_read(second)]


@pytest.mark.parametrize("log", RAY_LOGS, ids=lambda log: log.name)
def test_requests_are_where_their_clients_saw_them(log: Log) -> None:
    told = requests(events(feed(surveyed(log), back_read(log))))
    assert len(told) == len(truth(log)) + 1  # the one that was not JSON had no usual answer
    for seen in truth(log):
        found = told[seen.id]
        assert found.start == pytest.approx(seen.sent, abs=0.012)
        assert found.end == pytest.approx(seen.ended, abs=0.006)
    assert told["rays-bad"].ended.outcome == "error"


@pytest.mark.parametrize("log", RAY_LOGS, ids=lambda log: log.name)
def test_a_client_that_left_is_known_from_the_proxy(log: Log) -> None:
    told = requests(events(feed(surveyed(log), back_read(log))))
    tells = any("Client for request" in text for text in texts(log))
    assert tells == ("replica" not in log.name)
    for seen in truth(log):
        assert told[seen.id].ended.outcome == ("aborted" if seen.aborted and tells else "ok")


@pytest.mark.parametrize(("proxy", "replica"), [(0, 1), (3, 4)])
@pytest.mark.parametrize("order", [1, -1])
def test_a_file_read_back_whole_tells_replicas_requests_once_in_either_order(
    proxy: int, replica: int, order: int
) -> None:
    lines = _combined(*(RAY_LOGS[proxy], RAY_LOGS[replica])[::order])
    kind = READERS["ray"]
    reader = kind.build({}, "UTC")
    assert kind.survey
    reader.restore(kind.survey(lines))
    alone = requests(events(feed(RAY_LOGS[replica].reader(), back_read(RAY_LOGS[replica]))))
    told = requests(events(feed(reader, lines)))
    assert {id_: (one.start, one.end) for id_, one in told.items()} == {
        id_: (one.start, one.end) for id_, one in alone.items()
    }
    assert sum(one.ended.outcome == "aborted" for one in told.values()) == 1


def test_live_each_request_is_told_once_and_by_replicas_once_one_was_read() -> None:
    reader = _reader()
    (first,) = _told(reader, PROXY.format(id="a"), REPLICA.format(id="a"))
    assert first.end - first.start == pytest.approx(0.2086)
    assert _hear(reader, PROXY.format(id="b")) == Ignored("proxy_line")
    (second,) = _told(reader, REPLICA.format(id="b"))
    assert second.end - second.start == pytest.approx(0.2033)
    (third,) = _told(reader, REPLICA.format(id="c"), PROXY.format(id="c"))
    assert third.id == "c"


def test_an_abort_that_the_proxy_told_first_is_the_replicas_too() -> None:
    (told,) = _told(_reader(), LEFT.format(id="a"), REPLICA.format(id="a"))
    assert told.outcome == "aborted"


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("INFO 2023-09-01 10:00:00,123 http_proxy 10.0.0.1 http_proxy.py:373 - POST /llm 200 12.5ms", "#1"),
        ("INFO 2024-02-01 10:00:00,123 proxy 10.0.0.1 8b7e /llm -- POST 200 12.5ms", "8b7e"),
        ("INFO 2024-02-01 10:00:00,123 app_LLM r1 8b7e /llm app replica.py:373 - POST 200 12.5ms", "8b7e"),
        (f"\x1b[36m(ServeReplica:app:LLM pid=1, ip=10.0.0.2)\x1b[0m {DRIVEN}\x1b[32m [repeated 2x]\x1b[0m", "8b7e"),
    ],
)
def test_the_lines_of_other_releases_and_of_drivers_are_read(text: str, id_: str) -> None:
    (told,) = _told(_reader(routes=["/llm"]), text)
    assert told.id == id_
    assert told.end - told.start == pytest.approx(0.0125, abs=1e-6)


@pytest.mark.parametrize(
    "message", ["GET /v1/models 200 3.0ms", "CALL chat OK 3.0ms", "POST /other 200 3.0ms", "POST /v1x 200 3.0ms"]
)
def test_only_posts_of_the_given_routes_are_requests(message: str) -> None:
    text = f"INFO 2026-11-21 04:20:10,546 app_LLM r1 8b7e -- {message}"
    assert _hear(_reader(routes=["/v1/"]), text) == Ignored("other_endpoint")


def test_a_request_line_that_cannot_be_read_is_dropped() -> None:
    text = "INFO 2026-11-21 04:20:10,546 app_LLM r1 8b7e -- POST /v1 200 soon"
    assert _hear(_reader(), text) == Dropped("bad_request_line")
    assert _hear(_reader(), '{"message": "POST /v1 200 3ms", ') == Dropped("bad_json")


def test_a_status_tells_the_outcome() -> None:
    lines = [REPLICA.format(id=n).replace(" 200 ", f" {n} ") for n in ("204", "404", "499", "500", "CANCELLED")]
    assert [one.outcome for one in _told(_reader(), *lines)] == ["ok", "error", "aborted", "error", "aborted"]


def test_a_json_stamp_of_another_kind_falls_back_to_the_text() -> None:
    record = {
        "message": "POST /v1 200 100.0ms",
        "component_name": "replica",
        "request_id": "a",
        "asctime": "2026-11-21 04:20:10,500",
        "timestamp_ns": True,
    }
    (told,) = _told(_reader(), json.dumps(record))
    assert told.end == pytest.approx(NOW - 0.1 + 0.0005)


@pytest.mark.parametrize("routes", [[], "/v1", ["v1"], [1]])
def test_wrong_routes_are_named(routes: object) -> None:
    with pytest.raises(ConfigError) as refused:
        _reader(routes=routes)
    assert refused.value.path == "options.routes"


def test_memory_is_bounded() -> None:
    reader = _reader()
    for n in range(5_000):
        _hear(reader, LEFT.format(id=f"left-{n}"))
        assert isinstance(_hear(reader, REPLICA.format(id=n)), Used)
    assert len(reader.snapshot()["told"]) == len(reader.snapshot()["left"]) == 4_096
