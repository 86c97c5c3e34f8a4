"""Asking a dcgm-exporter: what is broken, slow, or not to be trusted, on real sockets."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from exporter.domain.errors import SourceError
from exporter.domain.settings import DcgmSettings
from exporter.power.dcgm import asking
from exporter.power.dcgm.asking import Asker, AskError
from tests.fakes.dcgm import FakeDcgm, serving
from tests.server.access.authority import Authority, found, needs_openssl

PAGE = b"# TYPE DCGM_FI_DEV_POWER_USAGE gauge\n"


@contextmanager
def answering(*answers: bytes, family: socket.AddressFamily = socket.AF_INET) -> Iterator[str]:
    """A server that gives each connection one of these answers, and then closes it."""
    with socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family) as listening:
        thread = Thread(target=_answer, args=(listening, answers), daemon=True)
        thread.start()
        host = "[::1]" if family == socket.AF_INET6 else "127.0.0.1"
        yield f"http://{host}:{listening.getsockname()[1]}/metrics"
        thread.join()


def _answer(listening: socket.socket, answers: tuple[bytes, ...]) -> None:
    for answer in answers:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        return ours, listening.accept()[0]


def whole(body: bytes = PAGE) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def asked(url: str, **settings: Any) -> bytes:
    asker = Asker(DcgmSettings(**{"url": url, "timeout_seconds": 5.0, **settings}))
    try:
        return asker.ask()
    finally:
        asker.close()


def refusal(url: str, **settings: Any) -> AskError:
    with pytest.raises(AskError) as raised:
        asked(url, **settings)
    return raised.value


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n" + PAGE,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(PAGE), PAGE),
        whole(),
    ],
)
def test_a_page_is_read_however_its_end_is_told(answer: bytes) -> None:
    with answering(answer) as url:
        assert asked(url) == PAGE


def test_an_address_of_ipv6_is_asked() -> None:
    try:
        with answering(whole(), family=socket.AF_INET6) as url:
            assert asked(url) == PAGE
    except OSError:
        pytest.skip("there is no IPv6 here")


@pytest.mark.parametrize(("url", "port"), [("http://[::1]/metrics", 80), ("https://[::1]/metrics", 443)])
def test_an_address_of_ipv6_without_a_port_has_the_usual_one(
    url: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def refuse(address: object, *_: object) -> socket.socket:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert refusal(url).reason == "unreachable"
    assert tried == [("::1", port)]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + PAGE,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + PAGE,
    ],
)
def test_a_page_that_breaks_off_is_none(answer: bytes) -> None:
    with answering(answer) as url:
        error = refusal(url)
    assert (error.reason, "broke off in the middle of its page" in str(error)) == ("unreadable", True)


def test_an_answer_that_comes_byte_by_byte_is_waited_for_no_longer_than_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each look at the clock costs a third of a second and brings another byte, so that no wait by itself is long."""
    rest, now = list(whole()), [0.0]
    ours, theirs = connected()

    def connect(_: object, timeout: float, __: object) -> socket.socket:
        ours.settimeout(timeout)
        return ours

    def tick() -> float:
        now[0] += 0.3
        if rest:
            theirs.send(bytes([rest.pop(0)]))
        return now[0]

    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=tick))
    monkeypatch.setattr(socket, "create_connection", connect)
    with ours, theirs:
        assert refusal("http://localhost/metrics", timeout_seconds=2.0).reason == "timeout"
    assert now[0] < 3.0


def test_the_next_answer_has_all_its_time_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def tick() -> float:
        now[0] += 0.5
        return now[0]

    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=tick))
    fake = FakeDcgm(lambda: 0.0)
    with serving(fake) as url:
        asker = Asker(DcgmSettings(url=url, timeout_seconds=2.0))
        assert {asker.ask() for _ in range(4)} == {fake.page().encode()}
        asker.close()
    assert fake.connections == 1


def test_what_has_not_answered_in_time_on_a_connection_kept_open_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks, pause = [0], [0.1]

    def tick() -> float:
        looks[0] += 1
        return looks[0] * pause[0]

    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=tick))
    with serving(FakeDcgm(lambda: 0.0)) as url:
        asker = Asker(DcgmSettings(url=url, timeout_seconds=2.0))
        asker.ask()
        looks[0], pause[0] = 0, 10.0
        with pytest.raises(AskError, match="did not answer within 2 s"):
            asker.ask()
        asker.close()
    assert looks == [2]


