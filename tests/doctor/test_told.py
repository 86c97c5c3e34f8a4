"""What is told over HTTP."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from exporter.doctor.finding import Finding
from exporter.doctor.servers import examine
from exporter.domain.settings import ListenAddress, RequestSettings, ServerSettings
from exporter.domain.units import Instant

LISTEN = ListenAddress("0.0.0.0", 9460)  # noqa: S104 - what is configured, not what is opened


class Upstream(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Starting(Upstream):
    status = 503


@pytest.fixture
def upstream(request: pytest.FixtureRequest) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), getattr(request, "param", Upstream))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def examined(source: str, **options: object) -> list[Finding]:
    requests = RequestSettings(source, options=options)
    return list(examine([ServerSettings("chat", (requests,))], [], Instant(0.0), LISTEN))


def last(source: str, **options: object) -> Finding:
    return examined(source, **options)[-1]


def proxy(upstream: str, **options: object) -> Finding:
    return last("proxy", upstream=upstream, listen="127.0.0.1:0", **options)


def test_a_server_that_answers_is_well(upstream: str) -> None:
    assert proxy(upstream).verdict == "ok"


@pytest.mark.parametrize("upstream", [Starting], indirect=True)
def test_a_server_that_cannot_serve_yet_is_worth_a_word(upstream: str) -> None:
    found = proxy(upstream)
    assert found.verdict == "warn"
    assert "503" in found.text


def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    found = proxy(url)
    assert found.verdict == "warn"
    assert url in found.text
    assert "refused" in found.text
    assert "upstream" in found.fix


def test_a_port_that_is_taken_is_a_problem(upstream: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        found = [one for one in examined("proxy", upstream=upstream, listen=taken) if one.subject == "listen"]
    assert [one.verdict for one in found] == ["fail"]


def test_wrong_options_are_a_problem() -> None:
    assert last("proxy").verdict == "fail"
    assert "upstream" in last("proxy").text


@pytest.mark.parametrize(("source", "path"), [("otlp", ":9460/v1/traces"), ("push", ":9460/api/v1/events")])
def test_where_to_send_is_said(source: str, path: str) -> None:
    assert path in last(source).text


def test_what_it_can_tell_is_said_once_and_with_the_flag_that_tells_more() -> None:
    heading = examined("otlp")[0]
    assert any("--otlp-traces-endpoint" in line for line in heading.details)
