"""`check-config`: is this configuration good?"""

import argparse
from pathlib import Path

from exporter import config
from exporter.cli.command import Command
from exporter.cli.settings import CHECKS


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")


def _run(options: argparse.Namespace) -> int:
    settings = config.load(options.file, CHECKS)
    servers = ", ".join(server.name for server in settings.servers) or "no servers"
    print(f"{options.file}: good ({servers})")
    return 0


COMMAND = Command("check-config", "check a configuration file", _add_arguments, _run)
