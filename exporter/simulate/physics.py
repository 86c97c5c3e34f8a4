"""What a simulated GPU costs in seconds and joules per engine step.

A step costs `step + prefill_token x p + decode x n + context_token x c` for p prompt tokens, n decoding requests and
c tokens of context that those n attend to; once in seconds and once in joules. Static power is drawn throughout, so
the joules of a step are its dynamic joules plus static watts x its seconds. All figures are sums over all GPUs.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

TDP_WATTS = 700.0


@dataclass(frozen=True, slots=True)
class Terms:
    """The cost of a step in one unit: the part that any member alone would cause, and each member's own parts."""

    step: float
    prefill_token: float
    decode: float
    context_token: float = 0.0

    def of(self, prefill_tokens: int, decoding: int, context_tokens: int) -> float:
        """The cost of one step."""
        own = self.prefill_token * prefill_tokens + self.decode * decoding + self.context_token * context_tokens
        return self.step + own

    def plus(self, other: "Terms", scale: float) -> "Terms":
        """Term by term, `self + scale x other`."""
        return Terms(
            self.step + scale * other.step,
            self.prefill_token + scale * other.prefill_token,
            self.decode + scale * other.decode,
            self.context_token + scale * other.context_token,
        )


@dataclass(frozen=True, slots=True)
class Physics:
    """A model on its GPUs.

    Attributes:
        seconds: what a step takes.
        joules: what a step draws beyond static power.
        idle_watts: power with the context open and no request.
        static_watts: power drawn while running whatever is run; None where it is the idle power.
        noise: relative standard deviation of a step's energy.
        gpu_shares: each GPU's share of the energy; sums to one.
        model: its name.
    """

    seconds: Terms
    joules: Terms
    idle_watts: float = 80.0
    static_watts: float | None = None
    noise: float = 0.0
    gpu_shares: tuple[float, ...] = (1.0,)
    model: str = "llama-3.1-8b"

    @property
    def running_watts(self) -> float:
        """Static power while any request runs."""
        return self.idle_watts if self.static_watts is None else self.static_watts

    @property
    def cost(self) -> Terms:
        """All joules of a step, static power included."""
        return self.joules.plus(self.seconds, self.running_watts)

    @property
    def tdp_watts(self) -> float:
        """What all GPUs may draw at most."""
        return TDP_WATTS * len(self.gpu_shares)

    def without_noise(self) -> "Physics":
        """The same with exact steps."""
        return replace(self, noise=0.0)

    def alone_seconds(self, prompt_tokens: int, output_tokens: int, step_tokens: int) -> float:
        """How long a request runs that never shares a step, prefilled `step_tokens` at a time."""
        prefill = (
            math.ceil(prompt_tokens / step_tokens) * self.seconds.step + prompt_tokens * self.seconds.prefill_token
        )
        decodes = output_tokens - 1
        context = decodes * prompt_tokens + decodes * output_tokens / 2
        return prefill + decodes * (self.seconds.step + self.seconds.decode) + context * self.seconds.context_token


@dataclass(frozen=True, slots=True)
class Fit:
    """Published step energy of a served model: `step + decode x batch` joules over all GPUs, static power included."""

    model: str
    gpus: int
    step_joules: float
    decode_joules: float


FITS = (
    Fit("llama-3.1-8b", 1, 3.16, 0.0665),
    Fit("qwen3-8b", 1, 3.04, 0.0692),
    Fit("qwen3-14b", 1, 4.90, 0.091),
    Fit("qwen3-32b", 2, 11.5, 0.189),
    Fit("llama-3.1-70b", 4, 27.4, 0.360),
)
"""Fitted to ML.ENERGY v3, H100, vLLM 0.11.1; the fits stand within 2 %."""

IDLE_WATTS = 80.0
"""Assumed: an H100 with the context open and no request."""

PREFILL_TOKEN_JOULES = 0.022
"""Of an 8B model: the middle of 0.018 to 0.026 J/token, derived from the same data; scaled with the model's step."""

PREFILL_TDP_SHARE = 0.9
STEP_TDP_SHARE, DECODE_TDP_SHARE, CONTEXT_TDP_SHARE = 0.50, 0.70, 0.65
"""Assumed: the power at which each part of a step runs, which turns its joules into seconds. Published serving data say
only that prefill runs near TDP and decode far below it."""

CONTEXT_SHARE = 0.09
"""Assumed: of a decode step of 16 requests with 1500 tokens of context each, what goes into attending to them."""

STEP_NOISE = 0.02
"""Assumed: what is left of a step's energy when its work is known; the fits themselves are off by 1 to 2 %."""

