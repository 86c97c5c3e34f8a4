"""Whoever is asked may be somebody else, may be closed, or may not be there."""

import json
import ssl
from argparse import ArgumentParser
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from exporter.domain.errors import ReportError, UsageError, WebError
from exporter.report.sources import prometheus, running
from exporter.web import Access, access_of, add_access_arguments
from tests.e2e.web import free_port
from tests.server.access.authority import Pair, found, needs_openssl

EMPTY = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}})


class Answering(HTTPServer):
    """Answers everything in one way, and keeps what it was shown."""

    status = 200
    body = EMPTY
    lacks = 0
    """So many bytes are announced that do not come."""
    location = ""
    shown: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.server.shown = self.headers["Authorization"]
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = self.server.body.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body) + self.server.lacks))
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        pass


@contextmanager
def answering(pair: Pair | None = None) -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), _Handler) as server:
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.certificate, pair.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[Answering]:
    with answering() as found_there:
        yield found_there


def why(url: str, access: Access | None = None) -> str:
    """What is said when no account comes of it."""
    with pytest.raises((ReportError, WebError)) as raised:
        prometheus.account(url, 1000.0, 2000.0, access=access or Access())
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_nobody_there_is_said() -> None:
    assert "cannot be asked: [Errno 111] Connection refused" in why(f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("url", ["http://[", "http://127.0.0.1:port"])
def test_an_address_that_cannot_be_one_is_said(url: str) -> None:
    assert "cannot be asked" in why(url)


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_breaks_off_is_none(server: Answering, status: int) -> None:
    server.status, server.lacks = status, 7
    assert f"cannot be asked: IncompleteRead({len(EMPTY)} bytes read, 7 more expected)" in why(server.url)


def test_an_error_of_which_nothing_more_comes_is_waited_for_no_longer_than_any_other(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading what an error says fails as all reading may."""
    server.status = 500

    def hangs(*_: object) -> bytes:
        raise TimeoutError("timed out")

    monkeypatch.setattr(HTTPResponse, "read", hangs)
    assert "cannot be asked: timed out" in why(server.url)


def test_a_redirection_is_followed_and_shown_nothing(server: Answering) -> None:
    with answering() as other:
        server.status, server.location = 302, f"{other.url}/api/v1/query"
        assert "does it scrape an exporter" in why(server.url, Access(token="t0ken"))  # noqa: S106 - a test's
    assert (server.shown, other.shown) == ("Bearer t0ken", None)


def test_a_page_that_is_not_there_asks_for_prometheus_own_address(server: Answering) -> None:
    server.status, server.body = 404, "404 page not found"
    assert "has no /api/v1/query: give Prometheus' own address" in why(server.url)


def test_somebody_who_is_no_prometheus_is_told_apart(server: Answering) -> None:
    server.body = "<html>Grafana</html>"
    assert "answers 200, and not as a Prometheus does" in why(server.url)


def test_who_does_not_let_us_in_asks_for_a_token_or_a_password(server: Answering) -> None:
    server.status = 401
    assert "by --user and --password-file, --token-file, or --cert-file" in why(server.url)


@pytest.mark.parametrize(("status", "advice"), [(422, "is --match right"), (503, "or --match asks for less")])
def test_a_query_that_fails_is_told_in_its_own_words_and_what_may_help(
    server: Answering, status: int, advice: str
) -> None:
    server.status, server.body = status, json.dumps({"status": "error", "errorType": "x", "error": "it went wrong"})
    assert "does not answer: it went wrong" in why(server.url)
    assert advice in why(server.url)


@pytest.mark.parametrize(
    "problem",
    [
        "query processing would load too many samples into memory in query execution",
        "exceeded maximum resolution of 11,000 points per timeseries",
        "the query exceeded the maximum number of chunks (limit: 2000000 chunks)",
    ],
)
def test_a_server_that_allows_no_more_is_told_apart_from_a_wrong_question(server: Answering, problem: str) -> None:
    server.status, server.body = 422, json.dumps({"status": "error", "errorType": "execution", "error": problem})
    assert f"{problem} (it may be short of memory" in why(server.url)
    assert "a shorter period or --match asks for less" in why(server.url)


def test_a_token_or_a_password_is_shown(server: Answering) -> None:
    why(server.url, Access(token="t0ken"))  # noqa: S106 - a test's
    assert server.shown == "Bearer t0ken"
    why(server.url, Access(user="me", password="p:w"))  # noqa: S106
    assert server.shown == "Basic " + b64encode(b"me:p:w").decode()


def test_what_stands_in_the_url_is_shown_and_never_repeated(server: Answering) -> None:
    said = why(f"http://me:s%40cret@127.0.0.1:{server.server_port}")
    assert server.shown == "Basic " + b64encode(b"me:s@cret").decode()
    assert "cret" not in said


@pytest.mark.parametrize("token", ["", "two\tparts", "secr\u20act"])
def test_a_file_whose_first_line_cannot_be_shown_is_wrong_usage(tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token)
    parser = ArgumentParser()
    add_access_arguments(parser)
    with pytest.raises(UsageError, match="token: its first line is no token"):
        access_of(parser.parse_args(["--token-file", str(tmp_path / "token")]))


@pytest.mark.parametrize("url", ["prometheus:9090", "ftp://prometheus", "http://", "http://me:secret@"])
def test_what_is_no_url_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        prometheus.account(url, 1000.0, 2000.0)
    assert "secret" not in str(raised.value)


@needs_openssl
def test_a_certificate_is_trusted_by_the_authorities_that_are_given(tmp_path: Path) -> None:
    authority = found(tmp_path)
    with answering(authority.signs("prometheus")) as server:
        url = server.url.replace("http:", "https:")
        assert "its certificate is not trusted" in why(url)
        assert "by --ca-file" in why(url)
        assert "does it scrape an exporter" in why(url, Access(insecure=True))
        assert "does it scrape an exporter" in why(url, Access(ca_file=authority.pair.certificate))


def test_a_file_that_holds_no_certificates_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "none.pem"):
        with pytest.raises(UsageError, match=name):
            prometheus.account("https://127.0.0.1", 1000.0, 2000.0, access=Access(ca_file=tmp_path / name))


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "<html>Grafana</html>", "is no page of metrics"),
        (200, "go_goroutines 7\n", "holds no metrics of llm-energy-exporter"),
        (404, "", "answered 404: is llm-energy-exporter running there"),
    ],
)
def test_who_is_no_exporter_is_told_apart(server: Answering, status: int, body: str, said: str) -> None:
    server.status, server.body = status, body
    with pytest.raises(ReportError, match=said):
        running.account(server.url)
