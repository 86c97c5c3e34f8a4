"""Reads a running exporter's `/metrics` over HTTP."""

import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from exporter.domain.errors import TuneError, UsageError
from exporter.tune import page
from exporter.tune.page import Page

TIMEOUT_SECONDS = 10.0
_MOST_BYTES = 32 << 20
_HEADERS = {"Accept": "text/plain; version=0.0.4"}


class UnreachableError(TuneError):
    """The exporter did not answer: it may be starting."""


class Books(Protocol):
    """Whoever can say what the books are."""

    async def read(self) -> Page:
        """The books now.

        Raises:
            UnreachableError: nobody answered.
            TuneError: what answered is no exporter of ours.
        """
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """How an exporter is reached. `url`: of it or of its `/metrics`. `password`: sent nowhere else."""

    url: str = "http://127.0.0.1:9460"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    insecure: bool = False

    @property
    def metrics_url(self) -> str:
        """Where its metrics are.

        Raises:
            UsageError: this is no URL.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"--exporter {self.url}: say http://HOST:PORT or https://HOST:PORT")
        return self.url if parts.path.rstrip("/") else f"{self.url.rstrip('/')}/metrics"

    def headers(self) -> Mapping[str, str]:
        """What is said with every request."""
        if self.user is None:
            return _HEADERS
        secret = base64.b64encode(f"{self.user}:{self.password or ''}".encode()).decode()
        return {**_HEADERS, "Authorization": f"Basic {secret}"}

    def context(self) -> ssl.SSLContext | bool:
        """How its certificate is checked.

        Raises:
            UsageError: there are no certificates in the file.
        """
        if self.insecure:
            return False
        if self.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"--ca-file {self.ca_file}: no certificates can be read there ({error})") from error


@dataclass(frozen=True, slots=True)
class HttpBooks:
    """An exporter behind a URL."""

    session: aiohttp.ClientSession
    url: str

    async def read(self) -> Page:
        """As in `Books`."""
        text = await self._text()
        try:
            books = page.parse(text)
        except (ValueError, KeyError) as error:
            raise TuneError(f"{self.url} answers, but not in Prometheus' text format") from error
        if not books.started:
            raise TuneError(f"{self.url} is not an llm-energy-exporter of this release: say where one is by --exporter")
        return books

    async def _text(self) -> str:
        try:
            async with self.session.get(self.url, allow_redirects=False) as response:
                if response.status in (401, 403):
                    raise TuneError(f"{self.url} does not let us in: say --user NAME and --password-env VARIABLE")
                if response.status != 200:
                    raise UnreachableError(f"{self.url} answers with status {response.status}")
                body = await response.content.read(_MOST_BYTES)
                while not response.content.at_eof() and len(body) < _MOST_BYTES:
                    body += await response.content.read(_MOST_BYTES)
        except aiohttp.ClientConnectorCertificateError as error:
            raise TuneError(f"{self.url}: its certificate is not trusted: name its authority by --ca-file") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            why = "no answer" if isinstance(error, TimeoutError) else type(error).__name__
            raise UnreachableError(
                f"no exporter answers at {self.url} ({why}): start one, or say --exporter"
            ) from error
        return body.decode("utf-8", errors="replace")


@asynccontextmanager
async def reading(access: Access) -> AsyncIterator[HttpBooks]:
    """The books of an exporter, for as long as the context lasts."""
    connector = aiohttp.TCPConnector(ssl=access.context())
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=access.headers()) as session:
        yield HttpBooks(session, access.metrics_url)
