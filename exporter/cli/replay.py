"""`replay`: a recorded session again, faster, and under other rules."""

import argparse
import gc
import sys
from pathlib import Path
from typing import get_args

from exporter.cli.command import Command
from exporter.domain.settings import PolicyName, ProxyName


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    policies, proxies = get_args(PolicyName), get_args(ProxyName)
    parser.add_argument("file", type=Path, metavar="FILE", help="the recording")
    parser.add_argument(
        "--policy", nargs="+", choices=policies, default=[], metavar="NAME", help=f"try these: {', '.join(policies)}"
    )
    parser.add_argument("--compare", action="store_true", help="try every policy")
    parser.add_argument(
        "--proxies", nargs="+", choices=proxies, metavar="NAME", help=f"instead of those recorded: {', '.join(proxies)}"
    )
    parser.add_argument("--csv", type=Path, metavar="DIR", help="write requests, books and scores as CSV")
    parser.add_argument("--parquet", type=Path, metavar="DIR", help="write them as Parquet")
    parser.add_argument("--open", action="store_true", help="leave unsettled what was unsettled at the end")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(options: argparse.Namespace) -> int:
    from exporter import replay  # noqa: PLC0415 - only this command needs it

    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    folders = {"csv": options.csv, "parquet": options.parquet}
    chosen = replay.ReplayOptions(
        policies=options.policy,
        compare=options.compare,
        proxies=tuple(options.proxies) if options.proxies is not None else None,
        folders={how: folder for how, folder in folders.items() if folder is not None},
        leave_open=options.open,
        json=options.json,
    )
    return replay.run(options.file, chosen, sys.stdout)


COMMAND = Command(
    "replay", "run a recording through everything again, as fast as this machine can", _add_arguments, _run
)
