"""The way to the exporter: where it is, and one request to it, whose failure is an answer too."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from exporter.client.access import advice_for_error, advice_for_status, basic

if TYPE_CHECKING:  # a program whose exporter is asked in plain HTTP need not load it
    from http.client import HTTPConnection, HTTPResponse
    from ssl import SSLContext

URL_VARIABLE = "ENERGY_EXPORTER_URL"
SERVER_VARIABLE = "ENERGY_EXPORTER_SERVER"
DEFAULT_URL = "http://127.0.0.1:9460"
EVENTS = "/api/v1/events"
REQUESTS = "/api/v1/requests"
UNREACHABLE = 0
"""The status of an answer that never came."""
_MOST_BYTES = 8 << 20
_LONGEST_WORDS = 400


class Answer(NamedTuple):
    """What came back: HTTP's status and body; `UNREACHABLE` and why, where nothing did."""

    status: int
    text: str
    content_type: str = ""
    retry_after_seconds: float = 0.0

    @property
    def words(self) -> str:
        """Why it is no good one, in one line; with what to do, where that is known."""
        said = self.text.strip().partition("\n")[0][:_LONGEST_WORDS]
        return said if self.status == UNREACHABLE else f"answered {self.status}: {said}{advice_for_status(self.status)}"


class Address(NamedTuple):
    """Where an exporter answers. `place` names it in messages, without a password."""

    host: str
    port: int
    secure: bool
    prefix: str
    headers: Mapping[str, str]

    @property
    def place(self) -> str:
        """For people."""
        return f"http{'s' if self.secure else ''}://{self.host}:{self.port}{self.prefix}"


def url_from_environment() -> str:
    """Where the environment says that the exporter is; empty where windows are to be told to nobody."""
    return os.environ.get(URL_VARIABLE, DEFAULT_URL)


def address_of(url: str, headers: Mapping[str, str]) -> Address:
    """Where this URL points. A name and password in it become a header.

    Raises:
        ValueError: it is no http or https URL.
    """
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415 - a program that opens no window need not load it

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the exporter's URL must be like {DEFAULT_URL}, with http or https and a host")
    secure = parts.scheme == "https"
    known = dict(headers)
    if parts.username is not None:
        known.setdefault("Authorization", basic(unquote(parts.username), unquote(parts.password or "")))
    return Address(parts.hostname, parts.port or (443 if secure else 80), secure, parts.path.rstrip("/"), known)


def receipt_path(id_: str) -> str:
    """Where the receipt of this id is."""
    from urllib.parse import quote  # noqa: PLC0415 - as above

    return f"{REQUESTS}/{quote(id_, safe='')}"


class Link:
    """A connection that is kept open between requests. For one thread at a time."""

    def __init__(self, address: Address, tls: "SSLContext | None", timeout_seconds: float) -> None:
        self._address = address
        self._tls = tls
        self._timeout = timeout_seconds
        self._open: HTTPConnection | None = None

    def post(self, path: str, body: bytes) -> Answer:
        """Post lines of JSON."""
        return self._ask("POST", path, body, {"Content-Type": "application/x-ndjson"})

    def get(self, path: str) -> Answer:
        """Get a page."""
        return self._ask("GET", path, None, {})

    def close(self) -> None:
        """Let go of the connection. May be called twice."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        from http.client import HTTPException  # noqa: PLC0415 - a program that opens no window need not load it

        kept = self._open is not None
        try:
            return self._once(method, path, body, headers)
        except (OSError, HTTPException) as error:
            self.close()
            if not kept or isinstance(error, TimeoutError):
                advice = advice_for_error(error, secure=self._address.secure)
                return Answer(UNREACHABLE, f"{type(error).__name__}: {error}{advice}")
        return self._ask(method, path, body, headers)  # what was kept open may have been closed at the other end

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        self._open = self._open or self._connect()
        self._open.request(method, self._address.prefix + path, body, {**self._address.headers, **headers})
        response = self._open.getresponse()
        text = response.read(_MOST_BYTES).decode("utf-8", "replace")
        if response.will_close or not response.isclosed():
            self.close()
        return Answer(response.status, text, response.headers.get_content_type(), _retry_after(response))

    def _connect(self) -> "HTTPConnection":
        from http.client import HTTPConnection, HTTPSConnection  # noqa: PLC0415 - see above

        host, port = self._address.host, self._address.port
        if self._address.secure:
            return HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        return HTTPConnection(host, port, timeout=self._timeout)


def _retry_after(response: "HTTPResponse") -> float:
    told = response.headers.get("Retry-After", "")
    return float(told) if told.isascii() and told.isdigit() and len(told) < 6 else 0.0
