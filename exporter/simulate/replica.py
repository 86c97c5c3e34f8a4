"""One simulated inference server: its engine, the energy that it draws, and the boards that measure it."""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from exporter.simulate.engine import CHUNKED, Engine, Passage, Scheduler, Step
from exporter.simulate.load import Request
from exporter.simulate.physics import Physics
from exporter.simulate.sensor import Sensor
from exporter.simulate.trace import EnergyTrace

MOST_QUEUED = 128
"""Requests that wait for a place in the batch; beyond that a replica refuses."""

Refusal = Literal["overloaded", "restarting"]


@dataclass(frozen=True, slots=True)
class News:
    """What happened since the last time, each in order.

    Attributes:
        arrived: requests that were taken in. firsts: those that got their first token. gone: those that ended.
        steps: that began.
        refused: requests that were not taken in.
    """

    arrived: list[Passage] = field(default_factory=list)
    firsts: list[Passage] = field(default_factory=list)
    gone: list[Passage] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class Replica:
    """One server and its boards. Times are seconds since the simulation began and never go back.

    Attributes:
        name: of the server. physics: of its model on its boards. sensors: one a board.
        down_until: when it is there again after a restart.
        busy_joules: true energy of all steps that have begun.
    """

    def __init__(  # noqa: PLR0913 - its size is a matter of defaults
        self,
        name: str,
        physics: Physics,
        rng: np.random.Generator,
        *,
        first_gpu: int = 0,
        scheduler: Scheduler = CHUNKED,
        most_queued: int = MOST_QUEUED,
    ) -> None:
        self.name = name
        self.physics = physics
        self.scheduler = scheduler
        self.trace = EnergyTrace(physics.idle_watts)
        shares = enumerate(physics.gpu_shares, start=first_gpu)
        self.sensors = tuple(Sensor(self.trace, share, index) for index, share in shares)
        self.down_until = 0.0
        self.busy_joules = 0.0
        self._most_queued = most_queued
        self._engine = Engine(physics, scheduler, rng)
        self._news = News()

    @property
    def load(self) -> int:
        """Requests here, running and waiting."""
        return self.running + self.waiting

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return self._engine.running

    @property
    def waiting(self) -> int:
        """Requests that wait for a place in it."""
        return self._engine.queued

    @property
    def context_tokens(self) -> int:
        """Tokens whose keys and values the batch holds."""
        batch = [*self._engine.prefilling, *self._engine.decoding]
        return sum(one.request.prompt_tokens + one.output_tokens for one in batch)

    def refuses(self, at: float) -> Refusal | None:
        """Why a request that came now would not be taken in; None if it would."""
        if at < self.down_until:
            return "restarting"
        return "overloaded" if self._engine.queued >= self._most_queued else None

    def submit(self, request: Request, at: float) -> Passage:
        """Take a request in, after `advance(at)`."""
        passage = self._engine.submit(request, at)
        self._news.arrived.append(passage)
        return passage

    def refuse(self, why: Refusal) -> None:
        """Note a request that is not taken in."""
        self._news.refused.append(why)

    def abort(self, passage: Passage, at: float) -> None:
        """A client leaves, after `advance(at)`."""
        self._engine.abort(passage, at)

    def crash(self, at: float, down_seconds: float) -> None:
        """Everything here is lost, after `advance(at)`, and for so long nothing is taken in."""
        self._engine.clear(at, "error")
        self.down_until = at + down_seconds

    def end(self, at: float) -> None:
        """Every client leaves, after `advance(at)`, and nobody is taken in any more."""
        self._engine.clear(at, "aborted")
        self.down_until = math.inf

    def advance(self, until: float) -> None:
        """Time passes."""
        engine = self._engine
        engine.advance(until)
        for step in engine.begun:
            self.trace.add(step)
            self.busy_joules += step.joules
        news = self._news
        news.steps.extend(engine.begun)
        news.firsts.extend(engine.firsts)
        news.gone.extend(engine.gone)
        engine.begun.clear()
        engine.firsts.clear()
        engine.gone.clear()

    def take_news(self) -> News:
        """What happened since this was asked before."""
        news, self._news = self._news, News()
        return news
