"""Work in chunks: so many runs of a part as take about so long, and then the device is waited for.

Between chunks the sensor may be asked, and by then it is known how many runs are done. A chunk that is too short would
spend its time in waiting for the device, so there is a least one: waiting may take a twentieth of it.
"""

from collections.abc import Callable
from typing import Protocol

from exporter.components.plan import BenchClock

_WAIT_SHARE = 0.05
_TRIES = 5
"""Whoever is interrupted while waiting seems to wait for long."""
_LONGEST_JUMP = 4.0
"""A run that seems this much shorter than the one before was timed too coarsely to be believed at once."""


class Work(Protocol):
    """Something that can be done in chunks."""

    @property
    def runs(self) -> float:
        """How many are done."""
        ...

    def go(self, seconds: float) -> None:
        """Work for about so long; when this returns, all of it is done."""
        ...


class Repetition:
    """Runs of a part.

    Args:
        run: runs it so many times; may return before the device is done.
        synchronise: waits for the device.
        clock: what it is timed by.
    """

    def __init__(self, run: Callable[[int], None], synchronise: Callable[[], None], clock: BenchClock) -> None:
        self._run = run
        self._synchronise = synchronise
        self._clock = clock
        self._run_seconds = 0.0
        self._least_seconds = 0.0
        self.runs = 0.0

    def go(self, seconds: float) -> None:
        """One chunk."""
        assert self._run_seconds > 0.0, "warm up first: nobody knows how long a run takes"
        count = max(round(max(seconds, self._least_seconds) / self._run_seconds), 1)
        self._learn(self._timed(count) / count)

    def warm_up(self, seconds: float) -> None:
        """Run until a chunk takes about so long: libraries have loaded, kernels are chosen, a run's length is known."""
        self._timed(1)  # the first run loads and compiles: it says nothing of the others
        self._least_seconds = self._waiting() / _WAIT_SHARE
        target = max(seconds, self._least_seconds)
        count, elapsed = 1, self._timed(1)
        while elapsed < 0.5 * target:
            count *= max(min(int(target / elapsed), 10), 2) if elapsed > 0.0 else 10
            elapsed = self._timed(count)
        self._run_seconds = elapsed / count

    def _timed(self, count: int) -> float:
        began = self._clock.now()
        if count:
            self._run(count)
        self._synchronise()
        self.runs += count
        return self._clock.now() - began

    def _waiting(self) -> float:
        """What it takes to wait for a device that has nothing to do."""
        return min(self._timed(0) for _ in range(_TRIES))

    def _learn(self, run_seconds: float) -> None:
        self._run_seconds = max(run_seconds, self._run_seconds / _LONGEST_JUMP)


class Rest:
    """Nothing at all; its runs are seconds."""

    def __init__(self, clock: BenchClock) -> None:
        self._clock = clock
        self._began = clock.now()

    @property
    def runs(self) -> float:
        """Seconds since it began."""
        return self._clock.now() - self._began

    def go(self, seconds: float) -> None:
        """Sleep."""
        self._clock.sleep(seconds)
