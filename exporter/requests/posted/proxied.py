"""What can be said of the source `proxy`: requests that pass through our own reverse proxy (exporter/gateway).

upstream: http://127.0.0.1:8000      the server, maybe with a path that stands before every path
listen: 0.0.0.0:8080                 where clients ask instead
paths: [/v1/completions]             how paths end that are metered; the usual ones otherwise. All are passed on
request_id_header: X-Request-Id      the header that names a request
request_id: make | keep              whether a request without a name is given one on its way to the server
count_chunks: auto | always | never  whether tokens may be counted from a stream's pieces where no usage tells them
energy_header: false                 whether plain answers carry X-Energy-Joules, an estimate
connect_timeout: 10s, read_timeout: 1h       how long the server may take to accept, and be silent
ca_file: /etc/ssl/ca.pem             whom to trust behind an https upstream; the system's authorities otherwise
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from exporter.domain.errors import ConfigError
from exporter.domain.settings import ListenAddress
from exporter.requests.fronts.common import Wanted, check_options, compile_wanted

KNOWS = {
    "start": "when the request was handed to the server, queueing in it included",
    "first_token": "of streams: when their first piece with content came",
    "end": "yes, of requests whose client left too, and then the server is told to stop",
    "tokens": "as the answer's usage says; of streams only if it is asked for, or one piece is known to be one token",
    "clock": "our own, microseconds",
}
ADVICE = (
    "Streams tell their tokens if clients send stream_options: {include_usage: true}; vLLM does it for all with "
    "--enable-force-include-usage. Answers that are compressed are passed on unread: do not compress in the server. "
    "Beside the server's own log in `requests`, queueing is told apart from execution."
)

Counting = Literal["auto", "always", "never"]
Naming = Literal["make", "keep"]

_DEFAULT_LISTEN = ListenAddress(port=8080)

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_SECONDS = 86_400.0
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]\s/]*)):(\d{1,5})", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_RESERVED = frozenset({"host", "content-length", "transfer-encoding", "connection", "traceparent", "authorization"})


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """The options of a reverse proxy, checked.

    Attributes:
        upstream: the server's URL, without a slash at its end.
        wanted: whether a request (`POST /v1/completions`) is one to be metered.
        ca_file: of authorities to trust, PEM; None: the system's.
    """

    upstream: str
    wanted: Wanted
    listen: ListenAddress = _DEFAULT_LISTEN
    request_id_header: str = "X-Request-Id"
    request_id: Naming = "make"
    count_chunks: Counting = "auto"
    energy_header: bool = False
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 3600.0
    ca_file: str | None = None


def check(options: Mapping[str, Any], _timezone: str | None) -> ProxyOptions:
    """The options of a reverse proxy. Nothing here has stamps, so there is no time zone to mind.

    Raises:
        ConfigError: an option is unknown, missing or wrong; names it.
    """
    check_options(options, ("upstream", "paths", *_READERS))
    if "upstream" not in options:
        raise ConfigError("options.upstream", "missing: the server's URL, such as http://127.0.0.1:8000")
    given = {_FIELDS.get(key, key): read(options[key], key) for key, read in _READERS.items() if key in options}
    return ProxyOptions(_upstream(options["upstream"]), compile_wanted(options), **given)


def _upstream(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        whole = bool(parts.hostname) and parts.scheme in ("http", "https") and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
        parts = urlsplit("")
    if not whole or parts.query or parts.fragment or "@" in parts.netloc or not text.isprintable() or " " in text:
        # A URL with a password in it is not repeated.
        got = "one with a user name" if "@" in text else repr(value)
        raise ConfigError(
            "options.upstream",
            f"must be http://HOST:PORT or https://HOST:PORT, maybe with a path, without user or query; got {got}",
        )
    return text.rstrip("/")


def _listen(value: Any, key: str) -> ListenAddress:
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[3]) > 65535:
        raise _unfit(key, "HOST:PORT, such as 0.0.0.0:8080 or [::]:8080", value)
    return ListenAddress(found[1] or found[2] or ListenAddress().host, int(found[3]))


def _header(value: Any, key: str) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value) or value.lower() in _RESERVED:
        raise _unfit(key, "the name of a header, such as X-Request-Id", value)
    return value


def _one_of(allowed: tuple[str, ...]) -> Callable[[Any, str], str]:
    def read(value: Any, key: str) -> str:
        if value not in allowed:
            raise _unfit(key, f"one of {', '.join(allowed)}", value)
        return cast("str", value)

    return read


def _switch(value: Any, key: str) -> bool:
    if not isinstance(value, bool):
        raise _unfit(key, "true or false", value)
    return value


def _duration(value: Any, key: str) -> float:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not 0.0 < seconds <= _LONGEST_SECONDS:
        raise _unfit(key, "a duration of at most 24h with its unit, such as 500ms, 10s or 5m", value)
    return seconds


def _path(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise _unfit(key, "the path of a file", value)
    return value


def _unfit(key: str, allowed: str, value: Any) -> ConfigError:
    return ConfigError(f"options.{key}", f"must be {allowed}; got {value!r}")


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "listen": _listen,
    "request_id_header": _header,
    "request_id": _one_of(get_args(Naming)),
    "count_chunks": _one_of(get_args(Counting)),
    "energy_header": _switch,
    "connect_timeout": _duration,
    "read_timeout": _duration,
    "ca_file": _path,
}
_FIELDS = {"connect_timeout": "connect_timeout_seconds", "read_timeout": "read_timeout_seconds"}
