"""Asking over HTTP, for commands: one question, one answer, and how to be let in.

Every command that asks somebody takes the same options (`add_access_arguments`, `access_of`) and makes the same of them
(`shown_to`, `trusting`). What stands in a URL before the `@` is shown, and never repeated.
"""

import argparse
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import cast
from urllib.error import HTTPError, URLError
from urllib.parse import unquote_to_bytes, urlencode
from urllib.request import HTTPSHandler, Request, build_opener

from exporter.credentials import basic, bearer, first_line, is_token
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
        cert_file, key_file: of the certificate to show; key_file None: it is in the same file.
        insecure: the other side's certificate is not looked at.
    """

    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure: bool = False


OPEN = Access()
"""Nothing needs to be shown."""

_HELP = {
    "password_file": "file with the password",
    "token_file": "file with a bearer token",
    "ca_file": "authorities (PEM) that may have signed the other side's certificate",
    "cert_file": "certificate (PEM) to show where one is asked for",
    "key_file": "its key, where that is in a file of its own",
}


def add_access_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `access_of` understands."""
    group = parser.add_argument_group("where a password, a token or a certificate is asked for")
    group.add_argument("--user", metavar="NAME", help="name; the password is taken from --password-file")
    for name, text in _HELP.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=Path, metavar="FILE", help=text)
    group.add_argument("--insecure", action="store_true", help="do not check the other side's certificate")


def access_of(options: argparse.Namespace) -> Access:
    """What the options of `add_access_arguments` say.

    Raises:
        UsageError: they contradict each other, or a file cannot be read.
    """
    if options.token_file is not None and options.user is not None:
        raise UsageError("--token-file and --user: at most one of the two ways to be let in")
    if (options.user is None) != (options.password_file is None):
        raise UsageError("--user and --password-file: neither is of use without the other")
    if options.insecure and options.ca_file is not None:
        raise UsageError("--insecure and --ca-file: one of them; without a check no authority is asked")
    if options.key_file is not None and options.cert_file is None:
        raise UsageError("--key-file: of no use without --cert-file")
    return Access(
        token=_token(options.token_file),
        user=options.user or "",
        password=_secret(options.password_file),
        ca_file=options.ca_file,
        cert_file=options.cert_file,
        key_file=options.key_file,
        insecure=options.insecure,
    )


def _secret(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return first_line(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _token(path: Path | None) -> str:
    token = _secret(path)
    if path is not None and not is_token(token):
        raise UsageError(f"{path}: its first line is no token")
    return token


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
        self.url, self._headers = shown_to(url, access)
        self._opener = build_opener(HTTPSHandler(context=trusting(access)))

    def ask(self, path: str, form: Mapping[str, str] | None = None) -> Answer:
        """Ask: GET, or POST with a form.

        Raises:
            WebError: nobody answers there, somebody who does not let us in, or too much comes back.
        """
        where = self.url + path
        try:
            with self._open(where, form) as reply:
                answer = Answer(reply.status, _text(reply, where))
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise WebError(f"{where} cannot be asked: {why(getattr(error, 'reason', error))}") from error
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise WebError(refused(where, answer.status))
        return answer

    def _open(self, where: str, form: Mapping[str, str] | None) -> HTTPResponse:
        try:
            reply: HTTPResponse = self._opener.open(self._request(where, form), timeout=self._timeout)
        except HTTPError as error:
            return cast("HTTPResponse", error)  # an answer as well, and all that is asked of one
        return reply

    def _request(self, where: str, form: Mapping[str, str] | None) -> Request:
        request = Request(where, None if form is None else urlencode(form).encode())  # noqa: S310 - looked at
        for name, value in self._headers.items():
            request.add_unredirected_header(name, value)
        return request


def refused(where: str, status: int) -> str:
    """What to say where somebody answered 401 or 403."""
    return (
        f"{where} does not let us in ({status}): give what it asks for, by --user and --password-file, --token-file, "
        "or --cert-file"
    )


def why(error: object) -> str:
    """Why nobody was reached; where it is a certificate, with what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}): name who signed it by --ca-file"
    text = str(error)
    if isinstance(error, ssl.SSLError) and "CERTIFICATE_REQUIRED" in text:
        return "it asks for a certificate: show one by --cert-file"
    return text


def shown_to(url: str, access: Access) -> tuple[str, Mapping[str, str]]:
    """The URL without name, password and trailing slash; and the headers that are shown there.

    Raises:
        UsageError: the URL is none.
    """
    where, shown = _apart(url)
    return where, _headers(shown, access)


def trusting(access: Access) -> ssl.SSLContext:
    """How the other side's certificate is checked, and which one is shown to it.

    Raises:
        UsageError: there are no certificates in a file, or a key does not fit.
    """
    context = _checking(access)
    if access.cert_file is not None:
        try:
            context.load_cert_chain(access.cert_file, access.key_file)
        except OSError as error:
            files = " and ".join(str(file) for file in (access.cert_file, access.key_file) if file is not None)
            raise UsageError(f"{files}: no certificate and its key: {error.strerror or error}") from error
    return context


def _text(reply: HTTPResponse, where: str) -> str:
    content = reply.read(_LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise WebError(f"{where} answered more than {_LARGEST_BYTES >> 20} MiB: ask for fewer exporters")
    if reply.length:  # to read so many at most leaves it unsaid that it broke off
        raise IncompleteRead(content, reply.length)
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
        return bearer(access.token)
    if access.user:
        shown = f"{access.user}:{access.password}".encode()
    return basic(shown) if shown else {}


def _checking(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.ca_file)
    except OSError as error:  # also what is in it that is no certificate
        raise UsageError(f"{access.ca_file}: no certificates can be read from it: {error.strerror or error}") from error
    if access.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
