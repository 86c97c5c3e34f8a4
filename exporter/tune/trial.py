"""What one setting was measured to cost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting, measured by the books over one interval of steady load.

    Attributes:
        setting: of the knob, in its unit.
        seconds: how long it was measured.
        joules: of requests that settled in this time, by the exporter's books.
        output_tokens: of these requests. requests: how many.
        latency_seconds: the latency that the objective is about, such as the 95th percentile; None where too few
            requests ended to tell.
        device_joules: all that the device drew in this time, idle included.
        steady: whether the load and its cost had settled before, and stayed so.
        at_seconds: the middle of the interval, counted from any fixed moment before the first trial.
        error: relative standard error of the joules per token, by how far the parts of the interval disagree; None
            where it had too few parts to tell.
    """

    setting: int
    seconds: float
    joules: float
    output_tokens: int
    requests: int
    latency_seconds: float | None
    device_joules: float
    steady: bool = True
    at_seconds: float = 0.0
    error: float | None = None

    @property
    def joules_per_token(self) -> float | None:
        """Energy over output tokens; None without tokens."""
        return self.joules / self.output_tokens if self.output_tokens else None

    @property
    def watts(self) -> float:
        """What the device drew on average."""
        return self.device_joules / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Throughput."""
        return self.output_tokens / self.seconds
