"""What a server's latencies are like, learned from its requests: the fingerprint by which hardware is recognised.

Theory of operation. How fast a model runs on its GPUs shows in two numbers that any client can take: the time to the
first token and the time per output token after it. Both depend on how many requests share the engine, so everything
here is kept by concurrency, in levels that double: 1, 2, 3-4, 5-8, ... For each level

- seconds per output token are counted in buckets of a sixteenth of an octave: median and spread come from there;
- time to first token is an affine line in prompt tokens, `fixed + per_token x prompt tokens`. Prefill works through
  every prompt token, whatever else runs; the fixed part is the step that has to end first, and the way there. Queueing
  is no property of the hardware, so whoever teaches this leaves it out.

Latencies have upper tails: one request that met a long prefill takes ten times as long. So a line is fitted to
*relative* errors with Huber weights, and its spread is that of the ratios of times to the line, counted in buckets.
Of a line only normal equations are kept: weights need the line, so a few times wait and are then weighed together.

A level forgets only by learning more: beyond `FULL` it halves what it holds. Not by time, because a calibration is a
statement about one model on one machine, which does not change, and what is rare there (the busiest hour of a month)
must not fade for being rare. Yet no level is ruled by how the server was on its first day.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.proxy.proxy import Floats
from exporter.regression.median import median

LEVELS = 9
"""1, 2, 3-4, ..., 65-128, and more."""
FULL = 2000
"""Samples in a level beyond which it forgets."""

_LEVEL_EDGES = np.array([2.0**level + 0.5 for level in range(LEVELS - 1)])
_BLOCK = 8
"""Times that wait to be weighed together."""
_STRETCH = 32
"""Buckets that a snapshot keeps: two octaves around the median; what is beyond counts at their ends."""
_LEAST_WEIGHED = 5
_HUBER = 1.5
_ROUNDS, _ROUNDS_AFTER = 12, 3
"""Of weighing: to find a line, and to move one that is known."""
_FLOOR = 0.02
"""No line is trusted to better than this: relative."""
_MIDDLE = (0.16, 0.5, 0.84)
"""A standard deviation to each side, were it normal."""
_LOOSE = np.array([1.0, 1e2]) ** -2.0
"""What is known of a line before anything is seen of it: within seconds, and within 10 ms a token."""


def level_of(concurrency: Floats) -> NDArray[np.intp]:
    """The level of each concurrency: 0 for 1, 1 for 2, 2 for 3 and 4, ...; fractions go to the nearest whole."""
    return np.searchsorted(_LEVEL_EDGES, concurrency, side="right")


@dataclass(frozen=True, slots=True)
class Level:
    """Latencies while about so many requests ran at once. NaN where nothing is known.

    Attributes:
        concurrency: how many, from and to; the last level has no end.
        tokens: requests that told a time per output token. first_tokens: that told a time to first token.
        token_seconds: per output token: 16 %, 50 % and 84 % of requests were faster.
        fixed_seconds: to the first token of an empty prompt. seconds_per_prompt_token: for each token of the prompt.
        ratio: of the time to first token to that line: 16 %, 50 % and 84 % of requests were below.
        covariance: of the line's two numbers.
    """

    concurrency: tuple[int, int | None]
    tokens: int
    first_tokens: int
    token_seconds: tuple[float, float, float]
    fixed_seconds: float
    seconds_per_prompt_token: float
    ratio: tuple[float, float, float]
    covariance: Floats

    def first_token_seconds(self, prompt_tokens: Floats) -> tuple[Floats, Floats, Floats]:
        """Low, middle and high time to first token, as in `ratio`; wider where the line itself is uncertain."""
        line = self.fixed_seconds + self.seconds_per_prompt_token * prompt_tokens
        x = np.stack([np.ones_like(prompt_tokens), prompt_tokens])
        doubt = np.einsum("in,ij,jn->n", x, self.covariance, x)
        low, middle, high = (line * ratio for ratio in self.ratio)
        return middle - np.sqrt((middle - low) ** 2 + doubt), middle, middle + np.sqrt((high - middle) ** 2 + doubt)


class LatencyProfile:
    """Times to first token and per output token of one model on its GPUs, by concurrency. A few kilobytes."""

    def __init__(self) -> None:
        self._tokens = [_Ratios(-14, 320, 16) for _ in range(LEVELS)]
        self._lines = [_Line() for _ in range(LEVELS)]
        self.left_out = 0

    def learn(
        self,
        prompt_tokens: Floats,
        time_to_first_token_seconds: Floats,
        seconds_per_output_token: Floats,
        concurrency: Floats,
    ) -> None:
        """Take in requests, one row each, NaN where something is not known.

        Args:
            prompt_tokens: those computed, if the log tells which ones a cache held.
            time_to_first_token_seconds: from launch: without the time spent in a queue.
            seconds_per_output_token: (end - first token) / (output tokens - 1).
            concurrency: how many requests were there while each was, itself included. A row without is left out.
        """
        known = np.isfinite(concurrency) & (concurrency > 0.0)
        token = known & _positive(seconds_per_output_token)
        first = known & _positive(time_to_first_token_seconds) & np.isfinite(prompt_tokens) & (prompt_tokens >= 0.0)
        self.left_out += int(np.count_nonzero(~(token | first)))
        level = level_of(concurrency)
        for one in sorted(set(level[token | first].tolist())):
            at = level == one
            self._tokens[one].add(seconds_per_output_token[token & at])
            self._lines[one].add(prompt_tokens[first & at], time_to_first_token_seconds[first & at])

    @property
    def levels(self) -> tuple[Level, ...]:
        """All levels, of the lowest concurrency first, those of which nothing is known included."""
        return tuple(
            _level(number, tokens, line)
            for number, (tokens, line) in enumerate(zip(self._tokens, self._lines, strict=True))
        )

    @property
    def samples(self) -> int:
        """Requests that told a time per output token, ever."""
        return sum(tokens.seen for tokens in self._tokens)

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, and stands in a calibration: JSON values, less than 4 kB."""
        levels = {
            str(number): {"token": tokens.snapshot(), "first_token": line.snapshot()}
            for number, (tokens, line) in enumerate(zip(self._tokens, self._lines, strict=True))
            if tokens.seen or line.seen
        }
        return {"left_out": self.left_out, "levels": levels}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot; one that another version left and that does not fit is as good as none."""
        try:
            found = LatencyProfile._from(snapshot)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
            return
        self._tokens, self._lines, self.left_out = found._tokens, found._lines, found.left_out  # noqa: SLF001 - its own kind

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Any]) -> "LatencyProfile":
        """A profile that goes on from a snapshot, e.g. a calibration's; empty where it does not fit."""
        profile = cls()
        profile.restore(snapshot)
        return profile

    @classmethod
    def _from(cls, snapshot: Mapping[str, Any]) -> "LatencyProfile":
        profile = cls()
        profile.left_out = int(snapshot["left_out"])
        for name, level in snapshot["levels"].items():
            number = range(LEVELS)[int(name)]
            profile._tokens[number].restore(level["token"])
            profile._lines[number].restore(level["first_token"])
        return profile


