"""The contract of an attribution policy: it names prices, and the ledger alone turns them into joules.

A policy cannot unbalance the books, because it never sees them: whatever prices it names, the ledger gives out exactly
the energy there is. Three things have a price, in any common unit: a second of being there, a prefill token, a decode
token.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Presence(Protocol):
    """Who was there, slice by slice; arrays of shape (slices,)."""

    @property
    def slice_seconds(self) -> float:
        """Length of a slice."""
        ...

    @property
    def presence(self) -> Floats:
        """Request-seconds."""
        ...

    @property
    def decoding(self) -> Floats:
        """Request-seconds spent in decode."""
        ...

    @property
    def decode_tokens(self) -> Floats:
        """Tokens gained."""
        ...


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices of a policy: of a second of presence, slice by slice, and of a token of each kind."""

    presence: Floats
    prefill_token: float
    decode_token: float


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time in which only this server used its devices, to learn from.

    Attributes:
        seconds: its length. busy_seconds: how much of it somebody was there.
        steps: engine steps. prefill_tokens, decode_tokens: processed. joules: metered.
    """

    seconds: float
    busy_seconds: float
    steps: float
    prefill_tokens: float
    decode_tokens: float
    joules: float


class AttributionPolicy(Protocol):
    """A rule for whose joules they are."""

    def prices(self, here: Presence) -> PriceList:
        """Prices for these slices. Only called while `doubt` is empty."""
        ...

    def learn(self, window: Window) -> None:
        """Take in a window. Policies that have nothing to learn do nothing."""
        ...

    def doubt(self) -> str:
        """Why the policy cannot be used yet, in plain words; empty when it can."""
        ...


def steps(here: Presence) -> Floats:
    """Decode steps of the engine in each slice, of shape (slices,).

    Without speculative decoding each decoding request gains one token a step, so steps a second are tokens per
    request-second of decoding. Steps last while at least one request decodes.
    """
    rate = np.divide(here.decode_tokens, here.decoding, out=np.zeros_like(here.decoding), where=here.decoding > 1e-9)
    run: Floats = rate * np.minimum(here.decoding, here.slice_seconds)
    return run


def coefficients(policy: AttributionPolicy) -> dict[str, float]:
    """What a policy has learned, by term; empty for one that does not learn."""
    learned: Any = getattr(policy, "coefficients", None)
    return dict(learned) if learned else {}
