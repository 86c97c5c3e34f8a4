"""The reverse proxy as a whole: it takes its port, serves, and ends."""

import asyncio
import logging

from aiohttp import web

from exporter.domain.settings import TenantSettings
from exporter.feeds.inbox import Inbox
from exporter.gateway.accounting import Accountant, Estimate, Fault, Now
from exporter.gateway.relay import Relay
from exporter.gateway.upstream import LONGEST_HEADER, LONGEST_LINE, Upstream
from exporter.listening import listen, url_of
from exporter.requests.posted.proxied import ProxyOptions

GRACE_SECONDS = 5.0
"""How long answers may go on after we were asked to stop."""

_CLIENT_KEPT_SECONDS = 75.0
_LINGERING_SECONDS = 2.0  # a client that is still sending must be able to read why it is refused
_LISTEN_KEY = "the option `listen` of source `proxy`"

_http_log = logging.getLogger(f"{__name__}.http")
_http_log.setLevel(logging.CRITICAL)  # a client that speaks no HTTP is told so; that is nothing to log


class Gateway:
    """A reverse proxy that serves. `url`: where, without a slash at the end."""

    def __init__(self, url: str, runner: web.ServerRunner, relay: Relay, upstream: Upstream) -> None:
        self.url = url
        self._runner = runner
        self._relay = relay
        self._upstream = upstream

    async def close(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Accept nobody any more, give answers under way some time, then cut them: they are told as aborted."""
        for site in list(self._runner.sites):
            await site.stop()
        if self._relay.running:
            await asyncio.wait(self._relay.running, timeout=grace_seconds)
        for task in list(self._relay.running):
            task.cancel()
        await self._runner.cleanup()
        await self._upstream.close()


async def open_gateway(  # noqa: PLR0913 - it is where everything meets
    server: str,
    options: ProxyOptions,
    tenant: TenantSettings,
    inbox: Inbox,
    now: Now,
    *,
    fault: Fault,
    estimate: Estimate | None = None,
) -> Gateway:
    """Start the reverse proxy in front of a server.

    Args:
        server: its name.
        options: what `exporter.requests.posted.proxied.check` made of the source's options.
        tenant: by what requests are told apart for the bill.
        inbox: where requests are told.
        now: the exporter's clock.
        fault: told the stage of a bug of ours that was survived.
        estimate: what a request may have used, for the header `X-Energy-Joules`: see `Estimate`.

    Raises:
        ConfigError: the file of authorities cannot be used.
        ListenError: the address cannot be had.
    """
    upstream = Upstream(options)
    relay = Relay(upstream, options, Accountant(server, options, tenant, inbox, now, fault), estimate)
    http = web.Server(
        relay,
        handler_cancellation=True,
        access_log=None,
        logger=_http_log,
        auto_decompress=False,
        keepalive_timeout=_CLIENT_KEPT_SECONDS,
        lingering_time=_LINGERING_SECONDS,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_HEADER,
    )
    runner = web.ServerRunner(http, shutdown_timeout=0.5)
    try:
        await listen(runner, options.listen, _LISTEN_KEY)
    except BaseException:
        await upstream.close()
        raise
    return Gateway(url_of(runner), runner, relay, upstream)
