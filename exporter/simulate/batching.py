"""A whole load at once: a run of the engine from its first request to its last, and the truth about each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.domain.events import Outcome
from exporter.domain.units import Instant, Joules
from exporter.simulate.engine import CHUNKED, PREFILL_APART, Engine, Passage, Scheduler, Step
from exporter.simulate.load import Request
from exporter.simulate.physics import Physics

__all__ = ["BEGIN", "CHUNKED", "PREFILL_APART", "Run", "Scheduler", "Served", "Steps", "simulate"]

BEGIN = Instant(1_795_234_620.0)
"""When simulated servers begin: 2026-11-21 04:17:00 UTC."""


@dataclass(frozen=True, slots=True)
class Served:
    """The truth about one request.

    Attributes:
        arrival: when it came. start: when its first step began. first_token, end: when those steps ended.
        output_tokens: generated before it ended, by itself or by its client leaving.
        prefill_joules, decode_joules: its Shapley value, by the phase that it was in.
    """

    request: Request
    arrival: Instant
    start: Instant
    first_token: Instant
    end: Instant
    output_tokens: int
    outcome: Outcome
    prefill_joules: Joules
    decode_joules: Joules

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached ones included."""
        return self.request.prompt_tokens

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that cost no prefill."""
        return self.request.cached_tokens

    @property
    def joules(self) -> Joules:
        """All of its energy."""
        return Joules(self.prefill_joules + self.decode_joules)

    @property
    def queued_seconds(self) -> float:
        """Time without energy: from arrival to execution."""
        return self.start - self.arrival


@dataclass(frozen=True, slots=True)
class Steps:
    """All steps, one element each; times in seconds since the run began."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    joules: NDArray[np.float64]
    prefill_tokens: NDArray[np.int64]
    decoding: NDArray[np.int64]
    context_tokens: NDArray[np.int64]
    members: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Run:
    """A simulated run: from `begin` to `end`, idle at both ends.

    Attributes:
        served: all requests, by arrival.
    """

    physics: Physics
    scheduler: Scheduler
    begin: Instant
    end: Instant
    steps: Steps
    served: tuple[Served, ...]

    @property
    def busy_seconds(self) -> float:
        """Time in steps."""
        return float(np.sum(self.steps.end - self.steps.start))

    @property
    def busy_joules(self) -> Joules:
        """Energy of all steps: what the requests cost together."""
        return Joules(float(np.sum(self.steps.joules)))

    @property
    def idle_joules(self) -> Joules:
        """Energy while nothing ran."""
        return Joules(self.physics.idle_watts * (self.end - self.begin - self.busy_seconds))

    @property
    def mean_batch(self) -> float:
        """Requests running at once, on average over the busy time."""
        return sum(one.end - one.start for one in self.served) / self.busy_seconds


def simulate(  # noqa: PLR0913 - chance, scheduler and times are knobs with defaults
    requests: Sequence[Request],
    physics: Physics,
    rng: np.random.Generator,
    *,
    scheduler: Scheduler = CHUNKED,
    begin: Instant = BEGIN,
    idle_seconds: float = 5.0,
) -> Run:
    """Serve all requests to their end, with `idle_seconds` of nothing before the load begins and after the last."""
    engine = Engine(physics, scheduler, rng, now=idle_seconds)
    for request in sorted(requests, key=lambda one: one.at):
        engine.submit(request, idle_seconds + request.at)
    engine.advance()
    return Run(
        physics=physics,
        scheduler=scheduler,
        begin=begin,
        end=Instant(begin + engine.now + idle_seconds),
        steps=_steps(engine.begun),
        served=tuple(_served(one, begin) for one in sorted(engine.gone, key=lambda one: one.request.at)),
    )


def _steps(steps: Sequence[Step]) -> Steps:
    columns = list(zip(*steps, strict=True)) if steps else [()] * 7
    floats = [np.array(column, dtype=np.float64) for column in columns[:3]]
    counts = [np.array(column, dtype=np.int64) for column in columns[3:]]
    return Steps(floats[0], floats[1], floats[2], counts[0], counts[1], counts[2], counts[3])


def _served(passage: Passage, begin: Instant) -> Served:
    start, first, end, outcome = passage.start, passage.first_token, passage.end, passage.outcome
    assert start is not None
    assert first is not None
    assert end is not None
    assert outcome is not None
    return Served(
        request=passage.request,
        arrival=Instant(begin + passage.arrival),
        start=Instant(begin + start),
        first_token=Instant(begin + first),
        end=Instant(begin + end),
        output_tokens=passage.output_tokens,
        outcome=outcome,
        prefill_joules=Joules(passage.prefill_joules),
        decode_joules=Joules(passage.decode_joules),
    )
