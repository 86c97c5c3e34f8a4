"""How times are spread around what is expected: split Student's t's, and a little everywhere."""

import math
from dataclasses import dataclass

import numpy as np

from exporter.proxy.proxy import Floats

TOLERANCE = 0.04
"""No two machines are alike: relative."""
JITTER_SECONDS = 2e-3
JITTER = 0.1
"""By how much a round trip varies: relative."""

_STRAY = 0.02
"""Part of the timings that tell nothing. They are spread evenly over six decades."""
_STRAY_DENSITY = _STRAY / math.log(1e6)


@dataclass(frozen=True, slots=True)
class Spread:
    """Times as expected, in any shape whose last axis is the timings. NaN where nothing is expected."""

    middle: Floats
    below: Floats
    above: Floats

    def density(self, seen: Floats, unit: Floats | float = 1.0) -> Floats:
        """Of what was seen, in `unit`; a little everywhere, because some times tell nothing; 1 where none was seen."""
        with np.errstate(invalid="ignore"):
            away = self._away(seen)
            own = 0.75 / (self.below + self.above) * (1.0 + away**2 / 4.0) ** -2.5 * unit
        return np.where(np.isfinite(seen), (1.0 - _STRAY) * np.nan_to_num(own) + _STRAY_DENSITY, 1.0)

    def on(self, way: int) -> "Spread":
        """At one place of the first axis alone."""
        return Spread(
            *(np.broadcast_to(part, self.middle.shape)[way] for part in (self.middle, self.below, self.above))
        )

    def passed(self, seen: Floats) -> Floats:
        """The probability of less than what was seen."""
        away = self._away(seen)
        upper = self.above * _student(np.maximum(away, 0.0)) + self.below * (_student(np.minimum(away, 0.0)) - 0.5)
        return (self.below + 2.0 * upper - self.above) / (self.below + self.above)

    def _away(self, seen: Floats) -> Floats:
        away = seen - self.middle
        return away / np.where(away < 0.0, self.below, self.above)


def _student(t: Floats) -> Floats:
    """Distribution function of Student's t with four degrees of freedom."""
    square = t**2 / (4.0 + t**2)
    return np.asarray(0.5 + np.sign(t) * (0.75 * np.sqrt(square) - 0.25 * square**1.5), dtype=np.float64)
