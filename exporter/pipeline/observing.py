"""Observing requests as they settle: what can be seen of them, and what was metered of those that ran alone.

The energy of a request that ran alone is a matter of no rule: it is what the meter counted while it was there. It is
told only where the meter can tell it: the request lasted several sensor periods, and readings had no hole in it.
"""

from collections.abc import Sequence

import numpy as np

from exporter.ledger.claims import Floats, Life
from exporter.ledger.ledger import Group, Ledger
from exporter.ledger.slices import PRESENCE
from exporter.pipeline.features import alone, busy_joules, observe, overlap
from exporter.pipeline.waiting import Finished
from exporter.proxy.proxy import Features

LEAST_PERIODS = 10.0
"""A request is metered if it lasts so many sensor periods: a step of an interpolated counter is then some 2 % of it."""
_USUAL_PERIOD_SECONDS = 0.1


class Observer:
    """Looks at requests of one settlement, group by group."""

    def __init__(self, ledger: Ledger, *, exclude_static: bool) -> None:
        self._ledger = ledger
        self._net = exclude_static

    def features(self, finished: Sequence[Finished], held: Floats, first: int) -> Features:
        """What can be seen of them; `held` of their server, of shape (quantities, slices), from slice `first` on."""
        return observe(finished, held, first, self._ledger.slice_seconds)

    def metered(self, group: Group, finished: Sequence[Finished], held: Floats, first: int) -> Floats:
        """Busy energy metered on the group's devices: joules of shape (requests,), NaN for who was not alone.

        Args:
            group: devices that served them.
            finished: the requests.
            held: by everybody on these devices, of shape (quantities, lanes, slices).
            first: number of the first of those slices.
        """
        presence: Floats = held[PRESENCE].sum(axis=0)
        joules = np.full(len(finished), np.nan)
        for index in alone(finished, presence, first, self._ledger.slice_seconds):
            life = finished[index].life
            if self.can_meter(group, life.start, life.end):
                joules[index] = self._meter(group, life, presence, first)
        return joules

    def can_meter(self, group: Group, start: float, end: float) -> bool:
        """Whether the group's sensors tell the energy of this stretch of time from what was around it."""
        meters = [self._ledger.meters[name] for name in group.devices]
        periods = (meter.period_seconds or meter.grain_seconds or _USUAL_PERIOD_SECONDS for meter in meters)
        least = LEAST_PERIODS * max(periods, default=np.inf)
        return end - start >= least and self._ledger.is_whole(group, start, end)

    def _meter(self, group: Group, life: Life, presence: Floats, first: int) -> float:
        slices = group.slices
        numbers = range(slices.number(life.start), slices.number(life.end) + 1)
        there = presence[numbers.start - first : numbers.stop - first]
        own = overlap(life.start, life.end, numbers, slices.slice_seconds)
        part = np.divide(own, there, out=np.zeros_like(own), where=there > 0.0)
        return float((self.busy(group, numbers, there) * np.minimum(part, 1.0)).sum())

    def busy(self, group: Group, numbers: range, presence: Floats) -> Floats:
        """Busy energy of all the group's devices in each of these slices: joules of shape (slices,)."""
        slices = group.slices
        run = slices.place(numbers)
        total = np.zeros(len(numbers))
        for index, name in enumerate(group.devices):
            floor = self._ledger.idle[name].watts or 0.0
            energy = slices.energy[index, run]
            total += busy_joules(energy, presence, floor, slices.slice_seconds, net=self._net)
        return total
