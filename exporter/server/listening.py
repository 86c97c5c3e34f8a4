"""Taking the port, and saying clearly why it cannot be had."""

import errno
import socket

from aiohttp import web

from exporter.domain.errors import ListenError
from exporter.domain.settings import ListenAddress

_GRACE_SECONDS = 2.0  # a scrape takes milliseconds; a stop must not wait for an idle browser

_REASONS = {
    errno.EADDRINUSE: "another program listens there; stop it, or change `listen` (--listen HOST:PORT)",
    errno.EACCES: "permission denied; ports below 1024 need a privilege, so change `listen` (--listen HOST:PORT)",
    errno.EADDRNOTAVAIL: "this machine has no such address; change `listen` (--listen HOST:PORT)",
}


async def serve(app: web.Application, address: ListenAddress) -> web.AppRunner:
    """Serve until the runner's `cleanup()`. `runner.addresses` tells the port that 0 stood for.

    Raises:
        ListenError: the address cannot be had; says what to change.
    """
    # What is compressed is unpacked by whoever reads it, within bounds.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS, auto_decompress=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
    except OSError as error:
        await runner.cleanup()
        raise ListenError(f"cannot listen on {address.host}:{address.port}: {_reason(error)}") from error
    return runner


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host name is not known; change `listen` (--listen HOST:PORT)"
    return _REASONS.get(error.errno or 0, error.strerror or str(error))
