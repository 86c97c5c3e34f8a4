"""`components`: where inside a model the energy goes."""

import argparse
from types import ModuleType

from exporter.cli.command import Command


def _actions() -> tuple[tuple[str, str, ModuleType], ...]:
    """Each action's name, what it does, and the module that declares its arguments and does it."""
    from exporter.components.actions import claims, listing, measure, plot, study  # noqa: PLC0415 - only here

    return (
        ("list", "list the models that are ready by name", listing),
        ("measure", "measure models component by component; what takes several values is swept", measure),
        ("study", "measure all fifteen models, hold the paper's claims against them and write a report", study),
        ("plot", "draw results", plot),
        ("claims", "hold the paper's three claims against results", claims),
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


COMMAND = Command("components", "measure where inside a model the energy goes (CLEAR)", _add_arguments, _run)
