"""Who may come in, as Prometheus' exporters are told: the file that `web.config_file` names.

The format is that of Prometheus' exporter-toolkit, so that one file serves all exporters of a machine. What is a secret
in it (keys, hashes) is never repeated, not even in an error. Nothing is filled in from the environment: a `$` is a `$`.

Where we are stricter than the toolkit, it would have left a door open without a word: TLS options without a
certificate, verification without an authority, protocols that were given up in 2021.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from exporter.config import kinds, quantities
from exporter.config.document import read
from exporter.config.kinds import Scalar, UnfitError
from exporter.config.problems import Problems, inside, suggestion
from exporter.config.sections import Key, Section
from exporter.domain.errors import ConfigError

ClientAuth = Literal[
    "NoClientCert",
    "RequestClientCert",
    "RequireAnyClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
]
Version = Literal["TLS12", "TLS13"]

TLS13_SUITES = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
"""Always on where TLS 1.3 is: nobody can choose among them, there as here."""

OLDER_SUITES: Mapping[str, str] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
"""Go's names of the suites of TLS 1.2, and OpenSSL's."""

CURVES: Mapping[str, str] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
"""Go's names of the curves, and OpenSSL's."""

HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that may be added to answers, with the values that they may have; none: any."""

LARGEST_BYTES = 1 << 20
_DEMANDING = frozenset({"RequireAnyClientCert", "RequireAndVerifyClientCert"})
VERIFYING = frozenset({"VerifyClientCertIfGiven", "RequireAndVerifyClientCert"})
_ANY = (
    "must be another value: `{}` takes any certificate, which everybody can make, and Python's ssl cannot be told to;"
    " use RequireAndVerifyClientCert with client_ca_file"
)
_HASH = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")


@dataclass(frozen=True, slots=True)
class TlsFile:
    """`tls_server_config`. Of a certificate, a key and an authority each, the file or the text is given."""

    cert: str | None = None
    key: str | None = field(default=None, repr=False)
    client_ca: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    client_ca_file: str | None = None
    client_auth_type: ClientAuth = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    curve_preferences: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True

    @property
    def is_on(self) -> bool:
        """Whether there is TLS at all: an empty section is none."""
        return self.cert is not None or self.cert_file is not None

    @property
    def files(self) -> tuple[Path, ...]:
        """What it reads."""
        return tuple(Path(one) for one in (self.cert_file, self.key_file, self.client_ca_file) if one is not None)


@dataclass(frozen=True, slots=True)
class HttpFile:
    """`http_server_config`. `http2` changes nothing: HTTP/1.1 is spoken, which whoever speaks HTTP/2 speaks, too."""

    http2: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`rate_limit`: one request every `interval_seconds`, `burst` of them at once. 0: no limit."""

    interval_seconds: float = 0.0
    burst: int = 0


@dataclass(frozen=True, slots=True)
class WebFile:
    """The whole file. `users`: bcrypt hashes by name; empty: nobody is asked for a password."""

    tls: TlsFile | None = None
    http: HttpFile = HttpFile()
    rate_limit: RateLimit = RateLimit()
    users: Mapping[str, str] = field(default_factory=dict, repr=False)


def parse(content: bytes, path: Path) -> WebFile:
    """The file's content. Paths in it are made relative to its own directory.

    Raises:
        ConfigError: with all that is wrong in it; begins with the path of the file.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("", f"{path}: is no UTF-8 text (byte {error.start})") from None
    document = read(text, None, str(path))
    try:
        file = _FILE.read({} if document is None else document, "")
    except ConfigError as error:
        raise ConfigError("", f"{path}: {error}") from None
    assert isinstance(file, WebFile)
    return replace(file, tls=_beside(file.tls, path.parent)) if file.tls is not None else file


def cost_of(hashed: str) -> int:
    """The cost of a bcrypt hash: each step doubles the time that a password takes to check."""
    found = _HASH.fullmatch(hashed)
    assert found, "hashes are checked when they are read"
    return int(found["cost"])


def _beside(tls: TlsFile, folder: Path) -> TlsFile:
    def beside(name: str | None) -> str | None:
        return None if name is None else str(folder / name)

    return replace(
        tls,
        cert_file=beside(tls.cert_file),
        key_file=beside(tls.key_file),
        client_ca_file=beside(tls.client_ca_file),
    )


