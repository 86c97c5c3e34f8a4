"""A continuous-batching engine, step by step, that knows what each request truly costs.

Theory of operation. Each step decodes every running request and spends what is left of its token budget on prompts,
in order of arrival, in chunks; or, as older engines do, runs prompts in steps of their own while decoding waits. A
request is admitted when it first gets prompt tokens. The step that finishes its prompt also yields its first token,
each later decode step one more.

The cost of a step over its members S is v(S) = a + sum of own parts: affine, so its Shapley value is in closed form
a / |S| + own part. Noise scales a whole step, and the Shapley value is linear, so it scales every share alike.

The engine keeps no clock. It is told what comes and when, in order, and to `advance` to some time; what it does then
depends on those times alone and not on how often it is asked. A whole load at once (`batching`) and requests as they
come (`fleet`) are therefore the same steps with the same cost. A step becomes known when it begins, with its power; its
tokens are there when it ends.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from exporter.domain.events import Outcome
from exporter.simulate.load import Request
from exporter.simulate.physics import Physics, Terms


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


class Step(NamedTuple):
    """One step: its times on the engine's time axis, its energy, and the work it did."""

    start: float
    end: float
    joules: float
    prefill_tokens: int
    decoding: int
    context_tokens: int
    members: int


@dataclass(slots=True, eq=False)
class Passage:
    """A request's way through the engine: what it still has to do, and what it has cost so far.

    Attributes:
        arrival: when it came. start: when its first step began. first_token, end: when those steps ended. None: not
            yet, or never.
        outcome: how it ended; None until then.
        output_tokens: generated so far.
        prefill_joules, decode_joules: its Shapley value so far, by the phase that it was in.
    """

    request: Request
    arrival: float
    unread_tokens: int
    last_token: int
    start: float | None = None
    first_token: float | None = None
    end: float | None = None
    outcome: Outcome | None = None
    output_tokens: int = 0
    prefill_joules: float = 0.0
    decode_joules: float = 0.0

    @classmethod
    def of(cls, request: Request, arrival: float) -> "Passage":
        """A request that just came."""
        leaves = request.leaves_after_tokens
        return cls(
            request=request,
            arrival=arrival,
            unread_tokens=request.prompt_tokens - request.cached_tokens,
            last_token=request.output_tokens if leaves is None else leaves,
        )

    @property
    def done(self) -> bool:
        """Whether it has all the tokens that its client waits for."""
        return self.output_tokens == self.last_token

    @property
    def joules(self) -> float:
        """All of its energy so far."""
        return self.prefill_joules + self.decode_joules


_Chunks = list[tuple[Passage, int]]


class _Underway(NamedTuple):
    """A step that has begun, who is in it, and the factor by which chance scales it."""

    step: Step
    chunks: _Chunks
    decoding: list[Passage]
    noise: float


class _Happening(NamedTuple):
    """Something that comes from outside, at a time of the engine's axis."""

    at: float
    happen: Callable[[], None]


