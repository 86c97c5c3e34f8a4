"""`run`: the sidecar."""

import argparse
import asyncio
import gc
import logging
import signal

from exporter.app import exporting
from exporter.cli.command import Command
from exporter.cli.settings import add_settings, settings_from
from exporter.domain.settings import Settings


def spare_the_collector() -> None:
    """Look for reference cycles seldom: we make none to speak of, and looking costs a sixth of the throughput."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _run(options: argparse.Namespace) -> int:
    spare_the_collector()
    asyncio.run(_serve(settings_from(options)))
    return 0


async def _serve(settings: Settings) -> None:
    log = logging.getLogger("exporter")
    async with exporting(settings) as exporter:
        log.info("serving metrics at %s/metrics", exporter.url)
        if not settings.servers:
            log.warning("no server is configured: power is metered, but no request. Try --source KIND --log PATH")
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()


COMMAND = Command("run", "run the exporter until it is stopped", add_settings, _run)
