"""What the doctor says of the web configuration file."""

import time
from pathlib import Path

import bcrypt
import pytest

from exporter.doctor.finding import Finding
from exporter.doctor.web import examine
from exporter.domain.settings import ListenAddress, WebSettings
from exporter.domain.units import Instant
from tests.server.access.authority import Authority, found, needs_openssl

ANYWHERE = ListenAddress("0.0.0.0", 9460)  # noqa: S104 - as it is by default
HASHES = {cost: "$2b$" + f"{cost:02}$" + "a" * 53 for cost in (4, 10, 16)}


def looked_at(file: Path | None, days: float = 0.0, listen: ListenAddress = ANYWHERE) -> list[Finding]:
    web = WebSettings(str(file) if file is not None else None)
    return list(examine(web, listen, Instant(time.time() + days * 86_400)))


def written(folder: Path, text: str, mode: int = 0o640) -> Path:
    file = folder / "web.yml"
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return found(tmp_path)


def test_without_a_file_everybody_may_ask_which_is_said() -> None:
    (finding,) = looked_at(None)
    assert (finding.verdict, "whoever reaches the port" in finding.text) == ("note", True)


def test_on_loopback_that_is_all_right() -> None:
    (finding,) = looked_at(None, listen=ListenAddress("127.0.0.1", 0))
    assert finding.verdict == "ok"


@pytest.mark.parametrize("text", ["nonsense: 1", "tls_server_config: {cert_file: none, key_file: none}"])
def test_a_file_that_cannot_be_used_must_be_mended(tmp_path: Path, text: str) -> None:
    (finding,) = looked_at(written(tmp_path, text))
    assert finding.verdict == "fail"
    assert "web.yml" in finding.text


@needs_openssl
@pytest.mark.parametrize(
    ("days", "verdict", "words"),
    [
        (0.0, "ok", "holds for"),
        (20.0, "warn", "9 more days"),
        (31.0, "fail", "expired 1 day ago"),
        (-1.0, "fail", "not hold yet"),
    ],
)
def test_the_certificates_dates_are_looked_at(
    tmp_path: Path, authority: Authority, days: float, verdict: str, words: str
) -> None:
    pair = authority.signs("server", days=30)
    file = written(tmp_path, f"tls_server_config: {{cert_file: {pair.certificate}, key_file: {pair.key}}}")
    usable, certificate = looked_at(file, days)
    assert (usable.verdict, "https://" in usable.text) == ("ok", True)
    assert (certificate.verdict, words in certificate.text) == (verdict, True)


@needs_openssl
def test_a_key_that_everybody_may_read_is_warned_of(tmp_path: Path, authority: Authority) -> None:
    pair = authority.signs("server")
    pair.key.chmod(0o644)
    file = written(tmp_path, f"tls_server_config: {{cert_file: {pair.certificate}, key_file: {pair.key}}}")
    last = looked_at(file)[-1]
    assert (last.verdict, "server.key" in last.text, "defaultMode" in last.fix) == ("warn", True, True)


def test_hashes_that_everybody_may_read_are_warned_of(tmp_path: Path) -> None:
    file = written(tmp_path, f"basic_auth_users: {{alice: {HASHES[10]}}}", mode=0o644)
    assert "may be read by every user" in looked_at(file)[-1].text


def test_passwords_without_tls_are_warned_of(tmp_path: Path) -> None:
    file = written(tmp_path, f"basic_auth_users: {{alice: {HASHES[10]}}}")
    assert [finding.verdict for finding in looked_at(file)] == ["ok", "warn"]
    assert [finding.verdict for finding in looked_at(file, listen=ListenAddress("127.0.0.1", 0))] == ["ok"]


@pytest.mark.parametrize(("cost", "words"), [(4, "quick to guess"), (16, "seconds of CPU time")])
def test_the_cost_of_hashes_is_looked_at(tmp_path: Path, cost: int, words: str) -> None:
    file = written(tmp_path, f"basic_auth_users: {{alice: {HASHES[cost]}, bob: {HASHES[10]}}}")
    (finding,) = [one for one in looked_at(file, listen=ListenAddress("127.0.0.1", 0)) if words in one.text]
    assert (finding.verdict, "alice" in finding.text, "bob" in finding.text) == ("warn", True, False)


def test_no_hash_is_shown(tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    for text in (f"basic_auth_users: {{alice: {hashed}}}", f"basic_auth_users: {{alice: '{hashed}x'}}"):
        said = str(looked_at(written(tmp_path, text)))
        assert hashed[7:20] not in said
