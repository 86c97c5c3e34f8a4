"""`tune`: the power limit or locked clock at which a token costs least, under a latency objective."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from exporter.cli.command import Command
from exporter.domain.errors import UsageError

if TYPE_CHECKING:
    from exporter.tune.load import Plan
    from exporter.tune.objective import Objective
    from exporter.tune.session import Options

_SIZES = ("concurrency", "prompt_tokens", "output_tokens")
"""Of a load; what is not said is as `Plan` has it."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from exporter.web import add_access_arguments  # noqa: PLC0415 - only commands that ask somebody need it

    what = parser.add_argument_group("what is tried")
    what.add_argument("--knob", choices=("clocks", "power_limit"), default="clocks", help="what is turned (clocks)")
    what.add_argument("--gpu", nargs="+", default=[], metavar="GPU", help="index, UUID or bus id; those of the server")
    what.add_argument("--objective", metavar="pQ=TIME", help="such as p95=20s, ttft:p99=800ms; whole requests or TTFT")
    what.add_argument("--max-slowdown", type=float, metavar="X", help="seconds a token against the default (1.1)")
    what.add_argument("--trials", type=int, default=15, metavar="N", help="at most (15)")
    what.add_argument("--seconds", type=float, default=60.0, metavar="S", help="measured in each trial (60)")
    what.add_argument("--requests", type=int, default=30, metavar="N", help="longer, until so many settled (30)")
    what.add_argument("--max-wait", type=float, default=180.0, metavar="S", help="for a steady state (180)")
    _add_doing(parser.add_argument_group("what is done: without --apply nothing is changed"))
    _add_exporter(parser.add_argument_group("whose books"))
    _add_load(parser.add_argument_group("a load, where there is no traffic"))
    add_access_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_doing(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--apply", action="store_true", help="try settings; everything is put back at the end")
    group.add_argument("--keep", action="store_true", help="with --apply: leave what is recommended")
    group.add_argument("--restore", action="store_true", help="put back what a killed tuner left, and nothing else")


def _add_exporter(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--exporter", default="http://127.0.0.1:9460", metavar="URL", help="the running exporter's")
    group.add_argument("--server", nargs="+", default=[], metavar="NAME", help="whose requests count")
    group.add_argument("--allow-estimated", action="store_true", help="tune by energy that nobody measured")


def _add_load(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--load", metavar="URL", help="an OpenAI-compatible server, to be asked all the time")
    group.add_argument("--model", metavar="NAME", help="of the requests")
    group.add_argument("--concurrency", type=int, metavar="N", help="requests at once (16)")
    group.add_argument("--prompt-tokens", type=int, metavar="N", help="of each, about (500)")
    group.add_argument("--output-tokens", type=int, metavar="N", help="of each (200)")
    group.add_argument("--api-key-env", metavar="VAR", help="environment variable with the server's key")


def _run(options: argparse.Namespace) -> int:
    from exporter.tune import session  # noqa: PLC0415 - only this command needs it

    if options.restore:
        if options.apply:
            raise UsageError("--restore and --apply: one of them; --apply puts back first what was left")
        return session.restore(sys.stdout, json=options.json)
    if options.keep and not options.apply:
        raise UsageError("--keep: only with --apply: nothing is recommended before it was tried")
    return session.run(_chosen(options), sys.stdout)


def _chosen(options: argparse.Namespace) -> "Options":
    from exporter.tune.books import metrics_of  # noqa: PLC0415 - as above
    from exporter.tune.session import Options  # noqa: PLC0415
    from exporter.tune.trials import Pace  # noqa: PLC0415
    from exporter.web import access_of  # noqa: PLC0415

    for name, least in (("trials", 2), ("seconds", 0.5), ("requests", 1), ("max_wait", 0.5)):
        if not getattr(options, name) >= least:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name):g}: at least {least:g}")
    access = access_of(options)
    metrics_of(options.exporter, access)  # wrong ones are refused before anything is asked
    return Options(
        knob=options.knob,
        exporter=options.exporter,
        access=access,
        servers=options.server,
        gpus=options.gpu,
        objective=_objective(options),
        pace=Pace(options.seconds, options.requests, options.max_wait),
        most_trials=options.trials,
        load=_load(options),
        apply=options.apply,
        keep=options.keep,
        allow_estimated=options.allow_estimated,
        json=options.json,
    )


def _objective(options: argparse.Namespace) -> "Objective":
    from exporter.tune import objective  # noqa: PLC0415 - as above
    from exporter.tune.session import DEFAULT_SLOWDOWN  # noqa: PLC0415

    if options.objective is not None and options.max_slowdown is not None:
        raise UsageError("--objective and --max-slowdown: one of them")
    if options.objective is not None:
        return objective.parse(options.objective)
    return objective.slowdown(DEFAULT_SLOWDOWN if options.max_slowdown is None else options.max_slowdown)


def _load(options: argparse.Namespace) -> "Plan | None":
    from exporter.completions.client import Target, endpoint  # noqa: PLC0415 - as above
    from exporter.tune.load import Plan  # noqa: PLC0415

    if options.load is None:
        for name in ("model", "api_key_env", *_SIZES):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')}: of no use without --load URL")
        return None
    endpoint(options.load, "chat", "--load")
    if not options.model:
        raise UsageError("--load: which model is asked for? --model NAME")
    sizes = {name: getattr(options, name) for name in _SIZES if getattr(options, name) is not None}
    for name, size in sizes.items():
        if size < 1:
            raise UsageError(f"--{name.replace('_', '-')} {size}: at least 1")
    target = Target(options.load, options.model, _secret("--api-key-env", options.api_key_env))
    return Plan(target, **sizes)


def _secret(option: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    if variable not in os.environ:
        raise UsageError(f"{option} {variable}: there is no such environment variable")
    return os.environ[variable]


COMMAND = Command(
    "tune", "find the power limit or clock at which a token costs least; dry run by default", _add_arguments, _run
)
