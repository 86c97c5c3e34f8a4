"""`components measure`: take models apart under every combination of what is swept."""

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from exporter.components.actions import measuring
from exporter.components.book import Book
from exporter.components.fit import lines
from exporter.components.models import CATALOGUE, SMALL_CATALOGUE
from exporter.components.sweep import Order, grid
from exporter.components.table import fits
from exporter.domain.dissection import Case, ForwardPhase
from exporter.domain.errors import UsageError

_SWEPT = {"heads": "--heads", "hidden_size": "--hidden-size", "layers": "--layers"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments. What takes several values is swept."""
    usual = Case()
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a name that `list` lists, or a directory")
    parser.add_argument("--phase", nargs="+", choices=get_args(ForwardPhase), default=[usual.phase], help="(prefill)")
    _several(parser, "--batch", [usual.batch], "sequences side by side (1)")
    _several(parser, "--sequence", [usual.sequence], f"tokens of each, in decode those in the cache ({usual.sequence})")
    _several(parser, "--heads", [], "attention heads, instead of the model's own")
    _several(parser, "--hidden-size", [], "width, instead of the model's own")
    _several(parser, "--layers", [], "blocks, instead of the model's own")
    parser.add_argument(
        "--dtype",
        nargs="+",
        default=[],
        metavar="DTYPE",
        help="float32, bfloat16, float16 (bfloat16; float32 on a CPU)",
    )
    parser.add_argument(
        "--attention", default=usual.attention, help=f"implementation, as Transformers has it ({usual.attention})"
    )
    parser.add_argument("--weights", metavar="PATH", help="a directory with weights (random weights without it)")
    parser.add_argument("--out", type=Path, default=Path("components"), metavar="DIR", help="(components)")
    measuring.add_arguments(parser)


def _several(parser: argparse.ArgumentParser, flag: str, default: Sequence[int], text: str) -> None:
    parser.add_argument(flag, nargs="+", type=measuring.whole, default=default, metavar="N", help=text)


def run(options: argparse.Namespace) -> int:
    """Measure; results, CSV and plots go to the folder.

    Raises:
        UsageError: nothing is left to be measured.
        ExporterError: nothing can be measured here.
    """
    _check(options)
    measuring.plan_of(options)
    book = Book(options.out)
    place = measuring.place_of(options.device)
    orders = _orders(options, "bfloat16" if place.is_gpu else "float32")
    outcome = measuring.measure(orders, place, book, options, tables=True)
    told = fits(lines(book.results))
    if told:
        print("\n" + "\n".join(told))
    if outcome.measured:
        drawn = [] if options.no_plots else measuring.plotted(book.results, options.out)
        written = ", ".join(path.name for path in (book.path, options.out / "components.csv", *drawn))
        print(f"\nwritten to {options.out}: {written}")
    return measuring.code_of(outcome, book)


def _check(options: argparse.Namespace) -> None:
    known = {**CATALOGUE, **SMALL_CATALOGUE}
    if options.weights is not None and len(options.models) > 1:
        raise UsageError("--weights are those of one model, so name only one")
    strange = [name for name in options.models if name not in known and not Path(name).is_dir()]
    if strange and options.weights is None:
        alike = " or ".join(get_close_matches(strange[0], known, 2))
        raise UsageError(
            f"{strange[0]}: neither a name that `components list` lists nor a directory with a config.json"
            + (f"; did you mean {alike}?" if alike else "")
        )


def _orders(options: argparse.Namespace, dtype: str) -> list[Order]:
    cases = [
        Case(phase, batch, sequence, kind, options.attention)
        for kind in options.dtype or [dtype]
        for phase in options.phase
        for batch in options.batch
        for sequence in options.sequence
    ]
    changes = {name: getattr(options, name) for name in _SWEPT}
    return without_meaningless(grid(options.models, cases, changes))


def without_meaningless(orders: Sequence[Order]) -> list[Order]:
    """An encoder decodes nothing: that is said, and is no failure.

    Raises:
        UsageError: nothing else was asked for.
    """
    encoders = [order for order in orders if order.case.phase == "decode" and _is_encoder(order.model)]
    left = [order for order in orders if order not in encoders]
    if not left:
        raise UsageError("encoders read all tokens at once and decode none: ask for --phase prefill")
    if encoders:
        names = ", ".join(dict.fromkeys(order.model for order in encoders))
        print(f"no decode: {names} read all tokens at once", file=sys.stderr)
    return left


def _is_encoder(model: str) -> bool:
    entry = CATALOGUE.get(model) or SMALL_CATALOGUE.get(model)
    return entry is not None and entry.architecture == "encoder"
