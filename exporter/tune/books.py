"""Reads a running exporter's `/metrics` over HTTP."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from exporter.domain.errors import TuneError
from exporter.tune import page
from exporter.tune.page import Page
from exporter.web import OPEN, Access, refused, shown_to, trusting, why

DEFAULT_EXPORTER = "http://127.0.0.1:9460"
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


def metrics_of(url: str, access: Access) -> tuple[str, Mapping[str, str]]:
    """Where the metrics of an exporter are, of which this is the URL or that of its metrics; and what is shown there.

    Raises:
        UsageError: this is no URL.
    """
    where, headers = shown_to(url, access)
    return where if urlsplit(where).path else f"{where}/metrics", {**_HEADERS, **headers}


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
                    raise TuneError(refused(self.url, response.status))
                if response.status != 200:
                    raise UnreachableError(f"{self.url} answers with status {response.status}")
                body = await response.content.read(_MOST_BYTES)
                while not response.content.at_eof() and len(body) < _MOST_BYTES:
                    body += await response.content.read(_MOST_BYTES)
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise TuneError(f"{self.url} cannot be asked: {why(error.__cause__ or error)}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = "no answer" if isinstance(error, TimeoutError) else type(error).__name__
            raise UnreachableError(
                f"no exporter answers at {self.url} ({reason}): start one, or say --exporter"
            ) from error
        return body.decode("utf-8", errors="replace")


@asynccontextmanager
async def reading(url: str, access: Access = OPEN) -> AsyncIterator[HttpBooks]:
    """The books of an exporter, for as long as the context lasts."""
    where, headers = metrics_of(url, access)
    connector = aiohttp.TCPConnector(ssl=trusting(access))
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        yield HttpBooks(session, where)
