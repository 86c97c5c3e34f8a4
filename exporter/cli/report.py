"""`report`: what was booked, what it comes to in other units, and how models stand beside each other."""

import argparse
import sys
from pathlib import Path

from exporter.cli.command import Command

_FORMATS = ("text", "markdown", "html", "json")

_TEXT = {
    "exporter": "a running exporter, since its books began (default: http://127.0.0.1:9460)",
    "prometheus": "a period that a Prometheus remembers",
    "recording": "a recording",
    "since": "of a Prometheus: how long ago the period began, or when (default: 24h)",
    "until": "of a Prometheus: how long ago it ended, or when (default: now)",
    "match": "of a Prometheus: only series with this label, e.g. 'namespace=\"prod\"'; may be given again",
    "compare": "beside it: a recording's file, another URL, or SINCE..UNTIL of the same Prometheus",
    "format": f"{', '.join(_FORMATS)} (default: by the name of --out, else text)",
    "out": "write it there instead of printing it",
    "country": "carbon by the mean intensity of its electricity: a code (DE) or a name",
    "intensity": "carbon by this intensity, in grams of CO2 equivalent per kWh",
    "pue": "beside it: the building's energy, by its power usage effectiveness",
    "host_factor": "beside it: the host's energy and machines in reserve, by published shares",
    "price": 'cost, by the price of a kWh, e.g. "0.25 EUR"',
    "embodied": 'of the hardware, for SCI: of this period ("12 kg"), or over its life ("1500 kg/4y")',
    "active_parameters": "beside it: a published formula's joules per token of a model of this size, e.g. 8e9",
    "parameters": "of the whole of that model, where they are not all active",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from exporter.web import add_access_arguments  # noqa: PLC0415 - only commands that ask somebody need it

    _add_sources(parser)
    _add_factors(parser)
    add_access_arguments(parser)
    parser.add_argument("--format", choices=_FORMATS, metavar="FORMAT", help=_TEXT["format"])
    parser.add_argument("--out", type=Path, metavar="FILE", help=_TEXT["out"])


def _add_sources(parser: argparse.ArgumentParser) -> None:
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument("--exporter", metavar="URL", help=_TEXT["exporter"])
    sources.add_argument("--prometheus", metavar="URL", help=_TEXT["prometheus"])
    sources.add_argument("--recording", type=Path, metavar="FILE", help=_TEXT["recording"])
    for name in ("since", "until"):
        parser.add_argument(f"--{name}", metavar="TIME", help=_TEXT[name])
    parser.add_argument("--match", action="append", default=[], metavar="LABEL", help=_TEXT["match"])
    parser.add_argument("--compare", metavar="WHAT", help=_TEXT["compare"])


def _add_factors(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--country", metavar="CODE", help=_TEXT["country"])
    where.add_argument("--intensity", type=float, metavar="GRAMS", help=_TEXT["intensity"])
    parser.add_argument("--pue", type=float, metavar="RATIO", help=_TEXT["pue"])
    parser.add_argument("--host-factor", action="store_true", help=_TEXT["host_factor"])
    for name in ("price", "embodied"):
        parser.add_argument(f"--{name}", metavar="AMOUNT", help=_TEXT[name])
    for name in ("active-parameters", "parameters"):
        parser.add_argument(f"--{name}", type=float, metavar="N", help=_TEXT[name.replace("-", "_")])


def _run(options: argparse.Namespace) -> int:
    from exporter.replay.progress import Progress  # noqa: PLC0415 - only this command needs it
    from exporter.report import command  # noqa: PLC0415 - only this command needs it

    progress = Progress(sys.stderr, "reading")
    return command.run(options, sys.stdout, progress.show, progress.clear)


COMMAND = Command(
    "report", "say what was booked: totals, a leaderboard, units people feel, cost, carbon", _add_arguments, _run
)
