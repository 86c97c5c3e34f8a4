"""How a study is to be measured, the clock it goes by, and who is told how far it has come."""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol

from exporter.clock import SystemClock
from exporter.domain.errors import ComponentsError
from exporter.domain.units import Instant

Progress = Callable[[str, float], None]
"""Told what is being measured, in words, and which share of the study is done, from 0 to 1."""


class BenchClock(Protocol):
    """What the bench goes by. The power source must have been opened with this very clock's `now`."""

    def now(self) -> Instant:
        """The present instant: Unix seconds on a clock that never steps."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let so much time pass without work."""
        ...


class SystemBenchClock:
    """This machine's."""

    def __init__(self) -> None:
        self._clock = SystemClock()

    def now(self) -> Instant:
        """The present instant."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Let so much time pass without work."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Plan:
    """How often and for how long everything is measured.

    Attributes:
        trials: rounds through all parts.
        counter_seconds: how long a part is measured in each trial, from one step of the counter to another.
        lead_seconds: how long it runs before that, at least; two steps of the sensor and its window where these are
            longer.
        rest_seconds: between trials, nothing running.
        idle_seconds: how long idle power is measured, once before each round.
        poll_seconds: the sensor is asked no more often than this.
        patience_seconds: the most that is waited for a sensor that says nothing new.

    Raises:
        ComponentsError: a value that cannot be.
    """

    trials: int = 5
    counter_seconds: float = 5.0
    lead_seconds: float = 0.5
    rest_seconds: float = 5.0
    idle_seconds: float = 5.0
    poll_seconds: float = 0.002
    patience_seconds: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0.0 < value < float("inf") and not (value == 0.0 and field.name in _MAY_BE_NOTHING):
                raise ComponentsError(f"{field.name} is {value:g}: it must be above 0")


_MAY_BE_NOTHING = ("lead_seconds", "rest_seconds")
