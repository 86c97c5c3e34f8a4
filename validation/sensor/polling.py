"""Asking sensors again and again, and what came of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import numpy as np
import pynvml
from numpy.typing import NDArray

from validation.sensor.sensors import Question

Floats = NDArray[np.float64]
MOST_SAMPLES = 200_000
"""Of one sensor: a few minutes at a kilohertz. Asking goes on after that and nothing more is kept."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What one sensor said.

    Attributes:
        at: middle of each call, seconds. value: mJ or mW. call: seconds that the call took.
        failures: calls that were not answered; there is no sample of them.
    """

    at: Floats
    value: Floats
    call: Floats
    failures: int = 0

    def between(self, start: float, end: float) -> "Samples":
        """Those of a while."""
        inside = (self.at >= start) & (self.at <= end)
        return Samples(self.at[inside], self.value[inside], self.call[inside], self.failures)


@dataclass(slots=True)
class Record:
    """Samples while they come in."""

    at: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    call: list[float] = field(default_factory=list)
    failures: int = 0

    def ask(self, question: Question, now: Callable[[], float]) -> None:
        """Once."""
        before = now()
        try:
            value = question.ask()
        except pynvml.NVMLError:
            self.failures += 1
            return
        after = now()
        if len(self.at) < MOST_SAMPLES:
            self.at.append((before + after) / 2)
            self.value.append(value)
            self.call.append(after - before)

    def samples(self) -> Samples:
        """All of them so far."""
        return Samples(np.array(self.at), np.array(self.value), np.array(self.call), self.failures)


def poll(
    questions: Sequence[Question],
    now: Callable[[], float],
    wait: Callable[[float], object],
    is_over: Callable[[], bool],
    pause_seconds: float,
) -> dict[str, Samples]:
    """Ask them one after the other, pause, and again, until it is over."""
    records = {question.name: Record() for question in questions}
    while not is_over():
        for question in questions:
            records[question.name].ask(question, now)
        wait(pause_seconds)
    return {name: record.samples() for name, record in records.items()}


@contextmanager
def polling(
    questions: Sequence[Question], now: Callable[[], float], pause_seconds: float
) -> Iterator[dict[str, Samples]]:
    """Ask from a thread while something else happens in here; the samples are there once that is over."""
    ended = Event()
    samples: dict[str, Samples] = {}

    def ask() -> None:
        samples.update(poll(questions, now, ended.wait, ended.is_set, pause_seconds))

    thread = Thread(target=ask, name="polling", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()
