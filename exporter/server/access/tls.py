"""TLS by a web configuration file.

Certificates and keys are read once, and OpenSSL is given what was read: what it uses is what was looked at, also where
files are replaced meanwhile. It can take a certificate from a file only, so it gets one that is in memory.
"""

import os
import re
import ssl
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.config.webfile import CURVES, LARGEST_BYTES, OLDER_SUITES, VERIFYING, TlsFile
from exporter.domain.errors import ConfigError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_ENCRYPTED = re.compile(rb"BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED")
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, for which Python has no name: a certificate that has expired can be looked at, too."""


@dataclass(frozen=True, slots=True)
class Material:
    """What `tls_server_config` names, as read. `client_ca` None: nothing is verified."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True)
class Dates:
    """When a certificate begins and ceases to hold, in seconds since the Unix epoch."""

    begins: float
    ends: float


def material_of(tls: TlsFile) -> Material:
    """Read the files.

    Raises:
        ConfigError: one cannot be read, or holds something else; names the key and the file.
    """
    certificate = _read("cert", tls.cert, tls.cert_file)
    key = _read("key", tls.key, tls.key_file)
    assert certificate is not None, "checked with the file"
    assert key is not None, "checked with the file"
    _must_have(_CERTIFICATE, certificate, "cert", tls.cert_file, "no certificate in PEM")
    _must_have(_KEY, key, "key", tls.key_file, "no private key in PEM")
    if _ENCRYPTED.search(key):
        raise _wrong("key", tls.key_file, "is encrypted, and nobody is there to be asked for its password: decrypt it")
    client_ca = _read("client_ca", tls.client_ca, tls.client_ca_file)
    if client_ca is not None:
        _must_have(_CERTIFICATE, client_ca, "client_ca", tls.client_ca_file, "no certificate in PEM")
    return Material(certificate, key, client_ca)


def context_for(tls: TlsFile, material: Material, *, must_show: bool = True) -> ssl.SSLContext:
    """What connections are made with.

    Args:
        tls: the options.
        material: what they name.
        must_show: whether a connection without a certificate ends at once, where `client_auth_type` demands one. False:
            the certificate is asked for, and whoever answers requests has to refuse those that come without.

    Raises:
        ConfigError: certificate and key do not go together, or OpenSSL will not have them.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _choose(context, tls)
    _load(context, tls, material)
    if tls.client_auth_type in VERIFYING:
        _verify(context, tls, material)
        demanded = must_show and tls.client_auth_type == "RequireAndVerifyClientCert"
        context.verify_mode = ssl.CERT_REQUIRED if demanded else ssl.CERT_OPTIONAL
    return context


_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


def _choose(context: ssl.SSLContext, tls: TlsFile) -> None:
    older = [OLDER_SUITES[name] for name in tls.cipher_suites if name in OLDER_SUITES]
    if older:
        context.set_ciphers(":".join(older))
    elif tls.cipher_suites:  # none of TLS 1.2, so that is out; those of TLS 1.3 cannot be chosen
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    for name in tls.curve_preferences:
        context.set_ecdh_curve(CURVES[name])


def _load(context: ssl.SSLContext, tls: TlsFile, material: Material) -> None:
    try:
        with _in_memory(material.certificate) as certificate, _in_memory(material.key) as key:
            context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        if error.reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
            raise _wrong("key", tls.key_file, "is not the key of the certificate") from None
        raise _wrong("cert", tls.cert_file, f"cannot be used: {_words(error)}") from None


def _verify(context: ssl.SSLContext, tls: TlsFile, material: Material) -> None:
    assert material.client_ca is not None, "checked with the file"
    try:
        context.load_verify_locations(cadata=_blocks(material.client_ca))
    except ssl.SSLError as error:
        raise _wrong("client_ca", tls.client_ca_file, f"cannot be used: {_words(error)}") from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whatever stands in the file is trusted, as in Go


# --- looking at a certificate --------------------------------------------------------------------------------------


def dates_of(material: Material) -> Dates | None:
    """When our own certificate holds; None where that cannot be found out.

    Python reads a certificate only if the other side of a connection shows it. So it is shown to ourselves, in memory.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    found = _CERTIFICATE.search(material.certificate)
    assert found is not None, "checked when it was read"
    try:
        client.load_verify_locations(cadata=found[0].decode("ascii"))
        with _in_memory(material.certificate) as certificate, _in_memory(material.key) as key:
            server.load_cert_chain(certificate, key)
        shown = _shown(server, client)
        return Dates(_seconds(shown["notBefore"]), _seconds(shown["notAfter"]))
    except (ssl.SSLError, KeyError, ValueError):
        return None


def _shown(server: ssl.SSLContext, client: ssl.SSLContext) -> Mapping[str, Any]:
    """What a client sees of a server's certificate."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there)
    answering = server.wrap_bio(there, back, server_side=True)
    for side in (asking, answering) * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return asking.getpeercert() or {}


def _seconds(written: Any) -> float:
    return float(ssl.cert_time_to_seconds(str(written)))


# --- what connections are made with --------------------------------------------------------------------------------


class Renewed(ssl.SSLContext):
    """Makes each connection by the context that is in force when it begins, so that certificates can be replaced."""

    def __new__(cls, in_force: Callable[[], ssl.SSLContext]) -> "Renewed":  # noqa: ARG004 - the base class takes no other
        """As its base class wants it."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, in_force: Callable[[], ssl.SSLContext]) -> None:
        self._in_force = in_force

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """A new connection."""
        return self._in_force().wrap_bio(*args, **options)


# --- bytes ---------------------------------------------------------------------------------------------------------


def read_bounded(path: Path) -> bytes:
    """A regular file's content, of a size that makes sense.

    Raises:
        OSError: it cannot be read. ValueError: it is something else; says what.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # a pipe would block
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("is no file")
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"is larger than {LARGEST_BYTES} bytes")
    return content


def _read(key: str, text: str | None, file: str | None) -> bytes | None:
    if text is not None:
        return text.encode("utf-8")
    if file is None:
        return None
    try:
        return read_bounded(Path(file))
    except OSError as error:
        raise _wrong(key, file, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise _wrong(key, file, str(error)) from None


def _must_have(pattern: re.Pattern[bytes], content: bytes, key: str, file: str | None, otherwise: str) -> None:
    if not pattern.search(content):
        raise _wrong(key, file, f"holds {otherwise}")


def _wrong(key: str, file: str | None, problem: str) -> ConfigError:
    """Names the key that was given, and the file if it was one."""
    path = f"tls_server_config.{key}"
    return ConfigError(path, problem) if file is None else ConfigError(f"{path}_file", f"{file} {problem}")


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")


def _blocks(pem: bytes) -> str:
    """The certificates alone: what stands between them may be in any language."""
    return "\n".join(found[0].decode("ascii") for found in _CERTIFICATE.finditer(pem))


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """The name of a file that is on no disk."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor has no path
        file.write(content)
        yield f"/proc/self/fd/{descriptor}"