@dataclass(slots=True)
class Engine:
    """The engine's state between steps. `now`: when the latest step ends, or when the engine woke up for it.

    What happened is left in `begun` (steps), `firsts` (passages that got their first token) and `gone` (passages that
    ended), in order, for whoever takes it away.
    """

    physics: Physics
    scheduler: Scheduler
    rng: np.random.Generator
    now: float = 0.0
    waiting: deque[Passage] = field(default_factory=deque)
    prefilling: deque[Passage] = field(default_factory=deque)
    decoding: list[Passage] = field(default_factory=list)
    begun: list[Step] = field(default_factory=list)
    firsts: list[Passage] = field(default_factory=list)
    gone: list[Passage] = field(default_factory=list)
    _coming: deque[_Happening] = field(default_factory=deque)
    _arriving: int = 0
    _underway: _Underway | None = None
    _cost: Terms = field(init=False)

    def __post_init__(self) -> None:
        self._cost = self.physics.cost

    # --- what comes from outside, in order of time -----------------------------------------------------------------

    def submit(self, request: Request, at: float) -> Passage:
        """A request comes at `at`, no earlier than anything told before."""
        passage = Passage.of(request, at)
        self._arriving += 1
        self._foresee(at, lambda: self._arrive(passage))
        return passage

    def abort(self, passage: Passage, at: float) -> None:
        """Its client leaves at `at`: it ends with the step that runs then, if it has not ended before."""
        self._foresee(at, lambda: self._drop([passage], "aborted"))

    def clear(self, at: float, outcome: Outcome) -> None:
        """Everything that is there at `at` ends like that, with the step that runs then."""
        self._foresee(at, lambda: self._drop([*self.waiting, *self.prefilling, *self.decoding], outcome))

    def _foresee(self, at: float, happen: Callable[[], None]) -> None:
        assert not self._coming or at >= self._coming[-1].at, "what comes is told in order"
        self._coming.append(_Happening(at, happen))

    def _arrive(self, passage: Passage) -> None:
        self._arriving -= 1
        self.waiting.append(passage)

    def _drop(self, passages: list[Passage], outcome: Outcome) -> None:
        """Let go of those that are still here, between two steps."""
        leaving = [one for one in passages if one.end is None]
        for one in leaving:
            one.outcome = outcome
            if one.start is None:
                self.waiting.remove(one)
            elif one.first_token is None:
                self.prefilling.remove(one)
            else:
                self.decoding.remove(one)
        self._leave(leaving)

    # --- time passes -----------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return len(self.prefilling) + len(self.decoding)

    @property
    def queued(self) -> int:
        """Requests that wait for a place in it, or for the step to end during which they came."""
        return len(self.waiting) + self._arriving

    def advance(self, until: float = math.inf) -> None:
        """Finish all steps that end by `until` and begin all that begin before it.

        What comes at `until` may still be told afterwards: a step that begins then has not begun.
        """
        while True:
            if self._underway is not None:
                if self._underway.step.end > until:
                    return
                self._finish(self._underway)
            while self._coming and self._coming[0].at <= self.now:
                self._coming.popleft().happen()
            if self.waiting or self.prefilling or self.decoding:
                if self.now >= until:
                    return
                self._begin()
            elif self._coming and self._coming[0].at < until:
                self.now = self._coming[0].at
            else:
                return

    def _begin(self) -> None:
        """One step: everything decodes, unless there are prompts and these are kept apart."""
        apart = self.scheduler.prefill_apart
        chunks = self._plan(self.scheduler.step_tokens - (0 if apart else len(self.decoding)))
        decoding = [] if apart and chunks else self.decoding
        context = sum(one.request.prompt_tokens + one.output_tokens for one in decoding)
        work = (sum(tokens for _, tokens in chunks), len(decoding), context)
        noise = self._noise()
        end = self.now + self.physics.seconds.of(*work)
        step = Step(self.now, end, noise * self._cost.of(*work), *work, len(chunks) + len(decoding))
        self.begun.append(step)
        self._underway = _Underway(step, chunks, decoding, noise)

    def _plan(self, budget: int) -> _Chunks:
        """Prompt tokens of this step: first of those admitted before, then of as many waiting as fit."""
        chunks: _Chunks = []
        for one in self.prefilling:
            budget = _take(chunks, one, budget)
        while budget > 0 and self.waiting and self.running < self.scheduler.max_num_seqs:
            one = self.waiting.popleft()
            one.start = self.now
            self.prefilling.append(one)
            budget = _take(chunks, one, budget)
        return chunks

    def _noise(self) -> float:
        """A factor near one, kept within four deviations so that power stays plausible."""
        sigma = self.physics.noise
        return 1.0 + sigma * min(4.0, max(-4.0, self.rng.standard_normal())) if sigma > 0.0 else 1.0

    def _finish(self, underway: _Underway) -> None:
        """The step ends: its members have their tokens and their Shapley values, and some move on."""
        self._underway = None
        self.now = underway.step.end
        cost, noise = self._cost, underway.noise
        shared = noise * cost.step / underway.step.members
        decode, context_token = noise * cost.decode + shared, noise * cost.context_token
        for one in underway.decoding:
            one.decode_joules += decode + context_token * (one.request.prompt_tokens + one.output_tokens)
            one.output_tokens += 1
        for one, tokens in underway.chunks:
            one.prefill_joules += shared + noise * cost.prefill_token * tokens
            one.unread_tokens -= tokens
        self._retire()

    def _retire(self) -> None:
        """Move on whoever finished its prompt or its output in the step that just ended."""
        finished = [one for one in self.decoding if one.output_tokens == one.last_token]
        if finished:
            self._leave(finished)
            self.decoding = [one for one in self.decoding if one.end is None]
        while self.prefilling and self.prefilling[0].unread_tokens == 0:
            one = self.prefilling.popleft()
            one.first_token, one.output_tokens = self.now, 1
            self.firsts.append(one)
            if one.done:
                self._leave([one])
            else:
                self.decoding.append(one)

    def _leave(self, passages: list[Passage]) -> None:
        for one in passages:
            one.end = self.now
            if one.outcome is None:
                one.outcome = "ok" if one.request.leaves_after_tokens is None else "aborted"
        self.gone.extend(passages)


def _take(chunks: _Chunks, one: Passage, budget: int) -> int:
    """Give `one` what the budget allows; returns what is left of it."""
    tokens = min(budget, one.unread_tokens)
    if tokens > 0:
        chunks.append((one, tokens))
    return budget - tokens
