"""What a client saw of a server."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.proxy.proxy import Floats
from exporter.regression.median import median


@dataclass(frozen=True, slots=True)
class Timings:
    """Columns of one length, in the order of time, NaN where not known."""

    prompt_tokens: Floats
    output_tokens: Floats
    time_to_first_token_seconds: Floats
    seconds: Floats

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def seconds_per_output_token(self) -> Floats:
        """After the first one. NaN where there is none after it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            each = (self.seconds - self.time_to_first_token_seconds) / (self.output_tokens - 1.0)
        return np.where(np.isfinite(each) & (each > 0.0), each, math.nan)

    def rows(self, chosen: NDArray[np.intp]) -> "Timings":
        """Some of the rows."""
        columns = (self.prompt_tokens, self.output_tokens, self.time_to_first_token_seconds, self.seconds)
        return Timings(*(column[chosen] for column in columns))

    def thinned(self, most: int) -> "Timings":
        """At most so many, evenly chosen."""
        if len(self) <= most:
            return self
        return self.rows(np.linspace(0, len(self) - 1, most).astype(np.intp))


def median_known(values: Floats) -> float:
    """Of those that are known; NaN where none is."""
    known = values[np.isfinite(values)]
    return median(known) if len(known) else math.nan


def span(values: Floats) -> tuple[float, float]:
    """From the least to the greatest that is known; NaN where none is."""
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (math.nan, math.nan)