BOARD_SPREAD = 0.03
"""Assumed: by how much the boards of a replica differ at most, from the mean, in what they draw."""

EIGHT_B = Physics(
    seconds=Terms(step=8.0e-3, prefill_token=8.0e-5, decode=1.2e-4, context_token=1.5e-8),
    joules=Terms(step=2.52, prefill_token=0.0156, decode=0.0482, context_token=7.5e-6),
)
"""An 8B model on one H100, to the letter of the fit at 1k tokens of context."""


def fit_of(model: str) -> Fit:
    """The fit of a model by its name.

    Raises:
        KeyError: there is none.
    """
    return {fit.model: fit for fit in FITS}[model]


def served(fit: Fit) -> Physics:
    """A fitted model on its GPUs: step and decode joules as published, the rest as assumed above.

    At 1000 tokens of context a step of B requests costs what the fit says.
    """
    context_token = CONTEXT_SHARE * (fit.step_joules + 16 * fit.decode_joules) / (16 * 1500)
    cost = Terms(
        step=fit.step_joules,
        prefill_token=PREFILL_TOKEN_JOULES * fit.step_joules / 3.16,
        decode=fit.decode_joules - 1000 * context_token,
        context_token=context_token,
    )
    tdp = fit.gpus * TDP_WATTS
    seconds = Terms(
        step=cost.step / (tdp * STEP_TDP_SHARE),
        prefill_token=cost.prefill_token / (tdp * PREFILL_TDP_SHARE),
        decode=cost.decode / (tdp * DECODE_TDP_SHARE),
        context_token=cost.context_token / (tdp * CONTEXT_TDP_SHARE),
    )
    idle = fit.gpus * IDLE_WATTS
    return Physics(
        seconds=seconds,
        joules=cost.plus(seconds, -idle),
        idle_watts=idle,
        noise=STEP_NOISE,
        gpu_shares=_spread_shares(fit.gpus),
        model=fit.model,
    )


def _spread_shares(gpus: int) -> tuple[float, ...]:
    """Shares evenly spaced around the mean."""
    if gpus == 1:
        return (1.0,)
    return tuple((1.0 + BOARD_SPREAD * (2.0 * index / (gpus - 1) - 1.0)) / gpus for index in range(gpus))


def random_physics(rng: np.random.Generator, *, noise: float = 0.02) -> Physics:
    """A plausible model on plausible GPUs: a published fit, with what the fit does not say drawn around it."""
    fit = FITS[rng.integers(len(FITS))]
    idle = fit.gpus * rng.uniform(60.0, 120.0)
    cost = _random_cost(rng, fit)
    seconds = _random_seconds(rng, fit, cost)
    static = idle + fit.gpus * rng.uniform(5.0, 25.0) if rng.random() < 0.3 else None
    return Physics(
        seconds=seconds,
        joules=cost.plus(seconds, -(idle if static is None else static)),
        idle_watts=idle,
        static_watts=static,
        noise=noise,
        gpu_shares=_random_shares(rng, fit.gpus),
        model=fit.model,
    )


def _random_cost(rng: np.random.Generator, fit: Fit) -> Terms:
    """The fit, with 3 to 15 % of a decode step of 16 requests moved to their context of 1500 tokens each."""
    typical = fit.step_joules + 16 * fit.decode_joules
    context_token = rng.uniform(0.03, 0.15) * typical / (16 * 1500)
    prefill_token = rng.uniform(0.018, 0.026) * fit.step_joules / 3.16
    decode = max(fit.decode_joules - 1500 * context_token, 0.5 * fit.decode_joules)
    return Terms(fit.step_joules * rng.uniform(0.95, 1.05), prefill_token, decode, context_token)


def _random_seconds(rng: np.random.Generator, fit: Fit, cost: Terms) -> Terms:
    """Each term's seconds from its joules and the power at which it plausibly runs, which is below TDP for each."""
    tdp = fit.gpus * TDP_WATTS
    prefill_rate = min(rng.uniform(8e3, 20e3), 0.9 * tdp / cost.prefill_token)
    return Terms(
        step=cost.step / (tdp * rng.uniform(0.42, 0.57)),
        prefill_token=1.0 / prefill_rate,
        decode=cost.decode / (tdp * rng.uniform(0.55, 0.85)),
        context_token=cost.context_token / (tdp * rng.uniform(0.5, 0.8)),
    )


def _random_shares(rng: np.random.Generator, gpus: int) -> tuple[float, ...]:
    """Nearly equal shares: no two boards draw quite the same."""
    weights = rng.uniform(0.95, 1.05, gpus)
    return tuple(float(weight) for weight in weights / weights.sum())
