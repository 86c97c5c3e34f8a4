"""Asking over HTTP, for commands: one question, one answer, and how to be let in.

What stands in a URL before the `@` is shown, and never repeated.
"""

import argparse
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote_to_bytes, urlencode
from urllib.request import HTTPSHandler, Request, build_opener

from exporter.domain.errors import UsageError, WebError

_TIMEOUT_SECONDS = 120.0
_LARGEST_BYTES = 1 << 28
_UNAUTHORIZED, _FORBIDDEN = 401, 403


@dataclass(frozen=True, slots=True)
class Access:
    """What to show, and whom to trust.

    Attributes:
        token: a bearer token. user, password: for basic authentication. At most one of the two ways; a name and a
            password may stand in the URL instead.
        ca_file: PEM file of the authorities that may have signed the other side's certificate; None: the system's.
    """

    token: str = ""
    user: str = ""
    password: str = ""
    ca_file: Path | None = None


OPEN = Access()
"""Nothing needs to be shown."""


def access_of(options: argparse.Namespace) -> Access:
    """What `--token-file`, `--user`, `--password-file` and `--ca-file` say.

    Raises:
        UsageError: they contradict each other, or a file cannot be read.
    """
    if options.token_file is not None and options.user is not None:
        raise UsageError("--token-file and --user: at most one of the two ways to be let in")
    if (options.user is None) != (options.password_file is None):
        raise UsageError("--user and --password-file: neither is of use without the other")
    return Access(
        token=_secret(options.token_file),
        user=options.user or "",
        password=_secret(options.password_file),
        ca_file=options.ca_file,
    )


def _secret(path: Path | None) -> str:
    """The first line of a file: secrets on a command line are seen by everybody on the machine."""
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    text: str

    @property
    def good(self) -> bool:
        """Whether it is an answer to what was asked."""
        return 200 <= self.status < 300


class Web:
    """One place that is asked.

    Args:
        url: its address; may hold a name and a password.
        access: how to be let in.
        timeout_seconds: after which nobody is said to answer; as long as Prometheus takes before it gives up a query.

    Attributes:
        url: without name, password and trailing slash: may be shown.

    Raises:
        UsageError: the URL is none, or the file of authorities cannot be read.
    """

    def __init__(self, url: str, access: Access = OPEN, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._timeout = timeout_seconds
        self.url, shown = _apart(url)
        self._headers = _headers(shown, access)
        self._opener = build_opener(HTTPSHandler(context=_trusting(access)))

    def ask(self, path: str, form: Mapping[str, str] | None = None) -> Answer:
        """Ask: GET, or POST with a form.

        Raises:
            WebError: nobody answers there, somebody who does not let us in, or too much comes back.
        """
        where = self.url + path
        try:
            with self._opener.open(self._request(where, form), timeout=self._timeout) as reply:
                answer = Answer(reply.status, _text(reply.read(_LARGEST_BYTES + 1), where))
        except HTTPError as error:
            answer = Answer(error.code, error.read(1 << 16).decode("utf-8", "replace"))
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise WebError(f"{where} cannot be asked: {getattr(error, 'reason', error)}") from error
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise WebError(
                f"{where} does not let us in ({answer.status}): give a bearer token, or a user and a password "
                "(--token-file, or --user and --password-file)"
            )
        return answer

    def _request(self, where: str, form: Mapping[str, str] | None) -> Request:
        request = Request(where, None if form is None else urlencode(form).encode())  # noqa: S310 - looked at
        for name, value in self._headers.items():
            request.add_unredirected_header(name, value)
        return request


def _text(content: bytes, where: str) -> str:
    if len(content) > _LARGEST_BYTES:
        raise WebError(f"{where} answered more than {_LARGEST_BYTES >> 20} MiB: ask for fewer exporters")
    return content.decode("utf-8", "replace")


def _apart(url: str) -> tuple[str, bytes]:
    """The URL without `NAME:PASSWORD@`, and that."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    shown, _, host = authority.rpartition("@")
    if scheme not in {"http", "https"} or not host:
        raise UsageError(f"{url if not shown else scheme + '://' + host}: no URL; it begins with http:// or https://")
    return f"{scheme}://{host}{slash}{path}".rstrip("/"), unquote_to_bytes(shown)


def _headers(shown: bytes, access: Access) -> Mapping[str, str]:
    if access.token:
        return {"Authorization": f"Bearer {access.token}"}
    if access.user:
        shown = f"{access.user}:{access.password}".encode()
    return {"Authorization": "Basic " + b64encode(shown).decode("ascii")} if shown else {}


def _trusting(access: Access) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=access.ca_file)
    except OSError as error:  # also what is in it that is no certificate
        raise UsageError(f"{access.ca_file}: no certificates can be read from it: {error.strerror or error}") from error
