"""When clients come, without end: a pattern of rates, and requests drawn as they come due. All of it seeded."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from exporter.simulate.load import CHAT, Request, Traffic, draw_request
from exporter.simulate.physics import Physics

PatternName = Literal["steady", "bursts", "diurnal", "overload", "none"]
PATTERNS: tuple[PatternName, ...] = get_args(PatternName)

BURST_EVERY_SECONDS = 20.0
BURST_SECONDS = 1.0
BURST_SHARE = 0.7
"""Of the requests, those that come in bursts."""

SWING = 0.8
"""How far a day's rate leaves its mean, as a share of it."""

OVERLOAD = 1.5
"""How much more comes than can be served."""

ABORT_FRACTION = 0.03
STREAM_FRACTION = 0.8

_SAMPLE = 4000


@dataclass(frozen=True, slots=True)
class Pattern:
    """How often clients come.

    Attributes:
        rate: arrivals a second, on average.
        day_seconds: how long a day of `diurnal` is; it begins at night.
    """

    name: PatternName
    rate: float
    day_seconds: float = 600.0

    def rate_at(self, at: float) -> float:
        """Arrivals a second at a time."""
        if self.name == "bursts":
            bursting = at % BURST_EVERY_SECONDS < BURST_SECONDS
            burst = BURST_SHARE * BURST_EVERY_SECONDS / BURST_SECONDS if bursting else 0.0
            return self.rate * (1.0 - BURST_SHARE + burst)
        if self.name == "diurnal":
            return self.rate * (1.0 - SWING * math.cos(2.0 * math.pi * at / self.day_seconds))
        return self.rate

    @property
    def highest_rate(self) -> float:
        """The most that `rate_at` may say."""
        if self.name == "bursts":
            return self.rate_at(0.0)
        return self.rate * (1.0 + SWING) if self.name == "diurnal" else self.rate


def arrivals(pattern: Pattern, rng: np.random.Generator, begin: float = 0.0) -> Iterator[Request]:
    """Requests in order of arrival, for ever; none for a pattern or a rate of none.

    Args:
        pattern: how often they come.
        rng: where chance comes from.
        begin: the time at which the first may come.
    """
    if pattern.name == "none" or pattern.rate <= 0.0:
        return
    highest, at = pattern.highest_rate, begin
    while True:
        at += rng.exponential(1.0 / highest)
        if rng.random() * highest < pattern.rate_at(at - begin):
            yield _chat(rng, at)


def _chat(rng: np.random.Generator, at: float) -> Request:
    aborts, stream = rng.random() < ABORT_FRACTION, rng.random() < STREAM_FRACTION
    drawn = draw_request(rng, at, CHAT, aborts=aborts, cached=False, stream=stream)
    return replace(drawn, id=f"chatcmpl-{drawn.id}")


def rate_for(physics: Physics, batch: float, traffic: Traffic = CHAT) -> float:
    """Arrivals a second on one replica for about `batch` requests running at once on average.

    By Little's law, batch = rate x time in the batch; and a step takes longer by the prompts that it carries besides,
    of which there are rate x step seconds. Solved for the rate.
    """
    rng = np.random.default_rng(0)
    prompt = float(np.mean([traffic.prompt.draw(rng) for _ in range(_SAMPLE)]))
    output = float(np.mean([traffic.output.draw(rng) for _ in range(_SAMPLE)]))
    together, terms = max(batch, 1.0), physics.seconds
    # While it decodes, a request has its prompt and on average half of its answer as context; long answers count more.
    context = prompt + 0.75 * output
    step = terms.step + together * (terms.decode + terms.context_token * context)
    return batch / (output * step + batch * prompt * terms.prefill_token)