def _level(number: int, tokens: "_Ratios", line: "_Line") -> Level:
    settled = line.settled()
    fixed, slope = settled.coefficients
    low = 2 ** (number - 1) + 1 if number else 1
    return Level(
        concurrency=(low, 2**number if number < LEVELS - 1 else None),
        tokens=tokens.seen,
        first_tokens=line.seen,
        token_seconds=tokens.quantiles(),
        fixed_seconds=fixed,
        seconds_per_prompt_token=slope,
        ratio=settled.ratios.quantiles(),
        covariance=settled.covariance(),
    )


def _positive(values: Floats) -> NDArray[np.bool_]:
    return np.isfinite(values) & (values > 0.0)


class _Ratios:
    """Counts of positive values in buckets of equal ratio, `per_octave` to a doubling, from 2^low on."""

    def __init__(self, low: int, size: int, per_octave: int) -> None:
        self._low, self._per_octave = low, per_octave
        self._counts = np.zeros(size, dtype=np.int64)
        self.seen = 0

    def add(self, values: Floats) -> None:
        """Count values; those beyond the ends count at the ends."""
        size = len(self._counts)
        places = np.clip(np.floor((np.log2(values) - self._low) * self._per_octave), 0, size - 1).astype(np.intp)
        self._counts += np.bincount(places, minlength=size)
        self.seen += len(values)
        while self._counts.sum() > FULL:
            self._counts //= 2

    def quantiles(self) -> tuple[float, float, float]:
        """The values below which 16, 50 and 84 % lie; NaN where nothing was seen."""
        total = self._counts.sum()
        if not total:
            return math.nan, math.nan, math.nan
        [held] = np.nonzero(self._counts)
        low, middle, high = (self._quantile(part * total, held) for part in _MIDDLE)
        return low, middle, high

    def _quantile(self, rank: float, held: NDArray[np.intp]) -> float:
        below = np.cumsum(self._counts[held])
        at = int(np.searchsorted(below, rank))
        within = 1.0 - (below[at] - rank) / self._counts[held[at]]
        return float(2.0 ** (self._low + (held[at] + within) / self._per_octave))

    def copy(self) -> "_Ratios":
        """Another one like it."""
        other = _Ratios(self._low, len(self._counts), self._per_octave)
        other._counts, other.seen = self._counts.copy(), self.seen
        return other

    def snapshot(self) -> list[Any]:
        """How many were ever seen, the first bucket of a stretch around the median, and the counts in that stretch."""
        below = np.cumsum(self._counts)
        [held] = np.nonzero(self._counts)
        if not len(held):
            return [self.seen, 0, ""]
        middle = int(np.searchsorted(below, 0.5 * below[-1]))
        first, last = max(held[0], middle - _STRETCH // 2), min(held[-1], middle + _STRETCH // 2)
        counts = self._counts[first : last + 1].copy()
        counts[0] += self._counts[:first].sum()
        counts[-1] += self._counts[last + 1 :].sum()
        return [self.seen, int(first), " ".join(map(str, counts.tolist()))]

    def restore(self, snapshot: list[Any]) -> None:
        """Go on from a snapshot."""
        seen, first, text = snapshot
        counts = np.array([int(word) for word in text.split()], dtype=np.int64)
        if seen < 0 or first < 0 or (counts < 0).any() or first + len(counts) > len(self._counts):
            raise ValueError("not a snapshot of these buckets")
        self._counts[first : first + len(counts)] = counts
        self.seen = int(seen)


class _Line:
    """Time to first token as an affine line in prompt tokens, both terms at least zero."""

    def __init__(self) -> None:
        self._xx, self._xy = np.zeros((2, 2)), np.zeros(2)
        self._waiting: tuple[Floats, Floats] = (np.empty(0), np.empty(0))
        self.coefficients = (math.nan, math.nan)
        self.ratios = _Ratios(-4, 192, 16)
        self.seen = 0

    def add(self, prompt_tokens: Floats, seconds: Floats) -> None:
        """Take in times; they count once there are enough to weigh them by each other."""
        self._waiting = (np.append(self._waiting[0], prompt_tokens), np.append(self._waiting[1], seconds))
        self.seen += len(seconds)
        if len(self._waiting[0]) >= _BLOCK:
            self._weigh()

    def settled(self) -> "_Line":
        """The line with what still waits."""
        if not len(self._waiting[0]):
            return self
        other = _Line()
        other._xx, other._xy, other.coefficients = self._xx, self._xy, self.coefficients
        other._waiting, other.ratios, other.seen = self._waiting, self.ratios.copy(), self.seen
        other._weigh()
        return other

    def covariance(self) -> Floats:
        """Of the two coefficients: by how much they are uncertain, given the spread of times around the line."""
        low, _, high = self.ratios.quantiles()
        scale = max(0.5 * math.log(high / low), _FLOOR) if high > 0.0 else 1.0
        return np.asarray(np.linalg.inv(self._xx / scale**2 + np.diag(_LOOSE)), dtype=np.float64)

    def _weigh(self) -> None:
        """Put what waits into the equations, each by how far it is from the line that they make together."""
        prompt_tokens, seconds = self._waiting
        x = np.stack([np.ones_like(seconds), prompt_tokens], axis=1)
        # The first line weighs times by their own size: the slow ones, which are the outliers, hardly count.
        known = bool(self._xx.any())
        line = x @ self.coefficients if known else seconds
        weights = line**-2.0
        for _ in range(_ROUNDS_AFTER if known else _ROUNDS):
            xx, xy = self._xx + (x.T * weights) @ x, self._xy + (x.T * weights) @ seconds
            coefficients = _solve(xx, xy)
            line = np.maximum(x @ coefficients, 1e-9)
            weights = self._huber((seconds - line) / line) / line**2
        self._xx, self._xy, self.coefficients = xx, xy, coefficients
        self.ratios.add(seconds / line)
        self._waiting = (np.empty(0), np.empty(0))
        self._forget()

    def _huber(self, errors: Floats) -> Floats:
        """1 for what is within the spread, less the farther it is from there."""
        if len(errors) < _LEAST_WEIGHED:
            return np.ones_like(errors)
        scale = max(1.48 * median(np.abs(errors)), _FLOOR)
        return 1.0 / np.maximum(np.abs(errors) / (_HUBER * scale), 1.0)

    def _forget(self) -> None:
        """The equations hold about as many times as the ratios do: weights are relative, so one time adds up to one."""
        line = np.array(self.coefficients)
        held = float(line @ self._xx @ line)
        if held > FULL:
            self._xx, self._xy = self._xx * (FULL / 2 / held), self._xy * (FULL / 2 / held)

    def snapshot(self) -> list[Any]:
        """Equations, ratios and what waits."""
        equations = [*self._xx[np.triu_indices(2)], *self._xy]
        waiting = [_short(value, 4) for values in self._waiting for value in values]
        return [self.seen, [_short(value, 9) for value in equations], self.ratios.snapshot(), waiting]

    def restore(self, snapshot: list[Any]) -> None:
        """Go on from a snapshot."""
        seen, equations, ratios, waiting = snapshot
        a, b, c, *xy = (float(value) for value in equations)
        self._xx, self._xy = np.array([[a, b], [b, c]]), np.array(xy)
        times = np.array(waiting, dtype=np.float64)
        if (
            seen < 0
            or self._xy.shape != (2,)
            or not np.isfinite([a, b, c, *xy]).all()
            or not _positive(times + 1.0).all()
        ):
            raise ValueError("not a snapshot of a line")
        self.ratios.restore(ratios)
        self.seen = int(seen)
        self._waiting = (times[: len(times) // 2], times[len(times) // 2 :])
        if self._xx.any():
            self.coefficients = _solve(self._xx, self._xy)


def _solve(xx: Floats, xy: Floats) -> tuple[float, float]:
    """The least squares line, neither of whose terms is negative; flat where prompts were all alike."""
    determinant = xx[0, 0] * xx[1, 1] - xx[0, 1] ** 2
    if determinant > 1e-9 * xx[0, 0] * xx[1, 1]:
        fixed = (xx[1, 1] * xy[0] - xx[0, 1] * xy[1]) / determinant
        slope = (xx[0, 0] * xy[1] - xx[0, 1] * xy[0]) / determinant
        if fixed >= 0.0 and slope >= 0.0:
            return float(fixed), float(slope)
        if fixed < 0.0:
            return 0.0, float(xy[1] / xx[1, 1])
    return float(xy[0] / xx[0, 0]), 0.0


def _short(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
