"""Where the API server is, and by which right we ask it."""

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import aiohttp
from yarl import URL

from exporter.domain.errors import ConfigError
from exporter.domain.settings import KubernetesLog

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its own token, its cluster's certificate authority and its namespace."""

_CONNECT_SECONDS = 10.0
PIECE_BYTES = 64 * 1024
_MOST_TOKEN_BYTES = 64 * 1024
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class AccessError(OSError):
    """A file of our service account cannot be used: says which, and why, without what is in it."""


@dataclass(frozen=True, slots=True)
class Access:
    """One namespace of one API server. Token and authority are read again for every session: they rotate.

    Attributes:
        api: its URL. namespace: which.
        token_file: where the bearer token is; None asks without one.
        ca_file: whom its certificate must come from; None: whom this machine trusts.
    """

    api: URL
    namespace: str
    token_file: Path | None
    ca_file: Path | None

    def pods(self) -> URL:
        """All pods of the namespace."""
        return self.api / "api" / "v1" / "namespaces" / self.namespace / "pods"

    def log(self, pod: str) -> URL:
        """The log of one of its pods."""
        return self.pods() / pod / "log"

    def token(self) -> str | None:
        """The token as it is now.

        Raises:
            AccessError: there is none.
        """
        if self.token_file is None:
            return None
        with _naming(self.token_file, "token_file"), self.token_file.open("rb") as file:
            return _visible(file.read(_MOST_TOKEN_BYTES).decode("ascii", "replace").strip())

    def session(self, token: str | None, *, traces: list[aiohttp.TraceConfig] | None = None) -> aiohttp.ClientSession:
        """A session for one connection. Total time is unbounded: a log is followed for days.

        Raises:
            AccessError: the certificate authority cannot be had.
        """
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust(), force_close=True),
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {}),
            timeout=aiohttp.ClientTimeout(total=None, connect=2 * _CONNECT_SECONDS, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=traces,
            read_bufsize=PIECE_BYTES,
            trust_env=False,
        )

    def _trust(self) -> ssl.SSLContext | bool:
        if self.api.scheme == "http" or self.ca_file is None:
            return True
        with _naming(self.ca_file, "ca_file"):
            return ssl.create_default_context(cafile=str(self.ca_file))


@contextmanager
def _naming(path: Path, key: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise AccessError(f"{path} cannot be used: check `{key}` ({why or type(error).__name__})") from error


def _visible(token: str) -> str:
    if not token or not (token.isascii() and token.isprintable()):
        raise ValueError("it holds no token")
    return token


def access_to(log: KubernetesLog, environ: Mapping[str, str] = os.environ, account: Path = SERVICE_ACCOUNT) -> Access:
    """How to reach the log that is configured. Our pod's own token goes to our cluster's API server only.

    Raises:
        ConfigError: this is no pod and no server is named; or a name is none.
    """
    _check_names(log)
    namespace = log.namespace or _own_namespace(account)
    if log.api is not None:
        token, authority = _given(log.token_file), _given(log.ca_file)
        return Access(_named_server(log.api, token), namespace, token, authority)
    token = _given(log.token_file) or account / "token"
    return Access(_own_server(environ), namespace, token, _given(log.ca_file) or account / "ca.crt")


def _given(path: str | None) -> Path | None:
    return Path(path) if path else None


def _check_names(log: KubernetesLog) -> None:
    for key in ("namespace", "pod", "container", "node"):
        name = getattr(log, key)
        if name is not None and not _NAME.fullmatch(name):
            raise ConfigError(
                key, f"{name!r} is no name that Kubernetes knows: lower case letters, digits, `-` and `.`"
            )
    if (log.pod is None) == (log.selector is None):
        raise ConfigError("pod", "name a `pod`, or give a `selector` that finds it: one of the two")


def _own_namespace(account: Path) -> str:
    try:
        name = (account / "namespace").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        name = ""
    if not _NAME.fullmatch(name):
        raise ConfigError("namespace", f"name it: there is no service account here ({account}) that would tell our own")
    return name


def _own_server(environ: Mapping[str, str]) -> URL:
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not port.isdecimal():
        raise ConfigError("api", "this is not a pod (KUBERNETES_SERVICE_HOST is not set): name the API server's URL")
    return URL.build(scheme="https", host=host, port=int(port))


def _named_server(text: str, token: Path | None) -> URL:
    try:
        url = URL(text)
    except ValueError as error:
        raise ConfigError("api", f"{text!r} is no URL: write https://HOST:PORT") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError("api", f"{text!r} is no URL: write https://HOST:PORT")
    if url.scheme == "http" and token is not None and not _is_loopback(url.host):
        raise ConfigError("api", f"{text!r} would carry the token unencrypted: use https, or leave out `token_file`")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
