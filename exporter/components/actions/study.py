"""`components study`: all fifteen models, prefill and decode, then claims, plots, a report. Can be taken up again."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from exporter.components.actions import measuring
from exporter.components.actions.measure import without_meaningless
from exporter.components.book import Book
from exporter.components.metering import Place
from exporter.components.models import CATALOGUE, SMALL_CATALOGUE
from exporter.components.page import markdown
from exporter.components.sweep import Order, Outcome, grid
from exporter.dissections.files import write_text
from exporter.domain.dissection import Case, Dissection, ForwardPhase
from exporter.domain.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    usual = Case()
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="results, plots and report.md")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="only these")
    parser.add_argument(
        "--size", choices=("auto", "full", "small"), default="auto", help="of all fifteen (auto: small on a CPU)"
    )
    parser.add_argument(
        "--phase", nargs="+", choices=get_args(ForwardPhase), default=get_args(ForwardPhase), help="(both)"
    )
    parser.add_argument("--batch", nargs="+", type=measuring.whole, default=[usual.batch], metavar="N", help="(1)")
    parser.add_argument(
        "--sequence",
        nargs="+",
        type=measuring.whole,
        default=[usual.sequence],
        metavar="N",
        help=f"three or more give E = E0 + k x FLOPs ({usual.sequence})",
    )
    parser.add_argument("--dtype", metavar="DTYPE", help="(bfloat16; float32 on a CPU)")
    parser.add_argument("--note", action="append", default=[], metavar="TEXT", help="a paragraph for the report")
    measuring.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Measure what is not there yet; then write the report on all that is.

    Raises:
        UsageError: a model is not known.
        ExporterError: nothing can be measured here.
    """
    measuring.plan_of(options)
    book = Book(options.out)
    place = measuring.place_of(options.device)
    orders = _orders(options, place)
    left = [order for order in orders if not any(is_there(order, one, place, options.launch) for one in book.results)]
    if len(left) < len(orders):
        print(f"{len(orders) - len(left)} of {len(orders)} cases are in {book.path} already", file=sys.stderr)
    outcome = measuring.measure(left, place, book, options, tables=False) if left else Outcome(0, [])
    if book.results:
        _report(_in_order(book.results, orders), options)
    return measuring.code_of(outcome, book)


def _orders(options: argparse.Namespace, place: Place) -> list[Order]:
    small = options.size == "small" or (options.size == "auto" and not place.is_gpu)
    known = SMALL_CATALOGUE if small else CATALOGUE
    if options.models and options.size != "auto":
        raise UsageError("--size: of no use with --models, whose names say the size (gpt2, gpt2-small)")
    for name in options.models or ():
        if name not in {**CATALOGUE, **SMALL_CATALOGUE}:
            raise UsageError(f"--models {name}: no such model; one of {', '.join(known)}")
    dtype = options.dtype or ("bfloat16" if place.is_gpu else "float32")
    cases = [
        Case(phase, batch, sequence, dtype)
        for phase in options.phase
        for batch in options.batch
        for sequence in options.sequence
    ]
    return without_meaningless(grid(options.models or known, cases))


def is_there(order: Order, one: Dissection, place: Place, launch: str) -> bool:
    """Whether a result is what was ordered. Which attention a model can have is the model's affair."""
    same_case = replace(one.case, attention=order.case.attention) == order.case
    same_kind = one.device.kind == ("gpu" if place.is_gpu else "cpu")
    same_device = same_kind and (not place.uuid or one.device.uuid == place.uuid)
    return (one.model, one.launch, one.weights) == (order.model, launch, "random") and same_case and same_device


def _in_order(results: Sequence[Dissection], orders: Iterable[Order]) -> list[Dissection]:
    """As the catalogue has them, whatever came first."""
    places = {name: number for number, name in enumerate(dict.fromkeys(order.model for order in orders))}
    return sorted(
        results,
        key=lambda one: (
            places.get(one.model, len(places)),
            one.case.phase != "prefill",
            one.case.batch,
            one.case.sequence,
        ),
    )


def _report(results: Sequence[Dissection], options: argparse.Namespace) -> None:
    pictures = [] if options.no_plots else measuring.plotted(results, options.out)
    path = options.out / "report.md"
    write_text(path, markdown(results, pictures, options.note))
    print(f"written: {path}")
