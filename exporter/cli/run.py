"""`run`: the sidecar."""

import argparse
import asyncio
import gc
import logging
import signal
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.app import exporting
from exporter.cli.command import Command
from exporter.cli.settings import add_settings, settings_from
from exporter.cli.tape import add_limits, open_tape
from exporter.domain.settings import Settings

if TYPE_CHECKING:
    from exporter.recording.tape import Tape


def spare_the_collector() -> None:
    """Look for reference cycles seldom: we make none to speak of, and looking costs a sixth of the throughput."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser)
    parser.add_argument("--record", type=Path, metavar="FILE", help="record all of it, too, for `replay`")
    add_limits(parser)


def _run(options: argparse.Namespace) -> int:
    spare_the_collector()
    settings = settings_from(options)
    tape = open_tape(options.record, options) if options.record is not None else None
    with closing(tape) if tape is not None else nullcontext():
        asyncio.run(serve(settings, asyncio.Event(), tape))
    return 0


async def serve(settings: Settings, stopped: asyncio.Event, tape: "Tape | None" = None) -> None:
    """Run the exporter until it is stopped, by this event or by a signal."""
    log = logging.getLogger("exporter")
    # A recording is of the devices that it began with.
    async with exporting(settings, tape=tape, look_again=tape is None) as exporter:
        log.info("serving metrics at %s/metrics", exporter.url)
        if not settings.servers:
            log.warning("no server is configured: power is metered, but no request. Try --source KIND --log PATH")
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()


COMMAND = Command("run", "run the exporter until it is stopped", _add_arguments, _run)
