"""Coarse steps: when inside a slow counter's step its energy was used, as far as who ran when can tell it.

Theory of operation. A counter that is collected every half minute tells the energy of the whole step and nothing of
what happened inside it. Spread evenly, most of what a request of some seconds caused lands beside it. But once
everything has been told of the time of a step, two things are known: when nobody was there, and what the device draws
then. So each second without anybody gets the idle baseline, and the rest goes evenly to the seconds with somebody:

    joules = baseline x seconds without anybody + busy watts x seconds with somebody

    reading ---> spread evenly, waits ---- told of until its end ----> refined: joules move inside the step
                                     ---- has to settle before  ----> stays as it is: evenly

It stays evenly spread wherever that is not sound: nobody or somebody was there all the time; somebody may have been
there of whom nothing is known for sure; no baseline is known, or what it leaves for the busy time is less than itself;
power stood in for the counter, for samples do not know a whole step; one of its ends was not looked at closely, as in
a hole, so that this is the energy of some other time; or the exporter began inside it, so that not all of it may have
been told. More than the device can draw in the busy time is left to the idle time.

Refining moves joules only from slice to slice of one step, and only such as nobody was given yet: books balance at
every moment whether or not a step is ever refined. While a step waits the ledger's frontier stays at its beginning, so
that nothing settles in it.

Only what is given away is refined (`Slices.left`). What was metered (`Slices.energy`) stays as the counter told it:
the baseline, policies and proxies learn from that alone, and so never from what was made of their own opinion.

What remains wrong: busy seconds share evenly, though ten requests draw more than one. What the baseline is off by in
all idle seconds weighs on the busy ones, however few. Steps are dated as finely as the counter is looked at. And who
is told of later than its server usually tells finds the baseline in slices that were empty, and takes no more.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from exporter.domain.readings import Device
from exporter.ledger.claims import Claims, Floats
from exporter.ledger.company import suspicion
from exporter.ledger.slices import PRESENCE, Slices

COARSE_SECONDS = 1.0
"""Steps of devices as slow as this are refined: they are ten slices long, and not short beside a request. Sensors in
the machine step within a few slices, where evenly is as good; no other program collects faster than once a second."""
_LEAST_SECONDS = 1e-3
"""Busy or idle time shorter than this is rounding, or nothing that shows in a step."""
_NOBODY_SECONDS = 1e-9


@dataclass(frozen=True, slots=True)
class Step:
    """The energy of one step of a counter, [start, end)."""

    start: float
    end: float
    joules: float


class Ready(NamedTuple):
    """A step of which all has been told.

    Attributes:
        device: its index in the group.
        idle_watts: what it draws while nobody is there; None where not known.
        most_watts: what it can draw; infinite where not known.
    """

    device: int
    step: Step
    idle_watts: float | None
    most_watts: float


class CoarseSteps:
    """One device's steps that were spread evenly and wait to be refined, in order of time."""

    def __init__(self, device: Device) -> None:
        self.is_coarse = device.has_counter and device.period_seconds >= COARSE_SECONDS
        self.most_watts = device.limit_watts if device.limit_watts is not None else inf
        self._waiting: deque[Step] = deque()

    @property
    def since(self) -> float:
        """When the first step that waits begins; infinite where none does."""
        return self._waiting[0].start if self._waiting else inf

    def wait(self, step: Step) -> None:
        """This one was spread evenly just now."""
        if self.is_coarse:
            self._waiting.append(step)

    def take(self, told_until: float, settling_until: float) -> list[Step]:
        """Those of whose time all has been told; those that begin in what settles now wait no longer either."""
        ready = []
        while self._waiting and (self._waiting[0].end <= told_until or self._waiting[0].start < settling_until):
            step = self._waiting.popleft()
            if step.end <= told_until:
                ready.append(step)
        return ready

    def snapshot(self) -> list[tuple[float, ...]]:
        """What must survive a restart, as JSON values."""
        return [astuple(step) for step in self._waiting]

    def restore(self, snapshot: Iterable[Sequence[float]]) -> None:
        """Go on from a snapshot."""
        self._waiting = deque(Step(*saved) for saved in snapshot)


def refine(slices: Slices, ready: Iterable[Ready], running: Callable[[float], Sequence[Claims]]) -> None:
    """Move the energy of steps to when it was used.

    Args:
        slices: where it was spread evenly.
        ready: the steps.
        running: who runs, by lane, with lives up to an instant.
    """
    presences: dict[tuple[float, float], Floats | None] = {}  # boards that are collected together step together
    for one in ready:
        span = one.step.start, one.step.end
        if span not in presences:
            presences[span] = _presence(slices, one.step, running)
        presence = presences[span]
        if presence is not None and one.idle_watts is not None:
            seconds = slices.seconds_in(*span)
            busy = seconds * np.minimum(presence / slices.slice_seconds, 1.0)
            refined = split(one.step.joules, seconds, busy, (one.idle_watts, one.most_watts))
            slices.move(one.device, slices.number(one.step.start), refined - split_evenly(one.step.joules, seconds))


def _presence(slices: Slices, step: Step, running: Callable[[float], Sequence[Claims]]) -> Floats | None:
    """Of everybody in the slices of a step: request-seconds; None where these have closed, or it is not known."""
    first, stop = slices.number(step.start), slices.number(step.end) + 1
    if first < slices.closed:
        return None
    known: Floats = slices.occupancy(slices.reserve(running(step.end), first, stop))[PRESENCE].sum(axis=0)
    suspected = suspicion(slices.company, first, stop, slices.slice_seconds)
    return None if (suspected > known + _NOBODY_SECONDS).any() else known


def split(joules: float, seconds: Floats, busy: Floats, watts: tuple[float, float]) -> Floats:
    """The joules of each slice of a step, by who was there; evenly where only that is sound.

    Args:
        joules: of the whole step.
        seconds: of the step in each slice, of shape (slices,).
        busy: seconds of those with somebody there.
        watts: what the device draws while nobody is there, and what it can draw at most.
    """
    idle_watts, most_watts = watts
    idle = seconds - busy
    busy_seconds, idle_seconds = float(busy.sum()), float(idle.sum())
    if min(busy_seconds, idle_seconds) < _LEAST_SECONDS:
        return split_evenly(joules, seconds)
    busy_watts = min((joules - idle_watts * idle_seconds) / busy_seconds, most_watts)
    if busy_watts < idle_watts:
        return split_evenly(joules, seconds)
    return busy_watts * busy + (joules - busy_watts * busy_seconds) / idle_seconds * idle


def split_evenly(joules: float, seconds: Floats) -> Floats:
    """The joules of each slice of a step, by time alone."""
    return seconds * (joules / float(seconds.sum()))
