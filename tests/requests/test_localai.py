import pytest

from exporter.domain.events import Counted, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.servers.localai import build

NOW = 1795234621.0
PREFIX = "Mar 31 10:11:12 INFO  "


def _heard(text: str) -> Heard:
    return build({}, None).feed(Line(text, Instant(NOW), Instant(NOW + 0.125)))


def _request(method: str = "POST", path: str = "/v1/chat/completions", status: int = 200) -> str:
    return f'HTTP request method="{method}" path="{path}" status={status}'


@pytest.mark.parametrize(("status", "outcome"), [(200, "ok"), (400, "error"), (500, "error")])
def test_an_answer_is_counted_where_it_was_read(status: int, outcome: str) -> None:
    heard = _heard(PREFIX + _request(status=status))
    assert heard == Used((Counted(Instant(NOW + 0.0625), outcome),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "prefix",
    [
        "INFO ",
        "\x1b[90mMar 31 10:11:12\x1b[0m \x1b[32mINFO\x1b[0m  ",
        "2026-03-31T10:11:12Z INFO  ",
        "localai-1  | INFO ",
    ],
)
def test_what_the_logger_puts_before_it_changes_nothing(prefix: str) -> None:
    assert _heard(prefix + _request()) == _heard(PREFIX + _request())


@pytest.mark.parametrize(
    "path", ["/v1/completions", "/v1/embeddings", "/v1/images/generations", "/tts", "/v1/chat/completions?a=b"]
)
def test_requests_for_work_are_counted(path: str) -> None:
    assert isinstance(_heard(PREFIX + _request(path=path)), Used)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PREFIX + _request("GET"), "other_endpoint"),
        (PREFIX + _request(path="/readyz"), "other_endpoint"),
        (PREFIX + "LocalAI is started and running", "info"),
        ("Mar 31 10:11:12 DEBUG GRPC stderr " + _request(), "debug"),
        ('Mar 31 10:11:12 DEBUG prompt="' + PREFIX + _request() + '"', "debug"),
        ("", "blank"),
        ("a prompt of HTTP request", "unstamped"),
        ('say "INFO ' + _request() + '"', "unstamped"),
    ],
)
def test_other_lines_are_ignored_by_their_kind(text: str, reason: str) -> None:
    assert _heard(text) == Ignored(reason)


def test_a_request_line_that_cannot_be_read_is_dropped() -> None:
    assert _heard(PREFIX + "HTTP request method=") == Dropped("bad_request_line")
