"""What `measure` and `study` share: how long is measured, on what, and running it with results written as they come."""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from exporter.components import words
from exporter.components.book import Book
from exporter.components.metering import Meter, Place, metering
from exporter.components.models import Launch, prepare
from exporter.components.plan import Plan
from exporter.components.plots import draw
from exporter.components.progress import Bar
from exporter.components.study import study
from exporter.components.subject import Subject
from exporter.components.sweep import Order, Outcome, Watcher, run
from exporter.components.table import READING, table
from exporter.domain.dissection import Dissection
from exporter.domain.errors import ComponentsError, UsageError
from exporter.power.select import AUTO, SOURCES

QUICK = Plan(trials=3, counter_seconds=1.0, lead_seconds=0.2, rest_seconds=0.3, idle_seconds=1.0)
_PARTS = 9
"""About so many has a model, its own run included."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is common to both."""
    usual = Plan()
    parser.add_argument("--device", default="auto", help="auto (the first GPU, if there is one), cpu, cuda, cuda:1")
    parser.add_argument("--launch", choices=("eager", "graph"), default="eager", help="graph: by CUDA graphs")
    parser.add_argument("--trials", type=whole, metavar="N", help=f"rounds through all components ({usual.trials})")
    parser.add_argument(
        "--seconds",
        type=seconds,
        metavar="S",
        help=f"counter time of each component in each trial ({usual.counter_seconds:g})",
    )
    parser.add_argument("--rest", type=seconds, metavar="S", help=f"between trials ({usual.rest_seconds:g})")
    parser.add_argument("--quick", action="store_true", help="a first look: three trials of a second, short rests")
    parser.add_argument("--source", choices=(AUTO, *SOURCES), default=AUTO, help="the power source (auto)")
    parser.add_argument("--gpu", metavar="GPU", help="index, UUID or PCI bus id of the GPU that is metered")
    parser.add_argument("--seed", type=int, default=0, help="of random weights and tokens (0)")
    parser.add_argument("--no-plots", action="store_true", help="draw nothing")


def whole(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def seconds(text: str) -> float:
    """A number of seconds, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def plan_of(options: argparse.Namespace) -> Plan:
    """How it is to be measured.

    Raises:
        UsageError: it cannot be measured so.
    """
    plan = QUICK if options.quick else Plan()
    given = {"trials": options.trials, "counter_seconds": options.seconds, "rest_seconds": options.rest}
    if options.seconds is not None:
        given["idle_seconds"] = options.seconds
    try:
        return replace(plan, **{name: value for name, value in given.items() if value is not None})
    except ComponentsError as error:
        raise UsageError(str(error)) from error


def place_of(device: str) -> Place:
    """Where a model will run.

    Raises:
        ComponentsError: PyTorch is missing, or has no such device.
    """
    try:
        from exporter.components.models.where import torch_device  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ComponentsError(
            f"cannot import {error.name}: models need PyTorch and Transformers; "
            "pip install 'llm-energy-exporter[components]'"
        ) from error
    return Place(*torch_device(device))


def about(plan: Plan, cases: int) -> str:
    """How long it will take, roughly."""
    each = plan.counter_seconds + plan.lead_seconds + plan.rest_seconds
    minutes = cases * plan.trials * (_PARTS * each + plan.idle_seconds) / 60.0
    if minutes < 1.5:
        return f"{minutes * 60.0:.0f} seconds"
    return f"{minutes:.0f} minutes" if minutes < 100.0 else f"{minutes / 60.0:.0f} hours"


@dataclass(slots=True)
class _Teller(Watcher):
    """Tells a person, and writes what was found."""

    book: Book
    bar: Bar
    tables: bool
    notes: list[str] = field(default_factory=list)

    def began(self, number: int, order: Order) -> None:
        self.bar.done, self.bar.title = number, order.words()
        self.bar.show("building the model", 0.0)

    def found(self, result: Dissection) -> None:
        self.bar.clear()
        self.book.add(result)
        if self.tables:
            print("\n".join(table(result)), end="\n\n", flush=True)

    def failed(self, order: Order, why: str) -> None:
        self.bar.clear()
        print(f"failed: {order.words()}: {why}", file=sys.stderr, flush=True)


def measure(orders: Sequence[Order], place: Place, book: Book, options: argparse.Namespace, *, tables: bool) -> Outcome:
    """Study all of these; results are written after each case."""
    plan = plan_of(options)
    with metering(place, options.source, options.gpu) as meter:
        _announce(meter, plan, len(orders))
        bar = Bar(sys.stderr, of=len(orders))
        outcome = run(orders, _preparing(place, options), _studying(meter, plan, bar), _Teller(book, bar, tables))
        bar.clear()
    if tables and outcome.measured:
        print("\n".join(READING))
    return outcome


def _announce(meter: Meter, plan: Plan, cases: int) -> None:
    for note in meter.notes:
        print(note, file=sys.stderr)
    said = f"{cases} case{'s' if cases != 1 else ''}, about {about(plan, cases)}"
    print(
        f"{said}; energy of {words.device_words(meter.device)}: {words.how(meter.device)}", file=sys.stderr, flush=True
    )


def _preparing(place: Place, options: argparse.Namespace) -> Callable[[Order], Subject]:
    launch: Launch = options.launch
    weights: str | None = getattr(options, "weights", None)

    def preparing(order: Order) -> Subject:
        return prepare(
            order.model,
            order.case,
            device=place.torch_device,
            changes=order.changes,
            weights=weights,
            launch=launch,
            seed=options.seed,
        )

    return preparing


def _studying(meter: Meter, plan: Plan, bar: Bar) -> Callable[[Subject], Dissection]:
    return lambda subject: study(subject, meter.source, meter.device, meter.clock, plan, bar.show)


def plotted(results: Sequence[Dissection], folder: Path, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Draw, or say why not: the figures are there without them."""
    try:
        return draw(results, folder, formats)
    except ComponentsError as error:
        print(f"no plots: {error}", file=sys.stderr)
        return []


def code_of(outcome: Outcome, book: Book) -> int:
    """Say where the results are; the exit code."""
    if outcome.interrupted:
        print(f"stopped: {outcome.measured} measured, kept in {book.path}", file=sys.stderr)
        return 130
    if outcome.failed:
        cases = outcome.measured + len(outcome.failed)
        said = f"{len(outcome.failed)} of {cases} case{'s' if cases != 1 else ''} failed"
        others = f"; the others are in {book.path}" if outcome.measured else ""
        print(f"llm-energy-exporter: {said}{others}", file=sys.stderr)
        return 1
    return 0
