"""A continuous-batching engine, step by step, that keeps the true energy of every request.

Theory of operation. Each step decodes every running request and spends what is left of its token budget on prompts,
in order of arrival, in chunks; or, as older engines do, runs prompts in steps of their own while decoding waits. A
request is admitted when it first gets prompt tokens. The step that finishes its prompt also yields its first token,
each later decode step one more.

The cost of a step over its members S is v(S) = a + sum of own parts: affine, so its Shapley value is in closed form
a / |S| + own part. Noise scales a whole step, and the Shapley value is linear, so it scales every share alike.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from exporter.domain.events import Outcome
from exporter.domain.units import Instant, Joules
from exporter.simulate.load import Request
from exporter.simulate.physics import Physics

BEGIN = Instant(1_795_234_620.0)
"""When simulated servers begin: 2026-11-21 04:17:00 UTC."""


@dataclass(frozen=True, slots=True)
class Scheduler:
    """How the engine fills its steps.

    Attributes:
        max_num_seqs: requests that may run at once; the others wait.
        step_tokens: prompt and output tokens in one step.
        prefill_apart: prompts get steps of their own, and decoding waits for them.
    """

    max_num_seqs: int = 64
    step_tokens: int = 2048
    prefill_apart: bool = False

    def __post_init__(self) -> None:
        assert self.step_tokens > self.max_num_seqs, "a full batch must leave room for a prompt"


CHUNKED = Scheduler()
PREFILL_APART = Scheduler(prefill_apart=True)


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
    engine = _Engine(physics, scheduler, rng, deque(sorted(requests, key=lambda one: one.at)), now=idle_seconds)
    engine.run(idle_seconds)
    return Run(
        physics=physics,
        scheduler=scheduler,
        begin=begin,
        end=Instant(begin + engine.now + idle_seconds),
        steps=_steps(engine.records),
        served=tuple(one.served(begin, idle_seconds) for one in sorted(engine.gone, key=lambda one: one.request.at)),
    )


_Record = tuple[float, float, float, int, int, int, int]


def _steps(records: list[_Record]) -> Steps:
    columns = list(zip(*records, strict=True)) if records else [()] * 7
    floats = [np.array(column, dtype=np.float64) for column in columns[:3]]
    counts = [np.array(column, dtype=np.int64) for column in columns[3:]]
    return Steps(floats[0], floats[1], floats[2], counts[0], counts[1], counts[2], counts[3])


@dataclass(slots=True)
class _Running:
    """A request on the engine: what it still has to do, and what it has cost so far."""

    request: Request
    start: float
    unread_tokens: int
    last_token: int
    first_token: float = 0.0
    end: float = 0.0
    output_tokens: int = 0
    prefill_joules: float = 0.0
    decode_joules: float = 0.0

    @classmethod
    def admit(cls, request: Request, now: float) -> "_Running":
        leaves = request.leaves_after_tokens
        return cls(
            request=request,
            start=now,
            unread_tokens=request.prompt_tokens - request.cached_tokens,
            last_token=request.output_tokens if leaves is None else leaves,
        )

    @property
    def done(self) -> bool:
        return self.output_tokens == self.last_token

    def served(self, begin: float, load_begin: float) -> Served:
        return Served(
            request=self.request,
            arrival=Instant(begin + load_begin + self.request.at),
            start=Instant(begin + self.start),
            first_token=Instant(begin + self.first_token),
            end=Instant(begin + self.end),
            output_tokens=self.output_tokens,
            outcome="ok" if self.request.leaves_after_tokens is None else "aborted",
            prefill_joules=Joules(self.prefill_joules),
            decode_joules=Joules(self.decode_joules),
        )


_Chunks = list[tuple[_Running, int]]


@dataclass(slots=True)
class _Engine:
    """The engine's state between steps. `coming` have not arrived, `waiting` have."""

    physics: Physics
    scheduler: Scheduler
    rng: np.random.Generator
    coming: deque[Request]
    now: float
    waiting: deque[Request] = field(default_factory=deque)
    prefilling: deque[_Running] = field(default_factory=deque)
    decoding: list[_Running] = field(default_factory=list)
    gone: list[_Running] = field(default_factory=list)
    records: list[_Record] = field(default_factory=list)

    def run(self, load_begin: float) -> None:
        while True:
            while self.coming and load_begin + self.coming[0].at <= self.now:
                self.waiting.append(self.coming.popleft())
            if self.waiting or self.prefilling or self.decoding:
                self.step()
            elif self.coming:
                self.now = load_begin + self.coming[0].at
            else:
                return

    def step(self) -> None:
        """One step: everything decodes, unless there are prompts and these are kept apart."""
        apart = self.scheduler.prefill_apart
        chunks = self.plan(self.scheduler.step_tokens - (0 if apart else len(self.decoding)))
        decoding = [] if apart and chunks else self.decoding
        self.execute(chunks, decoding)
        self.retire()

    def plan(self, budget: int) -> _Chunks:
        """Prompt tokens of this step: first of those admitted before, then of as many waiting as fit."""
        chunks: _Chunks = []
        for one in self.prefilling:
            budget = _take(chunks, one, budget)
        while budget > 0 and self.waiting and self.running < self.scheduler.max_num_seqs:
            one = _Running.admit(self.waiting.popleft(), self.now)
            self.prefilling.append(one)
            budget = _take(chunks, one, budget)
        return chunks

    @property
    def running(self) -> int:
        return len(self.prefilling) + len(self.decoding)

    def execute(self, chunks: _Chunks, decoding: list[_Running]) -> None:
        """Spend the step's time and energy, and give each member its Shapley value."""
        cost = self.physics.cost
        prefill_tokens = sum(tokens for _, tokens in chunks)
        contexts = [one.request.prompt_tokens + one.output_tokens for one in decoding]
        work = (prefill_tokens, len(decoding), sum(contexts))
        members = len(chunks) + len(decoding)
        noise = self.noise()
        began, self.now = self.now, self.now + self.physics.seconds.of(*work)
        self.records.append((began, self.now, noise * cost.of(*work), *work, members))

        shared = noise * cost.step / members
        decode, context_token = noise * cost.decode + shared, noise * cost.context_token
        for one, context in zip(decoding, contexts, strict=True):
            one.decode_joules += decode + context_token * context
            one.output_tokens += 1
        for one, tokens in chunks:
            one.prefill_joules += shared + noise * cost.prefill_token * tokens
            one.unread_tokens -= tokens

    def noise(self) -> float:
        """A factor near one, kept within four deviations so that power stays plausible."""
        sigma = self.physics.noise
        return 1.0 + sigma * min(4.0, max(-4.0, self.rng.standard_normal())) if sigma > 0.0 else 1.0

    def retire(self) -> None:
        """Move on whoever finished its prompt or its output in the step that just ended."""
        if any(one.done for one in self.decoding):
            self.leave([one for one in self.decoding if one.done])
            self.decoding = [one for one in self.decoding if not one.done]
        while self.prefilling and self.prefilling[0].unread_tokens == 0:
            one = self.prefilling.popleft()
            one.first_token, one.output_tokens = self.now, 1
            if one.done:
                self.leave([one])
            else:
                self.decoding.append(one)

    def leave(self, finished: list[_Running]) -> None:
        for one in finished:
            one.end = self.now
        self.gone.extend(finished)


def _take(chunks: _Chunks, one: _Running, budget: int) -> int:
    """Give `one` what the budget allows; returns what is left of it."""
    tokens = min(budget, one.unread_tokens)
    if tokens > 0:
        chunks.append((one, tokens))
    return budget - tokens
