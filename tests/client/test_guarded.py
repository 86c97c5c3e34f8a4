"""The client, and the commands that ask, against a real exporter behind TLS and a password."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.cli import main
from exporter.client import Access, EnergyClient
from exporter.client.access import from_environment
from tests.client.guarded import Guarded, guarded
from tests.e2e.web import wait_until
from tests.server.access.authority import needs_openssl

pytestmark = [pytest.mark.e2e, needs_openssl]

SETTLED_SECONDS = 30.0
PATIENCE_SECONDS = 20.0


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("guarded")) as one:
        yield one


def problem(url: str, access: Access) -> str:
    """What the client says when it cannot tell of a window; empty where it can."""
    client = EnergyClient(url, access=access)
    with client.window("refused"):
        pass
    wait_until(lambda: client.flush(0.05) or client.problem != "", PATIENCE_SECONDS, "it was told, or could not be")
    client.close(0.0)
    return client.problem


def test_a_window_is_told_and_its_energy_comes_back(exporter: Guarded) -> None:
    with EnergyClient(exporter.url, access=exporter.access) as client:
        with client.window("guarded", model="m") as window:
            sum(range(3_000_000))
        energy = window.energy(SETTLED_SECONDS)
        assert energy is not None, window.unknown
        assert (energy.method, client.problem, client.dropped) == ("estimated", "", 0)


def test_the_environment_says_as_much(exporter: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in exporter.access._asdict().items():
        monkeypatch.setenv(f"ENERGY_EXPORTER_{name.upper()}", str(value or ""))
    monkeypatch.setenv("ENERGY_EXPORTER_URL", exporter.url)
    assert [str(one) for one in from_environment() if one] == [str(one) for one in exporter.access if one]
    with EnergyClient() as client:
        with client.window("from the environment"):
            pass
        assert client.flush(PATIENCE_SECONDS)
        assert (client.problem, client.dropped) == ("", 0)


def test_without_its_authority_the_client_says_how_to_name_it(exporter: Guarded) -> None:
    said = problem(exporter.url, exporter.access._replace(ca_file=None))
    assert "certificate verify failed" in said
    assert "ca_file (ENERGY_EXPORTER_CA_FILE)" in said


def test_without_a_password_or_with_another_it_says_how_to_give_one(exporter: Guarded, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("another")
    for access in (
        Access(ca_file=exporter.access.ca_file),
        exporter.access._replace(password_file=tmp_path / "other"),
    ):
        said = problem(exporter.url, access)
        assert "it answered 401" in said
        assert "password_file (ENERGY_EXPORTER_PASSWORD_FILE)" in said
        assert "another" not in said


def test_a_url_without_tls_is_said_to_lack_it(exporter: Guarded) -> None:
    assert "its URL should begin with https://" in problem(exporter.url.replace("https", "http"), exporter.access)


def test_a_command_is_let_in_by_the_same_options(exporter: Guarded, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--exporter", exporter.url, "--format", "json", *exporter.options]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["methods"] == ["estimated"]
    assert main(["report", "--exporter", exporter.url, "--user", "trainer"]) == 2
    assert "--user and --password-file" in capsys.readouterr().err
    assert main(["report", "--exporter", exporter.url]) == 1
    assert "name who signed it by --ca-file" in capsys.readouterr().err
    assert main(["report", "--exporter", exporter.url, "--insecure"]) == 1
    assert "does not let us in (401)" in capsys.readouterr().err


def test_a_client_certificate_is_shown_where_one_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demanding = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "AUTHORITY"}
    with guarded(tmp_path, demanding) as exporter:
        pair = exporter.authority.signs("trainer", usage="clientAuth")
        access = exporter.access._replace(cert_file=pair.certificate, key_file=pair.key)
        assert problem(exporter.url, access) == ""
        assert "cert_file (ENERGY_EXPORTER_CERT_FILE)" in problem(exporter.url, exporter.access)
        shown = ["--cert-file", str(pair.certificate), "--key-file", str(pair.key)]
        report = ["report", "--exporter", exporter.url, "--format", "json", *exporter.options]
        assert main([*report, *shown]) == 0
        assert main(report) == 1
        assert "--cert-file" in capsys.readouterr().err
