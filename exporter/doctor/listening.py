"""Whether the port can be had: by taking it for a moment, just as `run` does."""

import asyncio

from aiohttp import web

from exporter.doctor.finding import Finding
from exporter.domain.errors import ListenError
from exporter.domain.settings import ListenAddress
from exporter.server import serve

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def examine(address: ListenAddress) -> tuple[Finding, ...]:
    """Take the port and give it back."""
    try:
        asyncio.run(_take(address))
    except ListenError as error:
        text, _, fix = str(error).rpartition(": ")
        return (Finding("Listening", "listen", "fail", text, f"{fix}; nothing to do if it is this exporter, running"),)
    return (_reach(address),)


async def _take(address: ListenAddress) -> None:
    runner = await serve(web.Application(), address)
    await runner.cleanup()


def _reach(address: ListenAddress) -> Finding:
    free = f"{address.host}:{address.port or '(any free port)'} can be had"
    if address.host in _LOOPBACK:
        return Finding("Listening", "listen", "note", f"{free}, and reached from this machine (or pod) only")
    return Finding("Listening", "listen", "ok", free)
