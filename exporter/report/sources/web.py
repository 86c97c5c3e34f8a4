"""Asking over HTTP: one question, one answer. What stands in a URL before the `@` is shown, and never repeated."""

import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import unquote_to_bytes, urlencode
from urllib.request import HTTPSHandler, Request, build_opener

from exporter.domain.errors import ReportError, UsageError
from exporter.report.sources.access import Access

_TIMEOUT_SECONDS = 120.0
"""Prometheus gives up on a query after two minutes, unless it is told otherwise."""
_LARGEST_BYTES = 1 << 28
_UNAUTHORIZED, _FORBIDDEN = 401, 403


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

    Attributes:
        url: without name, password and trailing slash: may be shown.

    Raises:
        UsageError: the URL is none, or the file of authorities cannot be read.
    """

    def __init__(self, url: str, access: Access) -> None:
        self.url, shown = _apart(url)
        self._headers = _headers(shown, access)
        self._opener = build_opener(HTTPSHandler(context=_trusting(access)))

    def ask(self, path: str, form: Mapping[str, str] | None = None) -> Answer:
        """Ask: GET, or POST with a form.

        Raises:
            ReportError: nobody answers there, somebody who does not let us in, or too much comes back.
        """
        where = self.url + path
        request = Request(where, None if form is None else urlencode(form).encode())  # noqa: S310 - looked at
        for name, value in self._headers.items():
            request.add_unredirected_header(name, value)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as reply:
                answer = Answer(reply.status, _text(reply.read(_LARGEST_BYTES + 1), where))
        except HTTPError as error:
            answer = Answer(error.code, error.read(1 << 16).decode("utf-8", "replace"))
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise ReportError(f"{where} cannot be asked: {getattr(error, 'reason', error)}") from error
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise ReportError(
                f"{where} does not let us in ({answer.status}): give a bearer token, or a user and a password"
            )
        return answer


def _text(content: bytes, where: str) -> str:
    if len(content) > _LARGEST_BYTES:
        raise ReportError(f"{where} answered more than {_LARGEST_BYTES >> 20} MiB: ask for fewer exporters")
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
