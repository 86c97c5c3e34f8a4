"""What timings would have cost in energy on the hardware that they fit: an inference upon an inference."""

import math
from dataclasses import dataclass

import numpy as np

from exporter.proxy.calibration.calibration import Calibration
from exporter.proxy.calibration.estimator import Estimator
from exporter.proxy.calibration.matching.ranking import Fit
from exporter.proxy.calibration.matching.timings import Timings
from exporter.proxy.proxy import Features


@dataclass(frozen=True, slots=True)
class EnergyPerToken:
    """Joules per output token, with the sums of what requests may have used at least and at most."""

    joules: float
    low: float
    high: float


def energy_per_token(calibration: Calibration, fit: Fit, timings: Timings) -> EnergyPerToken | None:
    """Over all timings of which the calibration can say something; None where that is none.

    Requests are taken to have run together with as many others as fits their times best.
    """
    estimates = Estimator(calibration).estimate(_features(timings, fit))
    told = np.isfinite(estimates.joules) & np.isfinite(timings.output_tokens)
    tokens = float(timings.output_tokens[told].sum())
    if not tokens > 0.0:
        return None
    joules, low, high = (
        float(column[told].sum()) / tokens for column in (estimates.joules, estimates.low, estimates.high)
    )
    return EnergyPerToken(joules, low, high) if math.isfinite(joules) else None


def _features(timings: Timings, fit: Fit) -> Features:
    """As an exporter beside the server would have seen them, without the network."""
    seconds = np.maximum(timings.seconds - fit.network_seconds, 0.0)
    decode = np.maximum(timings.output_tokens - 1.0, 0.0)
    return Features(
        requests=np.ones(len(timings)),
        seconds=seconds,
        served_seconds=seconds,
        shared_seconds=seconds / fit.concurrency,
        prompt_tokens=timings.prompt_tokens,
        output_tokens=timings.output_tokens,
        prefill_tokens=timings.prompt_tokens,
        decode_tokens=decode,
        step_shares=decode / fit.concurrency,
        context_tokens=decode * (timings.prompt_tokens + timings.output_tokens / 2.0),
    )
