"""Claims: what requests ask of the slices, as columns of numbers, one row a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Life(NamedTuple):
    """One request's time on the server and the tokens it had processed.

    Attributes:
        start: when it began to occupy the server.
        first_token: when prefill ended and decode began; equal to `start` where unknown.
        end: when it left the server; after `start`.
        prefill_tokens: prompt tokens computed, without those a cache held; 0 where unknown.
        decode_tokens: tokens gained in decode steps; 0 where unknown.
        context: mean length of what decode steps attended to, in tokens; 0 where unknown.
    """

    start: float
    first_token: float
    end: float
    prefill_tokens: float
    decode_tokens: float
    context: float = 0.0


@dataclass(frozen=True, slots=True)
class Claims:
    """Lives of many requests as columns, each of shape (requests,).

    A life has two phases, [start, first_token) and [first_token, end). Tokens are spread evenly over their phase; where
    the first token is unknown the first phase is empty and both kinds of token are spread over the whole life.
    """

    start: Floats
    first_token: Floats
    end: Floats
    prefill_tokens: Floats
    decode_tokens: Floats
    context: Floats

    @classmethod
    def of(cls, lives: Sequence[Life]) -> "Claims":
        """Columns of these lives, in their order."""
        table = np.fromiter(chain.from_iterable(lives), np.float64, 6 * len(lives)).reshape(len(lives), 6)
        return cls(*table.T)

    def __len__(self) -> int:
        return len(self.start)

    def within(self, since: float) -> "Claims":
        """The same claims without what lies before `since`: tokens shrink with the time that is cut off."""
        if not len(self) or self.start.min() >= since:
            return self
        start, first, end = (np.maximum(edge, since) for edge in (self.start, self.first_token, self.end))
        kept = _fraction(first - start, self.first_token - self.start)
        kept_later = _fraction(end - first, self.end - self.first_token)
        prefill_kept = np.where(self.first_token > self.start, kept, kept_later)
        prefill, decode = self.prefill_tokens * prefill_kept, self.decode_tokens * kept_later
        return Claims(start, first, end, prefill, decode, self.context)


def _fraction(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0.0)
