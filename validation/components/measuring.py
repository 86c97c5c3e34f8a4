"""The measuring as a process: case after case while there is time, each result written as it comes.

    python3 -m validation.components --seconds 100 --results DIR [--fake]

What fails is said and passed over. On the fake board models run on the CPU, whose load its watts follow.
"""

import argparse
import gc
import sys
import time
from pathlib import Path

from exporter.components.actions.measuring import place_of
from exporter.components.book import Book
from exporter.components.metering import Meter, Place, metering
from exporter.components.models import prepare
from exporter.components.plan import Plan
from exporter.components.study import study
from exporter.domain.errors import ExporterError
from validation.components.orders import FAKE_PLAN, Launched, case_seconds, orders, plan_for

FAILED = "failed: "
FAKE_BOARD = Place("the fake board")
"""Where models run on the CPU and are metered by a GPU that is none."""


def main() -> None:
    """Measure until the time is up."""
    parser = argparse.ArgumentParser(prog="python3 -m validation.components")
    parser.add_argument("--seconds", type=float, required=True, help="how long it may take, imports included")
    parser.add_argument("--results", type=Path, required=True, metavar="DIR", help="where results.json goes")
    parser.add_argument("--fake", action="store_true")
    asked = parser.parse_args()
    until = time.monotonic() + asked.seconds
    try:
        _measure(until, Book(asked.results), fake=asked.fake)
    except ExporterError as error:
        sys.exit(f"{FAILED}{error}")


def _measure(until: float, book: Book, *, fake: bool) -> None:
    _say("importing PyTorch")
    place = place_of("cpu" if fake else "cuda")
    waiting = orders(fake=fake)
    plan = FAKE_PLAN if fake else plan_for(until - time.monotonic(), len(waiting))
    _say(f"{plan.counter_seconds:.2g} s of each part in {plan.trials} trials, about {case_seconds(plan):.0f} s a case")
    with metering(FAKE_BOARD if fake else place, "nvml") as meter:
        longest = 0.0
        for number, one in enumerate(waiting):
            needed = longest or case_seconds(plan)
            if number and until - time.monotonic() < needed:  # the first is tried in any case
                _say(f"{len(waiting) - number} cases are left out, from {one.words()} on: no time is left")
                return
            began = time.monotonic()
            _case(one, place, meter, plan, book)
            longest = max(longest, time.monotonic() - began)


def _case(one: Launched, place: Place, meter: Meter, plan: Plan, book: Book) -> None:
    """One of them; whatever goes wrong with it is said, and the next one comes."""
    began = time.monotonic()
    try:
        subject = prepare(one.order.model, one.order.case, device=place.torch_device, launch=one.launch)
        built = time.monotonic()
        book.add(study(subject, meter.source, meter.device, meter.clock, plan, lambda *_: None))
        took = time.monotonic() - began
        _say(f"{one.words()}: {took:.0f} s, {built - began:.0f} s of them to build it")
    except (ExporterError, MemoryError, RuntimeError) as error:  # PyTorch says all it has to say by RuntimeErrors
        words = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        _say(f"{FAILED}{one.words()}: {words}")
    gc.collect()  # a model of many gigabytes must be gone before the next one comes


def _say(text: str) -> None:
    print(text, flush=True)
