"""A GPU that serves a steady load, and what its power limit and its locked clock do to speed, power and latency.

Theory of operation. A fluid model without randomness, so that the best setting is known. A load keeps `concurrency`
requests in flight (continuous batching, closed loop); each reads its prompt and then writes its tokens one step at a
time. Two phases alternate:

    prefill   compute-bound: a prompt token takes longer by 1 / x, where x is the clock over the highest clock
    decode    memory-bound: of a step's seconds only `clock_share` goes with 1 / x, the rest does not care

Power of a phase is `idle + uncore + core x^exponent`. A locked clock bounds x from above in both phases. A power limit
does so phase by phase: the board runs at the highest clock at which the phase stays under the limit, and at its lowest
clock where none does (then it draws more than its limit, as real boards do). So a limit above a phase's power at the
highest clock changes nothing: this is why limits hardly touch decode.

    a generation of C requests    seconds = C x prefill + steps x step(C)     (also every request's latency)
    joules per output token       joules of a generation / (C x output tokens)

All of it is SIMULATED: constants are of the size of an H200 with a model of eight billion parameters, nothing more.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.fakes.nvml import FakeNvml

LIMITS = tuple(range(200, 701, 50))
"""Settings of a power limit in W, the default last."""

CLOCKS = (*range(510, 1980, 105), 1980)
"""Settings of a locked clock in MHz, the highest clock last."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What a phase draws beyond idle power at the highest clock, in W: the part that goes with the clock, and not."""

    core_watts: float
    uncore_watts: float = 0.0


@dataclass(frozen=True, slots=True)
class Board:
    """A GPU at work. `exponent`: dynamic power goes with clock to it, 2 (voltage fixed) to 3 (voltage follows)."""

    prefill: Phase = Phase(core_watts=560.0, uncore_watts=60.0)
    decode: Phase = Phase(core_watts=150.0, uncore_watts=120.0)
    idle_watts: float = 80.0
    exponent: float = 3.0
    min_clock_mhz: float = 345.0
    max_clock_mhz: float = 1980.0

    def watts(self, phase: Phase, clock_mhz: float) -> float:
        """What the board draws in a phase at a clock."""
        speed = math.pow(clock_mhz / self.max_clock_mhz, self.exponent)
        return self.idle_watts + phase.uncore_watts + phase.core_watts * speed

    def clock(self, phase: Phase, limit_watts: float | None, locked_mhz: float | None) -> float:
        """The clock at which the board runs a phase, in MHz."""
        most = self.max_clock_mhz if locked_mhz is None else min(locked_mhz, self.max_clock_mhz)
        if limit_watts is not None:
            room = max(limit_watts - self.idle_watts - phase.uncore_watts, 0.0)
            most = min(most, self.max_clock_mhz * math.pow(room / phase.core_watts, 1.0 / self.exponent))
        return max(most, self.min_clock_mhz)


@dataclass(frozen=True, slots=True)
class Model:
    """Seconds at the highest clock: of a prompt token, of a decode step, and what each request adds to a step."""

    prompt_token: float = 8.0e-5
    step: float = 8.0e-3
    step_request: float = 1.2e-4
    clock_share: float = 0.08


@dataclass(frozen=True, slots=True)
class Load:
    """What clients ask: so many requests in flight, each of this many tokens."""

    prompt_tokens: int
    output_tokens: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class Operation:
    """How it runs at a setting, on average over a generation of requests.

    Attributes:
        watts: drawn. output_tokens_per_second, requests_per_second: of all requests together.
        latency_seconds: of each request. prefill_clock, decode_clock: in MHz.
    """

    watts: float
    output_tokens_per_second: float
    requests_per_second: float
    latency_seconds: float
    prefill_clock: float
    decode_clock: float

    @property
    def joules_per_token(self) -> float:
        """Energy over output tokens, the true one."""
        return self.watts / self.output_tokens_per_second


@dataclass(frozen=True, slots=True)
class Profile:
    """A model on a board under a load. `says` tells what is to be learned from it."""

    name: str
    says: str
    load: Load
    board: Board = Board()
    model: Model = Model()

    def operate(self, limit_watts: float | None = None, locked_mhz: float | None = None) -> Operation:
        """How it runs with this power limit and with clocks locked to at most this; None: without."""
        board, model, load = self.board, self.model, self.load
        prefill = board.clock(board.prefill, limit_watts, locked_mhz)
        decode = board.clock(board.decode, limit_watts, locked_mhz)
        slower = 1.0 - model.clock_share + model.clock_share * board.max_clock_mhz / decode
        step = (model.step + load.concurrency * model.step_request) * slower
        prefilling = load.concurrency * load.prompt_tokens * model.prompt_token * board.max_clock_mhz / prefill
        decoding = load.output_tokens * step
        seconds = prefilling + decoding
        joules = prefilling * board.watts(board.prefill, prefill) + decoding * board.watts(board.decode, decode)
        requests = load.concurrency / seconds
        return Operation(joules / seconds, requests * load.output_tokens, requests, seconds, prefill, decode)

    def best_limit(self, settings: Sequence[int] = LIMITS, latency_seconds: float | None = None) -> int | None:
        """The power limit with the fewest joules per token whose latency stays within the bound; None: none does."""
        return _best({watts: self.operate(limit_watts=watts) for watts in settings}.items(), latency_seconds)

    def best_clock(self, settings: Sequence[int] = CLOCKS, latency_seconds: float | None = None) -> int | None:
        """Likewise the highest locked clock."""
        return _best({clock: self.operate(locked_mhz=clock) for clock in settings}.items(), latency_seconds)


