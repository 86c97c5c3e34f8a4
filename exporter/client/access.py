"""How to be let in by an exporter that is guarded: what the program or its environment says, and what comes of it."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # few exporters are asked over TLS
    from pathlib import Path
    from ssl import SSLContext

_PREFIX = "ENERGY_EXPORTER_"


class Access(NamedTuple):
    """What to show an exporter, and whom to trust. In the environment: `ENERGY_EXPORTER_USER` and so on.

    Attributes:
        user, password_file: for basic authentication; the password is the file's first line.
        token_file: a bearer token is shown instead; likewise.
        ca_file: who may have signed the exporter's certificate (PEM); None: those whom Python trusts.
        cert_file, key_file: the certificate to show, and its key where that is in a file of its own (PEM).
    """

    user: str | None = None
    password_file: "str | Path | None" = None
    token_file: "str | Path | None" = None
    ca_file: "str | Path | None" = None
    cert_file: "str | Path | None" = None
    key_file: "str | Path | None" = None

    def headers(self) -> Mapping[str, str]:
        """What is said with every request.

        Raises:
            ValueError: these contradict each other, or a file cannot be read; in one line that names what is wrong.
        """
        if (self.user is None) != (self.password_file is None):
            raise ValueError(f"{_name('user')} and {_name('password_file')}: neither is of use without the other")
        if self.user is not None and self.token_file is not None:
            raise ValueError(f"{_name('user')} and {_name('token_file')}: at most one of the two ways to be let in")
        if self.token_file is not None:
            token = _secret("token_file", self.token_file)
            if not (token and token.isascii() and token.isprintable()):
                raise ValueError(_wrong("token_file", self.token_file, "its first line is no token"))
            return {"Authorization": f"Bearer {token}"}
        if self.user is None or self.password_file is None:
            return {}
        return {"Authorization": basic(self.user, _secret("password_file", self.password_file))}

    def tls(self) -> "SSLContext | None":
        """How certificates are checked and shown; None: as Python does it.

        Raises:
            ValueError: a file is not what it should be; in one line that names it.
        """
        if self.ca_file is None and self.cert_file is None:
            return None
        import ssl  # noqa: PLC0415 - few exporters are asked over TLS

        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # also what is in it that is no certificate
            raise ValueError(_wrong("ca_file", self.ca_file, f"no certificates can be read there: {error}")) from error
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file)
            except OSError as error:
                raise ValueError(_wrong("cert_file", self.cert_file, f"no certificate and its key: {error}")) from error
        return context


def from_environment() -> Access:
    """What the environment says; nothing where a variable is not there or empty."""
    return Access(**{name: os.environ.get(_variable(name)) or None for name in Access._fields})


def basic(user: str, password: str) -> str:
    """The header for basic authentication."""
    from base64 import b64encode  # noqa: PLC0415 - few have passwords

    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def _secret(name: str, path: "str | Path") -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib need not be loaded for it
            return file.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(_wrong(name, path, f"cannot be read: {error}")) from error


def _wrong(name: str, path: object, why: str) -> str:
    return f"{_name(name)} {path}: {why}"


def _name(name: str) -> str:
    return f"{name} ({_variable(name)})"


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


# --- what to say where it fails --------------------------------------------------------------------------------------


def advice_for_status(status: int) -> str:
    """What to do where the exporter answers so; empty where there is no such advice."""
    if status == 401:
        return f" (give what it asks for: {_name('user')} and {_name('password_file')})"
    if status == 403:
        return f" (it may ask for a certificate: {_name('cert_file')})"
    return ""


def advice_for_error(error: Exception, *, secure: bool) -> str:
    """What to do where a connection ends so; empty where there is no such advice."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f" (name who signed its certificate: {_name('ca_file')})"
    if "CERTIFICATE_REQUIRED" in text:
        return f" (it asks for a certificate: {_name('cert_file')})"
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        return " (it does not speak TLS: its URL should begin with http://)"
    if not secure and type(error).__name__ in {"RemoteDisconnected", "ConnectionResetError", "BadStatusLine"}:
        return " (if it speaks TLS, its URL should begin with https://)"
    return ""
