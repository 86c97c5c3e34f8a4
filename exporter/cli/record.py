"""`record`: the sidecar, and all that it hears in a file for `replay`."""

import argparse
import asyncio
import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.cli.command import Command
from exporter.cli.run import serve, spare_the_collector
from exporter.cli.settings import add_settings, settings_from
from exporter.cli.tape import add_limits, open_tape
from exporter.config import quantities
from exporter.domain.errors import RecordingError
from exporter.domain.settings import Settings

if TYPE_CHECKING:
    from exporter.recording.tape import Ending

log = logging.getLogger("exporter")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the recording, a .jsonl.gz")
    parser.add_argument("--duration", metavar="TIME", help="how long, e.g. 10m; until Ctrl-C where it is left out")
    add_limits(parser)


def _run(options: argparse.Namespace) -> int:
    path: Path = options.output
    seconds = None if options.duration is None else _seconds(options.duration)
    settings = settings_from(options)
    spare_the_collector()
    if asyncio.run(_record(settings, options, seconds)) == "failed":
        raise RecordingError(f"{path} is not complete: it ends where writing failed")
    log.info("recorded %s bytes. To look at them: llm-energy-exporter replay %s", f"{path.stat().st_size:,}", path)
    return 0


async def _record(settings: Settings, options: argparse.Namespace, seconds: float | None) -> "Ending | None":
    """Record until a signal comes, time is up, or the tape ends; says how that did."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        loop.call_soon_threadsafe(stopped.set)

    with closing(open_tape(options.output, options, stop)) as tape:
        if seconds is not None:
            loop.call_later(seconds, stop)
        log.info(
            "recording to %s %s", options.output, f"for {options.duration}" if options.duration else "until Ctrl-C"
        )
        await serve(settings, stopped, tape)
    return tape.ended


def _seconds(text: str) -> float:
    seconds: float = quantities.duration("1s", "365d").read(text, "--duration")
    return seconds


COMMAND = Command("record", "run the exporter and record all that it hears", _add_arguments, _run)
