"""Asking dcgm-exporter for its page: one connection that is kept open, bounded in bytes and in seconds.

The sampler's thread may wait, so this is plain `http.client`. Secrets are read from their files for each connection:
they rotate.
"""

import http.client
import ssl
import time
from contextlib import suppress
from io import BufferedReader, RawIOBase
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from exporter.credentials import basic, bearer, first_line, is_token
from exporter.domain.errors import SourceError
from exporter.domain.settings import DcgmSettings

_MOST_BYTES = 16 << 20
"""Boards in the hundreds with every field there is."""
_PIECE_BYTES = 1 << 16
_OK = 200
_REFUSED = (401, 403)


class AskError(Exception):
    """There is no page. `reason` is from a closed set, for the label; the text says it in words, `hint` what to do."""

    def __init__(self, reason: str, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.reason = reason
        self.hint = hint


class Asker:
    """Asks one address. Not thread-safe.

    Args:
        settings: where, and by which right.

    Raises:
        SourceError: no address is named, or the file of authorities cannot be used.
    """

    def __init__(self, settings: DcgmSettings) -> None:
        if settings.url is None:
            raise SourceError("power.dcgm.url is not set", "name the page: http://NODE:9400/metrics")
        self.url = settings.url
        parts = urlsplit(settings.url)
        self._settings = settings
        self._host, self._port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        self._path = (parts.path or "/metrics") + (f"?{parts.query}" if parts.query else "")
        self._tls = _trusting(settings.ca_file) if parts.scheme == "https" else None
        self._open: http.client.HTTPConnection | None = None
        self._headers: dict[str, str] = {}

    def ask(self) -> bytes:
        """The page.

        Raises:
            AskError: it cannot be had.
        """
        reused = self._open is not None
        try:
            return self._exchange()
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            self.close()
            if not reused or isinstance(error, TimeoutError):
                raise self._said(error) from error
        return self.ask()  # the other side closes what has been idle for a while: only then is a second try due

    def close(self) -> None:
        """Let the connection go."""
        if self._open is not None:
            with suppress(OSError):
                self._open.close()
            self._open = None

    def _exchange(self) -> bytes:
        connection = self._connection()
        if connection.sock is not None:
            connection.sock.settimeout(self._settings.timeout_seconds)
        connection.request("GET", self._path, headers=self._headers)
        response = connection.getresponse()
        if response.status != _OK:
            self.close()
            raise self._refused(response.status)
        body = bytearray()
        while piece := response.read1(_PIECE_BYTES):
            body += piece
            if len(body) > _MOST_BYTES:
                self.close()
                raise AskError("too_large", f"{self.url} answers with more than {_MOST_BYTES >> 20} MiB")
        if response.length:  # `read1` says nothing of it
            raise http.client.IncompleteRead(bytes(body), response.length)
        response.close()  # has been read to its end: makes the connection free for the next question
        if response.will_close:
            self.close()
        return bytes(body)

    def _connection(self) -> http.client.HTTPConnection:
        if self._open is None:
            timeout = self._settings.timeout_seconds
            self._headers = {"Accept": "text/plain", "Accept-Encoding": "identity", **self._shown()}
            if self._tls is None:
                self._open = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
            else:
                self._open = http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
            self._open.response_class = _Response
        return self._open

    def _shown(self) -> dict[str, str]:
        """What lets us in."""
        settings = self._settings
        if settings.token_file is not None:
            token = _secret(settings.token_file, "token_file")
            if not is_token(token):
                raise AskError("no_secret", f"power.dcgm.token_file: {settings.token_file} holds no token")
            return bearer(token)
        if settings.user is not None and settings.password_file is not None:
            return basic(f"{settings.user}:{_secret(settings.password_file, 'password_file')}".encode())
        return {}

    def _refused(self, status: int) -> AskError:
        if status in _REFUSED:
            hint = "set power.dcgm.token_file, or user and password_file, as its web configuration wants"
            return AskError("not_let_in", f"{self.url} does not let us in ({status})", hint)
        return AskError("status", f"{self.url} answers with status {status}", "its page is at /metrics")

    def _said(self, error: Exception) -> AskError:
        if isinstance(error, TimeoutError):
            seconds = f"{self._settings.timeout_seconds:g} s"
            return AskError(
                "timeout", f"{self.url} did not answer within {seconds}", "power.dcgm.timeout sets how long"
            )
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message
            hint = "set power.dcgm.ca_file to whoever signed it, and ask by the name in it"
            return AskError("tls", f"{self.url} shows a certificate that is not trusted: {why}", hint)
        if isinstance(error, ssl.SSLError):
            return AskError(
                "tls", f"{self.url} does not speak TLS as we do: {error.reason or error}", "http:// perhaps?"
            )
        if isinstance(error, http.client.IncompleteRead):
            return AskError("unreadable", f"{self.url} broke off in the middle of its page")
        if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
            return AskError("unreadable", f"{self.url} does not speak HTTP", "https:// perhaps?")
        why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        hint = "is dcgm-exporter running there, and let through by the network? Its port is 9400 unless set otherwise"
        return AskError("unreachable", f"{self.url} cannot be reached: {why}", hint)


class _Response(http.client.HTTPResponse):
    """An answer that is there as a whole within the socket's timeout, which by itself begins anew with each byte."""

    def __init__(self, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = BufferedReader(_InTime(sock, self.fp.detach()))


class _InTime(RawIOBase):
    def __init__(self, sock: socket, received: RawIOBase) -> None:
        self._sock, self._received = sock, received
        self._until = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0.0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()


def _secret(path: str, key: str) -> str:
    try:
        secret = first_line(path)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise AskError("no_secret", f"power.dcgm.{key}: {path} cannot be read: {why}") from error
    if not secret or not secret.isprintable():
        raise AskError("no_secret", f"power.dcgm.{key}: {path} holds no secret")
    return secret


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # also what is in it that is no certificate
        why = error.strerror or error
        raise SourceError(f"power.dcgm.ca_file: no certificates can be read from {ca_file}: {why}") from error