def _best(tried: Iterable[tuple[int, Operation]], latency_seconds: float | None) -> int | None:
    fit = [(op.joules_per_token, -at) for at, op in tried if latency_seconds is None or fits(op, latency_seconds)]
    return -min(fit)[1] if fit else None  # of equals the least restrictive


def fits(operation: Operation, latency_seconds: float) -> bool:
    """Whether requests are fast enough."""
    return operation.latency_seconds <= latency_seconds


PREFILL_HEAVY = Profile(
    "prefill-heavy",
    "long prompts, short answers: the cap binds, and between slow and hungry lies an optimum",
    Load(prompt_tokens=4000, output_tokens=40, concurrency=16),
    Board(prefill=Phase(core_watts=490.0, uncore_watts=90.0), idle_watts=120.0, exponent=2.4),
)
CHAT = Profile(
    "chat",
    "both phases matter: the cap slows only prefill, the clock both",
    Load(prompt_tokens=600, output_tokens=250, concurrency=32),
)
DECODE_HEAVY = Profile(
    "decode-heavy",
    "next to no prefill and decode far below any permitted cap: the limit does nothing, clocks do",
    Load(prompt_tokens=1, output_tokens=600, concurrency=32),
    Board(prefill=Phase(core_watts=110.0), decode=Phase(core_watts=60.0, uncore_watts=50.0)),
)
DEFAULT_BEST = Profile(
    "default-best",
    "static power outweighs what a lower clock saves: every second longer costs more",
    Load(prompt_tokens=4000, output_tokens=40, concurrency=16),
    Board(
        prefill=Phase(core_watts=120.0, uncore_watts=20.0),
        decode=Phase(core_watts=60.0, uncore_watts=20.0),
        idle_watts=520.0,
        exponent=2.0,
    ),
    Model(clock_share=0.6),
)
PROFILES = (PREFILL_HEAVY, CHAT, DECODE_HEAVY, DEFAULT_BEST)


# ---- the same on a fake board, as time goes by ----


@dataclass(frozen=True, slots=True)
class Completion:
    """A request that ended: `end` in script time."""

    end: float
    latency_seconds: float
    prompt_tokens: int
    output_tokens: int


@dataclass
class Serving:
    """A load that runs on one fake board and obeys what the board is set to, whoever set it.

    In virtual time `advance` moves it; in real time `run` does, from a thread. What ended is in `completions`.

    Args:
        fake: the boards. profile: what runs. index: on which board.
        spread: relative standard deviation of latencies. noise: the same of power, over one `tick`.
        tick: seconds for which a setting is taken to hold, in script time.
        told: called with each request that ends, such as to write a log line.
    """

    fake: FakeNvml
    profile: Profile
    index: int = 0
    spread: float = 0.0
    noise: float = 0.0
    tick: float = 0.1
    seed: int = 1
    told: Callable[[Completion], None] | None = None
    at: float = 0.0
    completions: list[Completion] = field(default_factory=list)
    _due: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - noise, not secrets

    def operation(self) -> Operation:
        """How it runs as the board is set now."""
        clocks = self.fake.locked_clocks(self.index)
        return self.profile.operate(self.fake.power_limit(self.index), clocks[1] if clocks else None)

    def advance(self, until: float) -> None:
        """Run on until this script time, as the board is set now."""
        operation = self.operation()
        points = []
        while self.at < until:
            end = min(self.at + self.tick, until)
            points.append((self.at, operation.watts * max(self._random.gauss(1.0, self.noise), 0.0)))
            self._serve(operation, self.at, end)
            self.at = end
        self.fake.append_power(self.index, points)

    def run(self, now: Callable[[], float], stop: threading.Event, *, pause: float = 0.02, lead: float = 0.05) -> None:
        """Run on in real time until told to stop, `lead` seconds of script time ahead of `now`."""
        self.at = max(self.at, now())
        while not stop.is_set():
            self.advance(now() + lead)
            time.sleep(pause)

    def _serve(self, operation: Operation, start: float, end: float) -> None:
        rate = operation.requests_per_second
        done = self._due + (end - start) * rate
        for count in range(1, int(done) + 1):
            self._complete(operation, start + (count - self._due) / rate)
        self._due = done - int(done)

    def _complete(self, operation: Operation, end: float) -> None:
        load = self.profile.load
        latency = operation.latency_seconds * max(self._random.gauss(1.0, self.spread), 0.05)
        completion = Completion(end, latency, load.prompt_tokens, load.output_tokens)
        self.completions.append(completion)
        if self.told is not None:
            self.told(completion)
