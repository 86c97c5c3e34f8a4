"""One study after the other: models by cases by changes. What fails is said and passed over; what was found is kept."""

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Protocol

from exporter.components import words
from exporter.components.subject import Subject
from exporter.domain.dissection import Case, Dissection
from exporter.domain.errors import ComponentsError


@dataclass(frozen=True, slots=True)
class Order:
    """One study that is asked for. `changes`: of the configuration, as `prepare` takes them."""

    model: str
    case: Case
    changes: Mapping[str, int] = field(default_factory=dict)

    def words(self) -> str:
        """`gpt2, prefill, batch 1, sequence 128, float32, sdpa, heads 4`."""
        changed = "".join(f", {name} {value}" for name, value in self.changes.items())
        return f"{self.model}, {words.case_words(self.case)}{changed}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a sweep went. `failed`: words for each case that did, and why. `interrupted`: whether somebody ended it."""

    measured: int
    failed: Sequence[tuple[Order, str]]
    interrupted: bool = False


def grid(
    models: Iterable[str], cases: Iterable[Case], changes: Mapping[str, Sequence[int]] | None = None
) -> list[Order]:
    """Every model under every case with every combination of changes."""
    swept = {name: values for name, values in (changes or {}).items() if values}
    combinations = [dict(zip(swept, values, strict=True)) for values in product(*swept.values())]
    return [Order(*each) for each in product(models, cases, combinations)]


Prepare = Callable[[Order], Subject]
Measure = Callable[[Subject], Dissection]


class Watcher(Protocol):
    """Who is told how a sweep goes."""

    def began(self, number: int, order: Order) -> None:
        """This one is next."""
        ...

    def found(self, result: Dissection) -> None:
        """This came out."""
        ...

    def failed(self, order: Order, why: str) -> None:
        """Nothing came out, and why, in a line."""
        ...


def run(orders: Sequence[Order], prepare: Prepare, measure: Measure, watcher: Watcher) -> Outcome:
    """Study everything that is asked for.

    Args:
        orders: in this order.
        prepare: makes what is asked for ready.
        measure: studies it.
        watcher: told of each.
    """
    measured, failures = 0, list[tuple[Order, str]]()
    try:
        for number, order in enumerate(orders):
            watcher.began(number, order)
            why = _one(order, prepare, measure, watcher)
            gc.collect()  # a model of many gigabytes must be gone before the next one comes
            if why is None:
                measured += 1
            else:
                failures.append((order, why))
                watcher.failed(order, why)
    except KeyboardInterrupt:
        return Outcome(measured, failures, interrupted=True)
    return Outcome(measured, failures)


def _one(order: Order, prepare: Prepare, measure: Measure, watcher: Watcher) -> str | None:
    """Why it failed; None where it did not. What the watcher raises ends the sweep."""
    try:
        result = measure(prepare(order))
    except (ComponentsError, MemoryError, RuntimeError) as error:  # PyTorch says all it has to say by RuntimeErrors
        return _line(error)
    watcher.found(result)
    return None


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
