"""What a calibration lets one expect of timings: at each level of load, each round trip and each pace."""

import itertools
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from exporter.proxy.calibration.matching.spread import JITTER, JITTER_SECONDS, TOLERANCE, Spread
from exporter.proxy.calibration.matching.timings import Timings
from exporter.proxy.proxy import Floats

LEAST_SAMPLES = 8
"""Requests from which a level of a calibration is known."""

_ROUND_TRIPS = np.concatenate([[0.0], np.geomspace(0.002, 0.5, 24)])
_PACES = np.array([0.94, 1.0, 1.06])
DELAYS, _SLOWNESS = (grid.reshape(-1, 1, 1) for grid in np.meshgrid(_ROUND_TRIPS, _PACES, indexing="ij"))
"""The unknown way to the server and its unknown pace: together the first axis of everything below."""
_QUANTILE = 1.13
"""Where 84 % of Student's t lie below, with four degrees of freedom."""


class Level(Protocol):
    """Latencies while about so many requests ran at once."""

    @property
    def tokens(self) -> int:
        """Requests behind `token_seconds`."""
        ...

    @property
    def first_tokens(self) -> int:
        """Requests behind `first_token_seconds`."""
        ...

    @property
    def token_seconds(self) -> tuple[float, float, float]:
        """Per output token: 16 %, 50 % and 84 % of requests were faster. NaN where unknown."""
        ...

    def first_token_seconds(self, prompt_tokens: Floats) -> tuple[Floats, Floats, Floats]:
        """The same of times to first token, for prompts of these lengths."""
        ...


def token_spread(levels: Sequence[Level], used: Timings) -> Spread:
    """Logarithms of seconds per output token."""
    expected = np.array([one.token_seconds for one in levels])
    low, middle, high = np.log(_filled(expected, [one.tokens for one in levels])).T
    shape = (1, len(levels), 1)
    below, above = (np.hypot(side / _QUANTILE, TOLERANCE).reshape(shape) for side in (middle - low, high - middle))
    paced = middle.reshape(shape) + np.log(_SLOWNESS)
    return Spread(paced + np.zeros(len(used)), below, above)


def first_token_spread(levels: Sequence[Level], used: Timings) -> Spread:
    """Seconds to first token, with the round trip and its jitter."""
    expected = np.array([one.first_token_seconds(used.prompt_tokens) for one in levels])
    low, middle, high = _filled(expected, [one.first_tokens for one in levels]).swapaxes(0, 1)
    sides = (middle - low, high - middle)
    middle = middle * _SLOWNESS
    jitter = np.hypot(JITTER_SECONDS, JITTER * DELAYS)
    own = [np.hypot(side / _QUANTILE, TOLERANCE * middle) for side in sides]
    below, above = (np.hypot(side, jitter) for side in own)
    return Spread(middle + DELAYS, below, above)


def _filled(levels: Floats, samples: Sequence[int]) -> Floats:
    """Levels (first axis), those between known ones in equal parts from one to the other, all others NaN."""
    known = np.flatnonzero(np.array(samples) >= LEAST_SAMPLES).tolist()
    filled = np.full_like(levels, math.nan)
    filled[known] = levels[known]
    for left, right in itertools.pairwise(known):
        for level in range(left + 1, right):
            part = (level - left) / (right - left)
            filled[level] = (1.0 - part) * levels[left] + part * levels[right]
    return filled
