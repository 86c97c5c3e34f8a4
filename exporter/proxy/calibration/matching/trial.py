"""One calibration held against timings: how likely it makes them, averaged over all that is unknown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exporter.proxy.calibration.matching.expected import DELAYS, Level, first_token_spread, token_spread
from exporter.proxy.calibration.matching.spread import Spread
from exporter.proxy.calibration.matching.timings import Timings
from exporter.proxy.proxy import Floats

_WIDTHS = (0.35, 1.0, 2.0)
"""Of humps of load, in levels."""
_NEGLIGIBLE = 30.0
"""What is less likely than the likeliest by so much in its logarithm adds nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """A way (delay and pace) and a hump of load."""

    way: int
    hump: int


@dataclass(frozen=True, slots=True)
class Trial:
    """On every way (delay and pace) and under every hump of load.

    Attributes:
        tokens: logarithms of seconds per output token as expected: by way, level and timing.
        first_tokens: seconds to first token, likewise.
        humps: weights of levels, one row a hump. log_prior: of ways and humps together.
    """

    tokens: Spread
    first_tokens: Spread
    humps: Floats
    log_prior: Floats
    used: Timings

    @classmethod
    def of(cls, levels: Sequence[Level], used: Timings) -> "Trial":
        """Of the calibration that has these levels."""
        return cls(token_spread(levels, used), first_token_spread(levels, used), *_humps(len(levels)), used)

    def log_likelihood(self) -> Floats:
        """Of each timing (last axis), on each way under each hump (first axis)."""
        tokens = self.tokens.density(np.log(self.used.seconds_per_output_token))
        first = self.used.time_to_first_token_seconds
        return np.log(self.humps @ (tokens * self.first_tokens.density(first, first))).reshape(-1, len(self.used))

    def evidence(self, likelihood: Floats, parts: Floats) -> Floats:
        """Logarithm of the mean likelihood of each part of the timings: `parts` weighs them, one column a part."""
        joint = likelihood @ parts + self.log_prior[:, None]
        top = joint.max(axis=0)
        joint = joint[(joint > top - _NEGLIGIBLE).any(axis=1)]
        return np.asarray(top + np.log(np.exp(joint - top).sum(axis=0)), dtype=np.float64)

    def best(self, likelihood: Floats) -> Place:
        """Where all timings are likeliest."""
        return Place(*divmod(int(np.argmax(likelihood.sum(axis=1) + self.log_prior)), len(self.humps)))

    def concurrency(self, place: Place) -> float:
        """Requests at once there."""
        return float(2.0 ** (self.humps[place.hump] @ np.arange(self.humps.shape[1])))

    def network_seconds(self, place: Place) -> float:
        """The round trip there."""
        return float(DELAYS[place.way, 0, 0])

    def passed(self, place: Place) -> Floats:
        """The probability of less than what was seen, there: of all times of which it says something."""
        tokens = self.tokens.on(place.way).passed(np.log(self.used.seconds_per_output_token))
        first = self.first_tokens.on(place.way).passed(self.used.time_to_first_token_seconds)
        return np.concatenate([self._mixed(tokens, place.hump), self._mixed(first, place.hump)])

    def _mixed(self, passed: Floats, hump: int) -> Floats:
        """Over the levels of which something is known; only of times that were seen."""
        known = np.isfinite(passed)
        weights = self.humps[hump][:, None] * known
        seen = known.any(axis=0)
        return np.asarray(
            (weights * np.nan_to_num(passed)).sum(axis=0)[seen] / weights.sum(axis=0)[seen], dtype=np.float64
        )


def _humps(levels: int) -> tuple[Floats, Floats]:
    """Loads that may have been: weights of levels, one row a hump; and the logarithm of the prior, by way and hump.

    A busier server is the less likely the busier it is: by a third for each doubling.
    """
    place = np.arange(levels)
    centres = np.arange(0.0, levels - 0.5, 0.5)
    rows = [np.exp(-0.5 * ((place - centre) / width) ** 2) for width in _WIDTHS for centre in centres]
    prior = np.tile(1.5**-centres, len(_WIDTHS))
    joint = np.tile(prior / prior.sum() / DELAYS.size, DELAYS.size)
    return np.array([row / row.sum() for row in rows]), np.log(joint)
