"""`doctor`: find the user's problem before they do."""

import argparse
import sys

from exporter.cli.command import Command
from exporter.cli.settings import add_settings, settings_from


def _run(options: argparse.Namespace) -> int:
    from exporter import doctor  # noqa: PLC0415 - only this command needs it

    return doctor.run(settings_from(options), sys.stdout)


COMMAND = Command("doctor", "find out what works on this machine and what does not", add_settings, _run)
