"""Serving our own pages."""

import ssl

from aiohttp import web

from exporter.domain.settings import ListenAddress
from exporter.listening import listen

_GRACE_SECONDS = 2.0  # a scrape takes milliseconds; a stop must not wait for an idle browser


async def serve(app: web.Application, address: ListenAddress, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    """Serve until the runner's `cleanup()`. `runner.addresses` tells the port that 0 stood for.

    Raises:
        ListenError: the address cannot be had; says what to change.
    """
    # What is compressed is unpacked by whoever reads it, within bounds.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS, auto_decompress=False)
    await listen(runner, address, "`listen` (--listen HOST:PORT)", tls)
    return runner
