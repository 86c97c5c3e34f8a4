"""The contract of a proxy: it predicts joules from what anyone without a power meter can see, and then it learns.

The order is not its own business: the scorer alone decides it, and it always asks for the prediction first. What a
proxy learns from is metered energy of whole stretches of time, in which nobody's share is a matter of any rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Features:
    """What can be seen of requests without a power meter: columns of one length, NaN where the log does not tell.

    A row is a request, or the sum of everything in a stretch of time, where each request counts by the part of its
    life that lies in it.

    Attributes:
        requests: how many: 1 for a request, a fraction in a stretch of time.
        seconds: from arrival to the end, as a client waits: queueing included.
        served_seconds: of these on the server.
        shared_seconds: integral of dt / n(t) over the time on the server, n requests being there: it sums to the
            seconds in which the server was busy.
        prompt_tokens: all of the prompt. output_tokens: generated.
        prefill_tokens: prompt tokens computed, without those a cache held.
        decode_tokens: gained in decode steps: output tokens without the first, where its moment is known.
        step_shares: engine steps in decode, each divided by how many requests were there.
        context_tokens: decode tokens times the tokens that each attended to.
    """

    requests: Floats
    seconds: Floats
    served_seconds: Floats
    shared_seconds: Floats
    prompt_tokens: Floats
    output_tokens: Floats
    prefill_tokens: Floats
    decode_tokens: Floats
    step_shares: Floats
    context_tokens: Floats

    def __len__(self) -> int:
        return len(self.requests)

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Features":
        """Some of the rows."""
        return Features(*(getattr(self, one.name)[chosen] for one in fields(self)))

    @property
    def concurrency(self) -> Floats:
        """How many requests were there while each was, itself included: at least 1."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.maximum(np.nan_to_num(self.served_seconds / self.shared_seconds, nan=1.0, posinf=1.0), 1.0)


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One learned number. `error`: its standard error, infinite while unknown, 0 for what is given and not learned."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Term:
    """One addend of a proxy that is linear in what it sees.

    Attributes:
        name: of what costs energy. unit: of its coefficient.
        cause: how much of it was at work, row by row.
    """

    name: str
    unit: str
    cause: Callable[[Features], Floats]


class Proxy(Protocol):
    """A way to tell energy without metering it."""

    def predict(self, seen: Features) -> Floats:
        """Joules of each row; NaN where it cannot say: not learned yet, or what it needs is not known. Never negative.

        Changes nothing.
        """
        ...

    def learn(self, seen: Features, joules: Floats, seconds: float) -> None:
        """Take in rows, each a stretch of time of this length, with the busy energy metered in it.

        Rows with NaN in what the proxy needs are left out. Older rows fade with time.
        """
        ...

    @property
    def coefficients(self) -> Mapping[str, Coefficient]:
        """What it has learned, by term; empty until then."""
        ...


class Lasting(Protocol):
    """What learns and must go on from there after a restart."""

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot; one that another version left and that does not fit is as good as none."""
        ...


class LastingProxy(Proxy, Lasting, Protocol):
    """A proxy as the pipeline keeps it."""
