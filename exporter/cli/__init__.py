"""The command line. Exit codes: 0 done, 1 it failed (one line says why), 2 wrong usage or configuration.

A command is one file and one line of `COMMANDS`; what only it needs it imports when it runs: the sidecar stays small.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from exporter import __version__
from exporter.cli import (
    calibrate,
    check_config,
    components,
    demo,
    doctor,
    parse,
    record,
    replay,
    report,
    run,
    simulate,
    tune,
)
from exporter.cli.command import Command
from exporter.domain.errors import ConfigError, ExporterError, UsageError

COMMANDS: tuple[Command, ...] = (
    run.COMMAND,
    doctor.COMMAND,
    check_config.COMMAND,
    parse.COMMAND,
    demo.COMMAND,
    simulate.COMMAND,
    record.COMMAND,
    replay.COMMAND,
    calibrate.COMMAND,
    components.COMMAND,
    tune.COMMAND,
    report.COMMAND,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser(given).parse_args(given)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    command: Command = options.command
    try:
        return command.run(options)
    except (ConfigError, UsageError) as error:
        return _fail(error, 2)
    except ExporterError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone: there is nobody to tell
        return 0


def _fail(error: ExporterError, code: int) -> int:
    print(f"llm-energy-exporter: {error}", file=sys.stderr)
    return code


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """What can be typed; of commands that were not typed only what they are for."""
    parser = argparse.ArgumentParser(
        prog="llm-energy-exporter", description="Measure joules per LLM request and export them to Prometheus."
    )
    parser.add_argument("--version", action="version", version=f"llm-energy-exporter {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands, whole=command.name in given)
    return parser
