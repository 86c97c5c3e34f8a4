"""What a server says of itself: its own count of requests and tokens, as its `/metrics` shows them at one instant."""

from dataclasses import dataclass

from exporter.domain.units import Instant


@dataclass(frozen=True, slots=True)
class Gauge:
    """One look at a server. Sums over all that the server tells apart, such as engines and models; None: not told.

    Attributes:
        at: when it was so. uncertainty: half of the time that asking took, in seconds.
        running: requests that are being worked on. waiting: those that are not yet.
        prompt_tokens, output_tokens: processed and generated since the server began to count.
    """

    at: Instant
    uncertainty: float = 0.0
    running: float | None = None
    waiting: float | None = None
    prompt_tokens: float | None = None
    output_tokens: float | None = None
