"""Taking a port, and saying clearly why it cannot be had."""

import errno
import socket
import ssl

from aiohttp import web

from exporter.domain.errors import ListenError
from exporter.domain.settings import ListenAddress

_REASONS = {
    errno.EADDRINUSE: "another program listens there; stop it, or change {key}",
    errno.EACCES: "permission denied; ports below 1024 need a privilege, so change {key}",
    errno.EADDRNOTAVAIL: "this machine has no such address; change {key}",
}


async def listen(runner: web.BaseRunner, address: ListenAddress, key: str, tls: ssl.SSLContext | None = None) -> None:
    """Set a runner up and let it serve at an address, until its `cleanup()`.

    Args:
        runner: not set up yet.
        address: where; `runner.addresses` tells the port that 0 stood for.
        key: by what the user can change the address.
        tls: what connections are made with; None: plain HTTP.

    Raises:
        ListenError: the address cannot be had; says what to change.
    """
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port, ssl_context=tls, backlog=1024).start()
    except OSError as error:
        await runner.cleanup()
        raise ListenError(f"cannot listen on {address.host}:{address.port}: {_reason(error, key)}") from error


def url_of(runner: web.BaseRunner, scheme: str = "http") -> str:
    """Where a runner that listens is reached from this machine, without a slash at the end."""
    host, port = runner.addresses[0][:2]
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{scheme}://{local}:{port}"


def _reason(error: OSError, key: str) -> str:
    if isinstance(error, socket.gaierror):
        return f"the host name is not known; change {key}"
    return _REASONS.get(error.errno or 0, error.strerror or str(error)).format(key=key)