def test_a_token_that_was_renewed_is_shown_at_the_next_connection(tmp_path: Path) -> None:
    token, fake = tmp_path / "token", FakeDcgm(lambda: 0.0, closes=True)
    with serving(fake) as url:
        asker = Asker(DcgmSettings(url=url, token_file=str(token)))
        for secret in ("one", "two"):
            token.write_text(secret)
            asker.ask()
            assert fake.headers["Authorization"] == f"Bearer {secret}"


def test_a_page_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_MOST_BYTES", 100)
    with answering(whole(b"x" * 101)) as url:
        assert refusal(url).reason == "too_large"
    with answering(whole(b"x" * 100)) as url:
        assert len(asked(url)) == 100


def test_a_redirection_is_not_followed_and_is_shown_nothing(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    elsewhere = FakeDcgm(lambda: 0.0)
    with serving(elsewhere) as other:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {other}\r\nContent-Length: 0\r\n\r\n".encode()
        with answering(moved) as url:
            assert refusal(url, token_file=str(tmp_path / "token")).reason == "status"
    assert elsewhere.asked == 0


def test_a_connection_that_was_closed_while_idle_is_opened_again() -> None:
    with answering(whole(b"one"), whole(b"two")) as url:
        asker = Asker(DcgmSettings(url=url))
        assert [asker.ask(), asker.ask()] == [b"one", b"two"]
        asker.close()


def test_what_does_not_answer_at_all_is_asked_once() -> None:
    fake = FakeDcgm(lambda: 0.0, down=True)
    with serving(fake) as url:
        assert refusal(url).reason == "unreachable"
    assert fake.asked == 1


@pytest.mark.parametrize("url", ["http://a..b/metrics", "http://localhost:1/m\u00e9trics"])
def test_an_address_that_cannot_be_said_is_no_more_than_unreachable(url: str) -> None:
    assert refusal(url).reason == "unreachable"


@pytest.mark.parametrize("secret", ["", "\n", "two\tparts", "secr\u20act"])
def test_a_file_without_a_token_is_named(tmp_path: Path, secret: str) -> None:
    (tmp_path / "token").write_text(secret)
    error = refusal("http://localhost:1/metrics", token_file=str(tmp_path / "token"))
    assert (error.reason, "power.dcgm.token_file" in str(error)) == ("no_secret", True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return found(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serve(authority: Authority, tmp_path: Path) -> Callable[[str], Any]:
    """Serves a page with a certificate in this name."""

    def served(name: str) -> Any:
        pair, both = authority.signs("dcgm", san=name), tmp_path / "both.pem"
        both.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
        return serving(FakeDcgm(lambda: 0.0), both)

    return served


@needs_openssl
class TestCertificates:
    def test_what_an_unknown_authority_signed_is_not_trusted(self, serve: Callable[[str], Any]) -> None:
        with serve("DNS:localhost") as url:
            error = refusal(url)
        assert error.reason == "tls"
        assert "shows a certificate that is not trusted: unable to get local issuer certificate" in str(error)
        assert "power.dcgm.ca_file" in error.hint

    def test_what_the_named_authority_signed_is(self, serve: Callable[[str], Any], authority: Authority) -> None:
        with serve("DNS:localhost") as url:
            assert b"DCGM_FI_DEV_POWER_USAGE" in asked(url, ca_file=str(authority.pair.certificate))

    def test_a_certificate_in_another_name_is_not_trusted(
        self, serve: Callable[[str], Any], authority: Authority
    ) -> None:
        with serve("DNS:elsewhere") as url:
            error = refusal(url, ca_file=str(authority.pair.certificate))
        assert (error.reason, "not valid for 'localhost'" in str(error)) == ("tls", True)

    def test_a_file_without_certificates_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("nothing\n")
        for name in ("ca.pem", "none.pem"):
            with pytest.raises(SourceError, match=r"power\.dcgm\.ca_file: no certificates can be read from"):
                asked("https://localhost:1/metrics", ca_file=str(tmp_path / name))
