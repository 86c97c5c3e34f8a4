"""The server of which nothing is known beforehand: how likely timings are if they may be of anything.

Its seconds per output token lie around any one value in six decades; its times to first token around a line of any
slope in six decades behind a delay of up to half a second. Both may spread as they like. Machines differ and round
trips jitter here by as much as around a calibration, so that neither is the better for a narrower description.

Of middles only the neighbourhood of the median is laid out, as finely as many timings can tell; elsewhere the timings
are so unlikely that nothing is missed. Each stands for its part of the decades, or the narrow grid would be a hint.
"""

import math

import numpy as np

from exporter.proxy.calibration.matching.spread import JITTER, JITTER_SECONDS, TOLERANCE, Spread
from exporter.proxy.calibration.matching.timings import Timings, median_known
from exporter.proxy.proxy import Floats

_DECADES = math.log(1e6)
_AROUND = np.linspace(-0.5, 0.5, 41)
"""Logarithms of middles, from the median."""
_PART = (_AROUND[1] - _AROUND[0]) / _DECADES
"""Of the decades, that each of them stands for."""
_WIDTHS = np.array([0.0, 0.05, 0.12, 0.3, 0.8])
"""Of spreads, relative, besides the tolerance."""
_DELAYS = np.concatenate([[0.0], np.geomspace(0.002, 0.5, 16)])


def log_evidence(timings: Timings, weight: float) -> float:
    """Logarithm of the mean likelihood of the timings, each counted with this weight."""
    return _tokens(timings, weight) + _first_tokens(timings, weight)


def _tokens(timings: Timings, weight: float) -> float:
    seen = np.log(timings.seconds_per_output_token)
    if not np.isfinite(seen).any():
        return 0.0
    middle = (median_known(seen) + _AROUND).reshape(-1, 1, 1)
    width = np.hypot(_WIDTHS, TOLERANCE).reshape(1, -1, 1)
    return _mean(np.log(Spread(middle, width, width).density(seen)), weight, _PART / len(_WIDTHS))


def _first_tokens(timings: Timings, weight: float) -> float:
    seen = timings.time_to_first_token_seconds
    delay = _DELAYS.reshape(-1, 1, 1, 1)
    middle = delay + _slopes(timings) * timings.prompt_tokens
    own = np.hypot(_WIDTHS, TOLERANCE).reshape(1, 1, -1, 1) * middle
    width = np.hypot(own, np.hypot(JITTER_SECONDS, JITTER * delay))
    prior = _PART / len(_DELAYS) / len(_WIDTHS)
    return _mean(np.log(Spread(middle, width, width).density(seen, seen)), weight, prior)


def _slopes(timings: Timings) -> Floats:
    """Seconds per prompt token (second axis), behind each delay (first axis)."""
    prompts = np.maximum(timings.prompt_tokens, 1.0)
    middles = [median_known((timings.time_to_first_token_seconds - delay) / prompts) for delay in _DELAYS]
    likely = np.maximum(np.nan_to_num(middles, nan=1.0), 1e-7)
    return np.asarray(likely[:, None, None, None] * np.exp(_AROUND)[:, None, None], dtype=np.float64)


def _mean(log_density: Floats, weight: float, prior: float) -> float:
    joint = weight * log_density.sum(axis=-1)
    top = joint.max()
    return float(top + np.log(prior * np.exp(joint - top).sum()))
