"""Requests that have ended and wait for the watermark, in the order in which they became known.

Behind a log that speaks only at a request's end tens of thousands may wait, and every second it is asked who is due. So
what is asked of them stands in columns: a whole pass over their objects was a fifth of the work at full load.
"""

from collections.abc import Sequence
from dataclasses import field
from itertools import compress
from math import inf

import numpy as np

from exporter.domain.events import Completed
from exporter.domain.value import value
from exporter.ledger.claims import Floats, Life


@value
class Finished:
    """A request whose life is known and waits for the watermark.

    Attributes:
        news: all that was heard of it. life: what remains to be settled of it.
        accrued: joules by device it was given before.
        late: its time had settled when it was heard of.
        ghost: nobody knows whose it was; its energy is unattributed.
    """

    news: Completed
    life: Life
    late: bool = False
    ghost: bool = False
    accrued: dict[str, float] = field(default_factory=dict)


class Waiting:
    """Those of one server. `finished`: they themselves."""

    def __init__(self, finished: Sequence[Finished] = ()) -> None:
        self.finished = list(finished)
        self._starts, self._ends = _edges(finished)

    def add(self, finished: Sequence[Finished]) -> None:
        """These have ended, too."""
        if not finished:
            return
        starts, ends = _edges(finished)
        self.finished += finished
        self._starts, self._ends = np.concatenate((self._starts, starts)), np.concatenate((self._ends, ends))

    def due(self, until: float) -> list[Finished]:
        """Those that ended before `until`: they wait no longer."""
        is_due = self._ends <= until
        if not is_due.any():
            return []
        stay = ~is_due
        due = list(compress(self.finished, is_due.tolist()))
        self.finished = list(compress(self.finished, stay.tolist()))
        self._starts, self._ends = self._starts[stay], self._ends[stay]
        return due

    def since(self) -> float:
        """When the first of them began; infinite where there is none."""
        return float(self._starts.min(initial=inf))


def _edges(finished: Sequence[Finished]) -> tuple[Floats, Floats]:
    """Their starts and their ends."""
    return np.array([one.life.start for one in finished]), np.array([one.life.end for one in finished])
