"""What a client shows, and what it says where that does not fit."""

import logging
from base64 import b64encode
from pathlib import Path

import pytest

from exporter.client import Access, EnergyClient
from exporter.client import client as client_module
from exporter.client.access import advice_for_error, advice_for_status, from_environment
from exporter.client.link import Answer


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("s3cret\nanother line\n")
    return file


def test_a_password_or_a_token_is_the_first_line_of_its_file(secret: Path) -> None:
    shown = b64encode(b"me:s3cret").decode()
    assert Access(user="me", password_file=secret).headers() == {"Authorization": f"Basic {shown}"}
    assert Access(token_file=str(secret)).headers() == {"Authorization": "Bearer s3cret"}
    assert Access().headers() == {}
    assert Access().tls() is None


@pytest.mark.parametrize(
    ("access", "says"),
    [
        (Access(user="me"), r"user \(ENERGY_EXPORTER_USER\) and password_file .*neither is of use without the other"),
        (Access(password_file=Path("x")), "neither is of use without the other"),
        (Access(user="me", password_file=Path("x"), token_file=Path("x")), "at most one of the two ways"),
        (Access(token_file=Path("/no/such")), r"token_file \(ENERGY_EXPORTER_TOKEN_FILE\) /no/such: cannot be read"),
        (Access(ca_file=Path("/no/such.pem")), r"ca_file \(ENERGY_EXPORTER_CA_FILE\) /no/such.pem: no certific"),
        (
            Access(cert_file=Path("/no/such.pem")),
            r"cert_file \(ENERGY_EXPORTER_CERT_FILE\) /no/such.pem: no certificate and",
        ),
    ],
)
def test_what_does_not_fit_is_said_when_the_client_is_made(access: Access, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        EnergyClient("https://localhost", access=access)
    assert "\n" not in str(raised.value)


def test_a_file_that_holds_no_certificates_is_said_to_hold_none(secret: Path) -> None:
    with pytest.raises(ValueError, match="no certificates can be read"):
        Access(ca_file=secret).tls()


@pytest.mark.parametrize("token", ["", "\n", "two\tparts", "secr\u20act"])
def test_a_file_whose_first_line_cannot_be_shown_is_said_to_hold_no_token(tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token)
    with pytest.raises(ValueError, match="token: its first line is no token"):
        Access(token_file=tmp_path / "token").headers()


def test_an_environment_that_does_not_fit_turns_the_program_s_client_off_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_module, "_defaults", [])
    monkeypatch.setenv("ENERGY_EXPORTER_USER", "me")
    monkeypatch.setenv("ENERGY_EXPORTER_PASSWORD_FILE", "/no/such")
    with caplog.at_level(logging.WARNING):
        assert client_module.default_client().off
    assert "password_file (ENERGY_EXPORTER_PASSWORD_FILE) /no/such: cannot be read" in caplog.text


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGY_EXPORTER_USER", "")
    assert from_environment() == Access()


def test_nothing_is_read_where_windows_are_told_to_nobody() -> None:
    assert EnergyClient("", access=Access(user="me", password_file=Path("/no/such"))).off


def test_a_program_s_own_header_goes_before_a_token(secret: Path) -> None:
    client = EnergyClient("http://localhost", access=Access(token_file=secret), headers={"Authorization": "Mine"})
    link = client.link()
    assert link is not None
    assert link._address.headers["Authorization"] == "Mine"


def test_there_is_advice_only_where_something_is_known() -> None:
    assert advice_for_status(500) == ""
    assert "ENERGY_EXPORTER_CERT_FILE" in advice_for_status(403)
    assert advice_for_error(TimeoutError("timed out"), secure=True) == ""
    assert "begin with http://" in advice_for_error(OSError("[SSL: WRONG_VERSION_NUMBER] wrong version"), secure=True)
    assert "begin with https://" in advice_for_error(ConnectionResetError(104, "reset"), secure=False)
    assert advice_for_error(ConnectionResetError(104, "reset"), secure=True) == ""


def test_of_a_long_answer_the_beginning_is_repeated() -> None:
    assert Answer(500, "x" * 1000 + "\nmore").words == "answered 500: " + "x" * 400
