"""The contract of an attribution policy: it names prices, and the ledger alone turns them into joules.

A policy cannot unbalance the books, because it never sees them: whatever prices it names, the ledger gives out exactly
the energy there is. Five things can have a price, in any common unit: a second of being there, a second of decoding, a
second of decoding times the tokens attended to, a prefill token, a decode token.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scene:
    """Who was there, slice by slice; arrays of shape (slices,).

    Attributes:
        presence: request-seconds. decoding: of them spent in decode.
        context: decoding seconds times the tokens that were attended to.
        prefill_tokens, decode_tokens: processed in the slice, as far as known.
    """

    slice_seconds: float
    presence: Floats
    decoding: Floats
    context: Floats
    prefill_tokens: Floats
    decode_tokens: Floats

    def busy_seconds(self) -> Floats:
        """How much of each slice somebody was there."""
        return np.minimum(self.presence, self.slice_seconds)


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices of a policy, each a number or one for every slice."""

    presence: Floats | float = 0.0
    decoding: Floats | float = 0.0
    context: Floats | float = 0.0
    prefill_token: Floats | float = 0.0
    decode_token: Floats | float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time in which only this server used its devices, to learn from.

    Attributes:
        seconds: its length. busy_seconds: how much of it somebody was there.
        steps: engine steps in decode. prefill_tokens, decode_tokens: processed.
        context_tokens: decode tokens times what each attended to.
        joules: metered.
    """

    seconds: float
    busy_seconds: float
    steps: float
    prefill_tokens: float
    decode_tokens: float
    context_tokens: float
    joules: float


class AttributionPolicy(Protocol):
    """A rule for whose joules they are."""

    def prices(self, here: Scene) -> PriceList:
        """Prices for these slices. Only called while `doubt` is empty."""
        ...

    def learn(self, window: Window) -> None:
        """Take in a window. Policies that have nothing to learn do nothing."""
        ...

    def doubt(self) -> str:
        """Why the policy cannot be used yet, in plain words; empty when it can."""
        ...


def step_rate(here: Scene) -> Floats:
    """Decode steps a second in each slice, of shape (slices,).

    Without speculative decoding each decoding request gains one token a step, so the rate of steps is tokens per
    request-second of decoding.
    """
    seconds = here.decoding
    return np.divide(here.decode_tokens, seconds, out=np.zeros_like(seconds), where=seconds > 1e-9)


def coefficients(policy: AttributionPolicy) -> dict[str, float]:
    """What a policy has learned, by term; empty for one that does not learn."""
    learned: Any = getattr(policy, "coefficients", None)
    return dict(learned) if learned else {}
