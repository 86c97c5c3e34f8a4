"""`calibrate`: what was learned here, for where nothing is metered."""

import argparse
from types import ModuleType

from exporter.cli.command import Command


def _actions() -> tuple[tuple[str, str, ModuleType], ...]:
    """Each action's name, what it does, and the module that declares its arguments and does it."""
    from exporter.calibrate import check, export, importing, match, show  # noqa: PLC0415 - only this command needs them

    return (
        ("export", "write what a running or stopped exporter has learned to a file", export),
        ("show", "look at such a file", show),
        ("check", "find out whether such a file can be used", check),
        ("import", "put such a file into a state directory, to estimate with", importing),
        ("match", "find out which of several such files the times of a remote server fit", match),
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    for name, text, module in _actions():
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.set_defaults(action=module.run)
        module.add_arguments(action)


def _run(options: argparse.Namespace) -> int:
    code: int = options.action(options)
    return code


COMMAND = Command("calibrate", "carry what was learned here to where nothing is metered", _add_arguments, _run)
