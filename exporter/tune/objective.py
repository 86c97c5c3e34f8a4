"""What latency must stay: a quantile of the requests' durations or first tokens, or a slowdown. Pure."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from exporter.domain.durations import DURATION_UNITS, written_duration
from exporter.domain.errors import UsageError

Measure = Literal["duration", "ttft", "pace"]
"""Of a request: all its seconds, those to its first token, or (of all requests) seconds over output tokens."""

_FORM = re.compile(r"(?:(duration|ttft):)?p(\d{1,2}(?:\.\d+)?)=(\d+(?:\.\d+)?)(ms|s|m)")
_SAY = "say a quantile and its limit, such as p95=20s, duration:p99=1m or ttft:p95=500ms"


@dataclass(frozen=True, slots=True)
class Objective:
    """A bound on latency.

    Attributes:
        measure: of what. quantile: of `duration` and `ttft`, within (0, 1); None for `pace`.
        limit_seconds: what the latency may be; None where it is bound by `slowdown`.
        slowdown: what the latency may be, as a multiple of what it is at the default; None likewise.
    """

    measure: Measure
    quantile: float | None = None
    limit_seconds: float | None = None
    slowdown: float | None = None

    def __str__(self) -> str:
        if self.limit_seconds is None:
            return f"at most {self.slowdown:g} times the default's seconds per output token"
        what = "duration" if self.measure == "duration" else "time to first token"
        return f"p{100 * (self.quantile or 0.0):g} of {what} at most {written_duration(self.limit_seconds)}"


def slowdown(ratio: float) -> Objective:
    """Requests take at most so many times as long a token as at the default.

    Raises:
        UsageError: it is no such ratio.
    """
    if not 1.0 <= ratio <= 10.0:
        raise UsageError(f"--max-slowdown {ratio:g}: from 1 (not slower at all) to 10; 1.05 is 5 % slower")
    return Objective("pace", slowdown=ratio)


def parse(text: str) -> Objective:
    """`p95=20s`, `ttft:p95=500ms`.

    Raises:
        UsageError: it is no such thing.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise UsageError(f"--objective {text}: {_SAY}")
    kind, percent, number, unit = found.groups()
    limit, quantile = float(Decimal(number) * DURATION_UNITS[unit]), float(Decimal(percent) / 100)
    if limit <= 0.0 or not 0.0 < quantile < 1.0:
        raise UsageError(f"--objective {text}: {_SAY}")
    return Objective("ttft" if kind == "ttft" else "duration", quantile, limit)
