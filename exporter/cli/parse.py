"""`parse`: what does this log say?"""

import argparse
import sys

from exporter.cli.command import Command
from exporter.cli.settings import add_reader_options, reader_options
from exporter.requests.registry import READERS


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", required=True, metavar="KIND", help=f"one of {', '.join(READERS)}")
    parser.add_argument("--timezone", metavar="NAME", help="of stamps that have none, e.g. Europe/Berlin")
    add_reader_options(parser)
    parser.add_argument("file", nargs="?", metavar="FILE", help="the log; standard input where it is left out")


def _run(options: argparse.Namespace) -> int:
    from exporter import parse  # noqa: PLC0415 - only this command needs it

    chosen = reader_options(options)
    return parse.parse_file(options.file, options.source, chosen, options.timezone, sys.stdout, sys.stderr)


COMMAND = Command(
    "parse", "show the events that a log yields, as JSON lines, and what was not used", _add_arguments, _run
)
