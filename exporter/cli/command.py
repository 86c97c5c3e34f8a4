"""What a command is to the command line."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

Action = tuple[str, str, ModuleType]
"""Its name, what it does, and the module that declares its arguments (`add_arguments`) and does it (`run`)."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        name: as typed. text: what it does, lower case, without a full stop.
        add_arguments: declares its arguments.
        run: does it; returns the exit code.
    """

    name: str
    text: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]

    def add_to(self, commands: Any, *, whole: bool) -> None:
        """Declare it among the subparsers; not `whole`, without its arguments and what these import."""
        description = self.text[0].upper() + self.text[1:] + "."
        parser: argparse.ArgumentParser = commands.add_parser(self.name, help=self.text, description=description)
        parser.set_defaults(command=self)
        if whole:
            self.add_arguments(parser)


def with_actions(name: str, text: str, actions: Callable[[], Sequence[Action]]) -> Command:
    """A command that is several. `actions` is called, and may import, only when the command was typed."""

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parsers = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
        for called, what, module in actions():
            action = parsers.add_parser(called, help=what, description=what[0].upper() + what[1:] + ".")
            action.set_defaults(action=module.run)
            module.add_arguments(action)

    return Command(name, text, add_arguments, _run_action)


def _run_action(options: argparse.Namespace) -> int:
    code: int = options.action(options)
    return code
