"""What a command is to the command line."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


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
