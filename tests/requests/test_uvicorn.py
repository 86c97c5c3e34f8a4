import json

import pytest

from exporter.domain.events import Counted, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from tests.requests.replay import COUNTED_LOGS, LOGS, Log, counted, events, feed, live, texts

NOW = 1795234797.7
POST = '127.0.0.1:51080 - "POST /v1/chat/completions HTTP/1.1" 200'
SOURCES = ("transformers", "litellm", "trtllm")


def _reader(source: str = "litellm") -> RequestReader:
    return READERS[source].build({}, "UTC")


def _hear(reader: RequestReader, text: str) -> Heard:
    return reader.feed(Line(text, Instant(NOW - 0.1), Instant(NOW)))


@pytest.mark.parametrize("log", COUNTED_LOGS, ids=lambda log: log.name)
def test_every_request_of_a_client_is_counted_and_none_is_placed(log: Log) -> None:
    told = events(feed(log.reader(), live(log)))
    assert log.truth
    sent = [json.loads(row) for row in (LOGS / log.truth).read_text().splitlines()]
    refused = sum(f'" {status}' in text for text in texts(log) for status in ("400", "422", "500"))
    assert len(counted(told)) == len(told) == len(sent) + refused
    assert sum(one.outcome == "error" for one in counted(told)) == refused == 1


@pytest.mark.parametrize("source", SOURCES)
def test_a_line_without_a_stamp_is_counted_when_it_was_read(source: str) -> None:
    heard = _hear(_reader(source), f"INFO:     {POST} OK")
    assert heard == Used((Counted(Instant(NOW - 0.05)),))


def test_a_line_with_a_stamp_is_counted_at_it() -> None:
    record = {
        "message": POST,
        "level": "INFO",
        "timestamp": "2026-11-21T04:19:57.654321",
        "component": "uvicorn.access",
    }
    (told,) = events([_hear(_reader(), json.dumps(record))])
    assert isinstance(told, Counted)
    assert told.at == pytest.approx(1795234797.654321, abs=1e-5)


def test_another_loggers_message_is_no_access_line() -> None:
    record = {"message": POST, "level": "INFO", "timestamp": "2026-11-21T04:19:57.654321", "component": "LiteLLM"}
    assert _hear(_reader(), json.dumps(record)) == Ignored("info")


def test_an_object_that_is_cut_is_dropped() -> None:
    assert _hear(_reader(), '{"message": "127.0.0.1:1 - ') == Dropped("bad_json")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', "other_endpoint"),
        ("[transformers] [Request received] Model: m@main, CB: False", "request_detail"),
        ("04:19:41 - LiteLLM Proxy:WARNING: login_throttle.py:126 - no", "warning"),
        ("[07/09/2026-23:07:49] [TRT-LLM] [E] no", "error"),
        ("", "blank"),
    ],
)
def test_other_lines_are_ignored_by_their_kind(text: str, reason: str) -> None:
    assert _hear(_reader(), text) == Ignored(reason)


def test_a_start_is_told_from_what_comes_after_the_first_request() -> None:
    reader = _reader()
    loading = "INFO:     Waiting for application startup."
    assert _hear(reader, loading) == Ignored("info")
    assert _hear(reader, "INFO:     Started server process [1]") == Ignored("startup")
    assert _hear(reader, loading) == Ignored("startup")
    _hear(reader, f"INFO:     {POST} OK")
    assert _hear(reader, loading) == Ignored("info")
