"""`simulate`: GPUs and an inference server that are not there, for dashboards, alerts and newcomers."""

import argparse
import logging
from contextlib import AbstractAsyncContextManager, closing, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter import config
from exporter.app import Exporter, OnSettled, OpenPower, exporting
from exporter.cli.command import Command
from exporter.cli.tape import add_limits, open_tape
from exporter.clock import SystemClock
from exporter.config.kinds import UnfitError
from exporter.config.quantities import seconds
from exporter.domain.errors import UsageError
from exporter.domain.settings import Settings

if TYPE_CHECKING:
    from exporter.recording.tape import Tape
    from exporter.simulate.session import MakeExporter

_TEXT = {
    "model": "which model: llama-3.1-8b (the default), qwen3-8b, qwen3-14b, qwen3-32b or llama-3.1-70b",
    "gpus": "GPUs in all, a multiple of what the model takes (default: two replicas' worth)",
    "load": "how clients come: steady (the default), bursts, diurnal, overload, or none by themselves",
    "rate": "requests a second in all, on average",
    "batch": "instead of a rate: requests running at once in each server, on average (default: 4)",
    "day": "how long a day of --load diurnal is (default: 10m)",
    "budget": "energy budgets, as a share of what all GPUs use at full power (default: 0.5)",
    "duration": "when to end, e.g. 90s (default: at Ctrl-C)",
    "port": "where the simulated servers answer, as OpenAI's API (default: 8000); 0 takes a free one",
    "listen": "where the exporter serves (default: 127.0.0.1:9460)",
    "directory": "where the servers' logs go (default: a temporary directory)",
    "log": "which log the exporter reads: jsonl (the default; tells tokens) or vllm (vLLM's own, which does not)",
    "faults": "all, or some of gpu-lost, counter-reset, counter-stuck, log-rotation, lost-lines, server-restart",
    "fault_every": "time between two faults (default: 1m)",
    "seed": "of all chance (default: 1)",
    "record": "record all that the exporter is told, too, for `replay` and `power.source: recording`",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help=_TEXT["model"])
    parser.add_argument("--gpus", type=int, metavar="N", help=_TEXT["gpus"])
    parser.add_argument("--load", metavar="PATTERN", help=_TEXT["load"])
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--rate", type=float, metavar="R", help=_TEXT["rate"])
    much.add_argument("--batch", type=float, metavar="N", help=_TEXT["batch"])
    parser.add_argument("--budget", type=float, metavar="SHARE", help=_TEXT["budget"])
    for name in ("day", "duration", "fault-every"):
        parser.add_argument(f"--{name}", metavar="TIME", help=_TEXT[name.replace("-", "_")])
    parser.add_argument("--port", type=int, metavar="PORT", help=_TEXT["port"])
    parser.add_argument("--listen", metavar="HOST:PORT", help=_TEXT["listen"])
    parser.add_argument("--directory", type=Path, metavar="DIR", help=_TEXT["directory"])
    parser.add_argument("--log", choices=("jsonl", "vllm"), help=_TEXT["log"])
    parser.add_argument("--faults", metavar="NAMES", help=_TEXT["faults"])
    parser.add_argument("--seed", type=int, metavar="N", help=_TEXT["seed"])
    parser.add_argument("--record", type=Path, metavar="FILE", help=_TEXT["record"])
    add_limits(parser)


def _run(options: argparse.Namespace) -> int:
    from exporter.simulate import plan, session  # noqa: PLC0415 - only this command needs them

    given = _given(options)
    known = {field.name for field in fields(plan.Plan)}
    chosen = plan.Plan(**{name: value for name, value in given.items() if name in known})
    logging.getLogger().setLevel(logging.WARNING)
    tape = open_tape(options.record, options) if options.record is not None else None
    with closing(tape) if tape is not None else nullcontext():
        return session.run(chosen, _exporting(tape))


def _exporting(tape: "Tape | None" = None) -> "MakeExporter":
    """Runs an exporter for a simulation; what it is told goes on the tape, if there is one."""

    def make(
        settings: Settings, clock: SystemClock, open_power: OpenPower, on_settled: OnSettled
    ) -> AbstractAsyncContextManager[Exporter]:
        return exporting(settings, clock, tape, open_power=open_power, on_settled=on_settled)

    return make


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """What was said on the command line, as the plan names it."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    for name, wanted in (
        ("day", "day_seconds"),
        ("duration", "duration_seconds"),
        ("fault_every", "fault_every_seconds"),
    ):
        if name in given:
            given[wanted] = _seconds(name, given.pop(name))
    if "listen" in given:
        given["listen"] = config.parse_address(given["listen"])
    if "faults" in given:
        given["faults"] = _faults(given["faults"])
    return given


def _seconds(name: str, text: str) -> float:
    try:
        length = seconds(text)
    except UnfitError as error:
        raise UsageError(f"--{name.replace('_', '-')} {text}: a time with its unit, such as 90s or 10m") from error
    if length < 1.0:
        raise UsageError(f"--{name.replace('_', '-')} {text}: at least 1s")
    return length


def _faults(text: str) -> tuple[str, ...]:
    from exporter.simulate.faults import FAULTS  # noqa: PLC0415 - only this command needs it

    names = FAULTS if text == "all" else tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in FAULTS:
            raise UsageError(f"--faults {name}: all, or some of {', '.join(FAULTS)}")
    return names


COMMAND = Command("simulate", "simulate GPUs and inference servers, and meter them", _add_arguments, _run)
