"""Servers to stand behind the gateway, good and bad, and a client that sees every byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from exporter.domain.events import Ended, FirstToken, Started
from exporter.domain.settings import TenantSettings
from exporter.domain.units import Instant
from exporter.feeds.inbox import Inbox
from exporter.gateway import Gateway, open_gateway
from exporter.gateway.accounting import Estimate
from exporter.requests.posted.proxied import check

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SSE = {"Content-Type": "text/event-stream"}


@dataclass
class Front:
    """A gateway and what it told."""

    gateway: Gateway
    inbox: Inbox
    faults: list[str]
    events: list[Any] = field(default_factory=list)
    aliases: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def told(self) -> list[Any]:
        for told in self.inbox.poll(Instant(0.0), 0.0):
            self.events.append(told.event)
            self.aliases.update(told.aliases)
        return self.events

    def of(self, kind: type[Started | FirstToken | Ended]) -> list[Any]:
        return [event for event in self.told() if isinstance(event, kind)]

    def counted(self, fate: str, reason: str) -> int:
        return self.inbox.view().lines.get((fate, reason), 0)

    async def ended(self, number: int = 1, seconds: float = 5.0) -> list[Ended]:
        """The ends that were told, once there are so many."""
        async with asyncio.timeout(seconds):
            while len(self.of(Ended)) < number:  # noqa: ASYNC110 - the inbox is polled, as the engine does
                await asyncio.sleep(0.005)
        return self.of(Ended)


class Ticking:
    """The loop's clock, as the exporter's."""

    def __call__(self) -> Instant:
        return Instant(asyncio.get_running_loop().time())


@asynccontextmanager
async def fronted(
    upstream: str,
    options: Mapping[str, Any] | None = None,
    *,
    tenant: TenantSettings | None = None,
    inbox: Inbox | None = None,
    estimate: Estimate | None = None,
) -> AsyncIterator[Front]:
    """A gateway before the server at this URL."""
    inbox = inbox or Inbox("chat", ends_with_us=True)
    faults: list[str] = []
    checked = check({"upstream": upstream, "listen": "127.0.0.1:0", **(options or {})}, None)
    gateway = await open_gateway(
        "chat", checked, tenant or TenantSettings(), inbox, Ticking(), fault=faults.append, estimate=estimate
    )
    try:
        yield Front(gateway, inbox, faults)
    finally:
        await gateway.close(grace_seconds=0.0)


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """A server of sockets: what it says is up to `talk`. Gives its URL."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """A well-behaved HTTP server of one handler. Gives its URL."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def head_of(reader: asyncio.StreamReader) -> bytes:
    """A message's head, as it came."""
    return await reader.readuntil(b"\r\n\r\n")


def saying(answer: bytes, heard: list[bytes] | None = None) -> Talk:
    """Talk that answers every request, whose body is read by its Content-Length, with these bytes and closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await head_of(reader)
        body = await reader.readexactly(length_of(head))
        if heard is not None:
            heard.append(head + body)
        writer.write(answer)
        await writer.drain()

    return talk


def length_of(head: bytes) -> int:
    lengths = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return int(lengths[0]) if lengths else 0


async def exchange(port: int, sent: bytes) -> bytes:
    """Send these bytes, and give all that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def post(path: str, body: bytes = b"{}", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: front", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def header_lines(message: bytes, name: str) -> list[bytes]:
    head = message.partition(b"\r\n\r\n")[0]
    return [
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")[1:]
        if line.lower().startswith(name.encode() + b":")
    ]