# --- what the values may be ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Unseen:
    """Text that is not repeated when it is wrong."""

    allowed: str
    good: re.Pattern[str]
    word: str = "text"

    def read(self, value: Any, path: str) -> str:
        """The text, or ConfigError."""
        if not isinstance(value, str) or not self.good.fullmatch(value):
            raise ConfigError(path, f"must be {self.allowed}")
        return value

    def show(self, value: Any) -> str:
        """A value of the settings as the file would say it."""
        return "none" if value is None else "(not shown)"


@dataclass(frozen=True, slots=True)
class _Named:
    """Texts by name."""

    word: str
    allowed: str

    def read(self, value: Any, path: str) -> Mapping[str, str]:
        """The texts, or ConfigError."""
        if not isinstance(value, dict):
            raise ConfigError(path, f"must be a mapping, {self.allowed}")
        problems, found = Problems(), {}
        for name, entry in value.items():
            with problems.gathered():
                found[str(name)] = self._read(name, entry, inside(path, name))
        problems.raise_any()
        return found

    def show(self, value: Any) -> str:
        """A value of the settings as the file would say it."""
        return "none" if not value else ", ".join(value)

    def _read(self, name: Any, entry: Any, path: str) -> str:
        raise NotImplementedError


class _Users(_Named):
    def _read(self, name: Any, entry: Any, path: str) -> str:
        if not isinstance(name, str) or not name or ":" in name:
            raise ConfigError(path, "is no user name: text without a colon, in quotes where it looks like a number")
        hashed = _BCRYPT.read(entry, path)
        if not 4 <= cost_of(hashed) <= 31:
            raise ConfigError(path, "must be a bcrypt hash with a cost from 4 to 31")
        return hashed


class _Headers(_Named):
    def _read(self, name: Any, entry: Any, path: str) -> str:
        if name not in HEADERS:
            raise ConfigError(path, f"is no header to be set here{suggestion(name, HEADERS) or _among(HEADERS)}")
        value: str = kinds.text("text in one line").read(entry, path)
        if HEADERS[name] and value not in HEADERS[name]:
            raise ConfigError(path, f"must be one of {', '.join(HEADERS[name])}, not {value!r}")
        return value


def _among(names: Iterable[str]) -> str:
    return f"; those are {', '.join(names)}"


def _version() -> Scalar:
    known = get_args(Version)
    of = kinds.choice(known)

    def convert(value: Any) -> Any:
        if value in ("TLS10", "TLS11"):
            raise UnfitError(": TLS 1.0 and 1.1 are broken, and are not spoken here")
        return of.convert(value)

    return Scalar(of.word, of.allowed, convert)


def _client_auth() -> Scalar:
    of = kinds.choice(get_args(ClientAuth))

    def convert(value: Any) -> Any:
        return of.convert("RequireAnyClientCert" if value == "RequireClientCert" else value)  # its older name

    return Scalar(of.word, of.allowed, convert)


def _truth() -> Scalar:
    words = {**dict.fromkeys(("yes", "on", "y"), True), **dict.fromkeys(("no", "off", "n"), False)}
    plain = kinds.truth()

    def convert(value: Any) -> Any:
        return words[value.lower()] if isinstance(value, str) and value.lower() in words else plain.convert(value)

    return Scalar(plain.word, plain.allowed, convert)


# --- what must go together -----------------------------------------------------------------------------------------


def _has_certificate(tls: TlsFile) -> Iterator[ConfigError]:
    if tls == TlsFile():
        return
    for name in ("cert", "key", "client_ca"):
        text, file = getattr(tls, name), getattr(tls, f"{name}_file")
        if text is not None and file is not None:
            yield ConfigError(f"{name}_file", f"leave it out, or `{name}`: one of the two is used")
        elif text is None and file is None and name != "client_ca":
            yield ConfigError(f"{name}_file", f"is missing: TLS needs cert_file and key_file (or `{name}` as text)")


