"""`demo`: a real small model on this machine's CPU, metered."""

import argparse
import logging
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from exporter import config
from exporter.app import exporting
from exporter.cli.command import Command
from exporter.cli.tape import add_limits, open_tape
from exporter.domain.errors import UsageError


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, metavar="S", help="how long to send requests")
    parser.add_argument("--keep", action="store_true", help="keep running afterwards, to look at the page")
    parser.add_argument("--listen", metavar="HOST:PORT", help="where to serve; a free local port where it is left out")
    parser.add_argument("--llama-server", type=Path, metavar="FILE", help="another llama-server")
    parser.add_argument("--model", type=Path, metavar="FILE", help="another GGUF model")
    parser.add_argument("--record", type=Path, metavar="FILE", help="record all of it, too, for `replay`")
    add_limits(parser)
    parser.add_argument(
        "--recording", metavar="NAME|FILE", help="show a recorded session instead: one that is shipped, or a file"
    )


def _retell(options: argparse.Namespace) -> int:
    from exporter.demo import retelling  # noqa: PLC0415 - only this needs it

    for name in ("seconds", "llama_server", "model", "record"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')}: with --recording nothing runs that it could change")
    chosen = retelling.RetellingOptions(options.recording, keep=options.keep)
    if options.listen is not None:
        chosen = replace(chosen, listen=config.parse_address(options.listen))
    return retelling.run(chosen)


def _run(options: argparse.Namespace) -> int:
    if options.recording is not None:
        return _retell(options)
    from exporter import demo  # noqa: PLC0415 - only this command needs it

    logging.getLogger().setLevel(logging.WARNING)
    chosen = demo.DemoOptions(binary=options.llama_server, model=options.model, keep=options.keep)
    if options.seconds is not None:
        chosen = replace(chosen, seconds=options.seconds)
    if options.listen is not None:
        chosen = replace(chosen, listen=config.parse_address(options.listen))
    if options.record is None:
        return demo.run(chosen, exporting)
    with closing(open_tape(options.record, options)) as tape:
        return demo.run(chosen, partial(exporting, tape=tape))


COMMAND = Command("demo", "serve a real small model on this machine's CPU and meter its requests", _add_arguments, _run)
