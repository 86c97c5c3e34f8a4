"""What clients ask of a simulated server: when requests come, how long they are, who leaves early. All of it seeded."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.simulate.physics import Physics

Times = NDArray[np.float64]
"""Arrival times in seconds since the load began, ascending."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for.

    Attributes:
        at: arrival, in seconds since the load began.
        cached_tokens: of the prompt, those that cost no prefill.
        output_tokens: what the server would generate.
        leaves_after_tokens: output tokens after which the client hangs up; None stays to the end.
        stream: whether the answer is streamed.
    """

    id: str
    at: float
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    leaves_after_tokens: int | None = None
    stream: bool = True

    def __post_init__(self) -> None:
        assert 0 <= self.cached_tokens < self.prompt_tokens, "a prompt is never wholly cached"
        assert self.output_tokens >= 1
        assert self.leaves_after_tokens is None or 1 <= self.leaves_after_tokens < self.output_tokens


@dataclass(frozen=True, slots=True)
class Lengths:
    """A log-normal length in tokens, held between bounds."""

    median: float
    sigma: float
    low: int
    high: int

    def draw(self, rng: np.random.Generator) -> int:
        """One length."""
        return int(np.clip(round(self.median * np.exp(self.sigma * rng.standard_normal())), self.low, self.high))


@dataclass(frozen=True, slots=True)
class Traffic:
    """A kind of request; `weight` is its share in a mix."""

    prompt: Lengths
    output: Lengths
    weight: float = 1.0


CHAT = Traffic(Lengths(300, 1.0, 20, 4000), Lengths(180, 0.8, 10, 800))
PREFILL_HEAVY = Traffic(Lengths(2000, 0.5, 500, 4000), Lengths(40, 0.6, 10, 150), weight=0.5)
DECODE_HEAVY = Traffic(Lengths(60, 0.6, 20, 300), Lengths(450, 0.4, 150, 800), weight=0.5)
MIXED = (PREFILL_HEAVY, DECODE_HEAVY)


def poisson_times(rng: np.random.Generator, rate: float, seconds: float) -> Times:
    """Independent arrivals, `rate` a second.

    The same chance at another rate is the same pattern stretched, so what a load does varies smoothly with its rate.
    """
    expected = rate * seconds
    gaps = rng.exponential(1.0 / rate, int(expected + 8.0 * np.sqrt(expected) + 16.0))
    times = np.cumsum(gaps)
    return times[times < seconds]


def burst_times(
    rng: np.random.Generator, size: int, every_seconds: float, seconds: float, *, spread_seconds: float = 0.0
) -> Times:
    """`size` arrivals at once, or within `spread_seconds`, every `every_seconds`."""
    starts = np.repeat(np.arange(0.0, seconds, every_seconds), size)
    return np.sort(starts + rng.uniform(0.0, spread_seconds, len(starts)))


def requests(  # noqa: PLR0913 - what may vary in a load
    rng: np.random.Generator,
    times: Times,
    mix: Sequence[Traffic] = (CHAT,),
    *,
    abort_fraction: float = 0.0,
    cached_fraction: float = 0.0,
    stream_fraction: float = 1.0,
) -> tuple[Request, ...]:
    """One request for each arrival time, its kind drawn from the mix.

    Args:
        rng: where chance comes from.
        times: seconds since the load began.
        mix: kinds of requests.
        abort_fraction: of the requests, those whose client hangs up somewhere in the output.
        cached_fraction: of the requests, those of whose prompt some part is cached.
        stream_fraction: of the requests, those that are streamed.
    """
    ladder = np.cumsum([traffic.weight for traffic in mix])
    return tuple(
        draw_request(
            rng,
            at,
            mix[int(np.searchsorted(ladder, rng.uniform(0.0, ladder[-1]), side="right"))],
            aborts=rng.random() < abort_fraction,
            cached=rng.random() < cached_fraction,
            stream=rng.random() < stream_fraction,
        )
        for at in times.tolist()
    )


def isolated_requests(
    rng: np.random.Generator,
    physics: Physics,
    count: int,
    mix: Sequence[Traffic] = (CHAT,),
    *,
    gap_seconds: float = 2.0,
) -> tuple[Request, ...]:
    """Requests that come one at a time, each at least `gap_seconds` after the end of the one before."""
    drawn = requests(rng, np.zeros(count), mix)
    at = gap_seconds
    placed = []
    for one in drawn:
        placed.append(Request(one.id, at, one.prompt_tokens, one.output_tokens))
        # Chunks of one token budget or another change the prefill by a step or so: allow for small ones.
        alone = physics.alone_seconds(one.prompt_tokens, one.output_tokens, step_tokens=256)
        at += alone + gap_seconds * (1.0 + rng.exponential(0.5))
    return tuple(placed)


def draw_request(  # noqa: PLR0913 - what may vary in a request
    rng: np.random.Generator, at: float, traffic: Traffic, *, aborts: bool, cached: bool, stream: bool
) -> Request:
    """A request of this kind at `at`: its id, its lengths, and where its client leaves if it `aborts`."""
    prompt, output = traffic.prompt.draw(rng), traffic.output.draw(rng)
    return Request(
        id=str(uuid.UUID(bytes=rng.bytes(16), version=4)),
        at=at,
        prompt_tokens=prompt,
        output_tokens=output,
        cached_tokens=int(rng.integers(prompt)) if cached else 0,
        leaves_after_tokens=int(rng.integers(1, output)) if aborts and output > 1 else None,
        stream=stream,
    )
