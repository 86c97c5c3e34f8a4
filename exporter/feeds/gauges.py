"""Asking servers how many requests they work on: their own `/metrics`, every few seconds.

A server that does not answer is asked again; why it did not is said once in our log, and counted.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from exporter.clock import SystemClock
from exporter.domain.errors import ExporterError
from exporter.domain.gauges import Gauge
from exporter.domain.health import GaugeFailure, GaugeView
from exporter.domain.units import Instant
from exporter.feeds import families

log = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 5.0
TIMEOUT_SECONDS: Final = 4.0
_MOST_BYTES = 4 << 20
_MOST_HELD = 1_000
_HEADERS = {"Accept": "text/plain; version=0.0.4"}
_OFF = {
    404: "; vLLM, SGLang (with --enable-metrics) and TGI serve it at /metrics, Triton on a port of its own (8002)",
    501: "; llama-server needs the flag --metrics",
}


class GaugeError(ExporterError):
    """A server could not be asked. `reason` is from a closed set; the text says it in words."""

    def __init__(self, reason: GaugeFailure, text: str) -> None:
        super().__init__(text)
        self.reason: GaugeFailure = reason


class Poller:
    """One server being asked. What it said waits to be drained; when too much waits, the oldest goes."""

    def __init__(self, server: str, url: str, clock: SystemClock) -> None:
        self.server = server
        self._url = url
        self._clock = clock
        self._held: deque[Gauge] = deque(maxlen=_MOST_HELD)
        self._readings = 0
        self._failures: Counter[GaugeFailure] = Counter()
        self._trouble: GaugeFailure | None = None

    def drain(self) -> list[Gauge]:
        """What the server has said since this was last asked."""
        held = list(self._held)
        self._held.clear()
        return held

    def view(self) -> GaugeView:
        """How asking goes."""
        return GaugeView(self.server, self._readings, dict(self._failures))

    async def poll(self, session: aiohttp.ClientSession) -> None:
        """Ask every few seconds, for ever."""
        while True:
            await self.ask(session)
            await asyncio.sleep(self._clock.real(INTERVAL_SECONDS))

    async def ask(self, session: aiohttp.ClientSession) -> None:
        """Ask once."""
        before = self._clock.now()
        try:
            told = await ask(session, self._url)
        except GaugeError as error:
            self._failures[error.reason] += 1
            if error.reason != self._trouble:
                log.warning("gauge of server %s: %s", self.server, error)
            self._trouble = error.reason
            return
        after = self._clock.now()
        if self._trouble is not None:
            log.info("gauge of server %s: %s answers", self.server, self._url)
        self._trouble = None
        self._readings += 1
        at, uncertainty = Instant(0.5 * (before + after)), 0.5 * (after - before)
        self._held.append(Gauge(at, uncertainty, told.running, told.waiting, told.prompt_tokens, told.output_tokens))


def session() -> aiohttp.ClientSession:
    """What servers are asked with."""
    return aiohttp.ClientSession(headers=_HEADERS, timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))


@asynccontextmanager
async def polling(pollers: Sequence[Poller]) -> AsyncIterator[None]:
    """Ask all servers for as long as the context lasts."""
    if not pollers:
        yield
        return
    async with session() as shared:
        tasks = [asyncio.create_task(one.poll(shared)) for one in pollers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def ask(session: aiohttp.ClientSession, url: str) -> families.Told:
    """Ask a server once.

    Raises:
        GaugeError: it gave no answer that says how many requests run.
    """
    page = await _page(session, url)
    try:
        told = families.read(page)
    except ValueError as error:
        raise GaugeError("unreadable", f"{url} answers, but not in Prometheus' text format") from error
    if told is not None:
        return told
    if "# TYPE" not in page:
        raise GaugeError("unreadable", f"{url} answers, but not in Prometheus' text format")
    known = ", ".join(one.server for one in families.KNOWN)
    raise GaugeError("unknown", f"{url} has no metric of a server that is known here: {known}")


async def _page(session: aiohttp.ClientSession, url: str) -> str:
    try:
        async with session.get(url) as response:
            if response.status != 200:
                advice = _OFF.get(response.status, "")
                raise GaugeError("status", f"{url} answers with status {response.status}{advice}")
            body = await _body(response, url)
    except TimeoutError as error:
        raise GaugeError("timeout", f"{url} did not answer within {TIMEOUT_SECONDS:g} s") from error
    except aiohttp.ClientError as error:
        raise GaugeError("unreachable", f"{url} cannot be reached: {_why(error)}") from error
    return body.decode("utf-8", errors="replace")


def _why(error: aiohttp.ClientError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


async def _body(response: aiohttp.ClientResponse, url: str) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _MOST_BYTES:
            raise GaugeError("too_large", f"{url} answers with more than {_MOST_BYTES >> 20} MiB")
    return bytes(body)