def _authority_and_policy(tls: TlsFile) -> Iterator[ConfigError]:
    authority = tls.client_ca is not None or tls.client_ca_file is not None
    if tls.client_auth_type in VERIFYING and not authority:
        yield ConfigError("client_ca_file", f"is missing: {tls.client_auth_type} verifies certificates against it")
    if authority and tls.client_auth_type == "NoClientCert":
        yield ConfigError("client_auth_type", "is missing: without it no client is asked for a certificate")
    if tls.client_allowed_sans and tls.client_auth_type not in _DEMANDING:
        yield ConfigError("client_allowed_sans", "needs client_auth_type RequireAndVerifyClientCert")
    if tls.client_auth_type == "RequireAnyClientCert":
        yield ConfigError("client_auth_type", _ANY.format(tls.client_auth_type))


def _versions_and_suites(tls: TlsFile) -> Iterator[ConfigError]:
    if tls.min_version > tls.max_version:
        yield ConfigError("min_version", f"must be at most max_version ({tls.max_version}), not {tls.min_version}")
    if tls.cipher_suites and tls.max_version == "TLS12" and TLS13_SUITES.issuperset(tls.cipher_suites):
        yield ConfigError("cipher_suites", "has none for TLS 1.2, and max_version allows no other")
    if len(tls.curve_preferences) > 1:
        yield ConfigError("curve_preferences", "must name one curve: Python's ssl can be told no more; or leave it out")


def _limit_is_whole(limit: RateLimit) -> Iterator[ConfigError]:
    if limit.interval_seconds and not limit.burst:
        yield ConfigError("burst", "must be at least 1: without it nothing is ever answered")


_BCRYPT = _Unseen("a bcrypt hash, such as `htpasswd -nBC 10 NAME` prints after the colon", _HASH)
_PEM = re.compile(r"\s*-----BEGIN [^\0]+-----END [^\0]+-----\s*")
_FILE_NAME = kinds.Scalar("file", "a file", kinds.text().convert, lambda value: value or "none")

_TLS = Section(
    TlsFile,
    (
        Key("cert", _Unseen("a certificate in PEM, not the name of a file", _PEM), "the certificate itself"),
        Key("key", _Unseen("a private key in PEM, not the name of a file", _PEM), "the key itself"),
        Key("client_ca", _Unseen("certificates in PEM, not the name of a file", _PEM), "the clients' authority itself"),
        Key("cert_file", _FILE_NAME, "the certificate, with its intermediates"),
        Key("key_file", _FILE_NAME, "its key"),
        Key("client_ca_file", _FILE_NAME, "what clients' certificates are verified against"),
        Key("client_auth_type", _client_auth(), "whether clients show a certificate"),
        Key("client_allowed_sans", kinds.Many(kinds.text("a name")), "the names, one of which it must have"),
        Key("min_version", _version(), "the oldest TLS that is spoken"),
        Key("max_version", _version(), "the newest"),
        Key("cipher_suites", kinds.Many(kinds.choice((*OLDER_SUITES, *sorted(TLS13_SUITES)))), "suites of TLS 1.2"),
        Key("curve_preferences", kinds.Many(kinds.choice(CURVES)), "the curve of the key exchange"),
        Key("prefer_server_cipher_suites", _truth(), "whose order of suites counts"),
    ),
    checks=(_has_certificate, _authority_and_policy, _versions_and_suites),
)

_HTTP = Section(
    HttpFile,
    (
        Key("http2", _truth(), "taken, and of no effect"),
        Key("headers", _Headers("headers", "such as {X-Frame-Options: deny}"), "headers of every answer"),
    ),
)

_LIMIT = Section(
    RateLimit,
    (
        Key("interval", quantities.duration("0s", "1d"), "between two requests", "interval_seconds"),
        Key("burst", kinds.whole(0, 1_000_000), "so many at once"),
    ),
    checks=(_limit_is_whole,),
)

_FILE = Section(
    WebFile,
    (
        Key("tls_server_config", _TLS, "TLS", "tls"),
        Key("http_server_config", _HTTP, "HTTP", "http"),
        Key("rate_limit", _LIMIT, "how often"),
        Key("basic_auth_users", _Users("users", "user names with bcrypt hashes"), "who may come in", "users"),
    ),
)
