"""Published joules per output token of a request alone, to suspect a measurement by."""

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.domain.readings import Device

LEAST, MOST = 0.5, 3.0
"""Half to three times: what lies outside is more likely a fault of the measurement, or of another server's."""


@dataclass(frozen=True, slots=True)
class Reference:
    """J per output token, from `low` to `high`, of a model on a GPU. Names are parts of what they are called."""

    gpu: str
    model: tuple[str, ...]
    low: float
    high: float
    source: str

    @property
    def words(self) -> str:
        """What is expected."""
        return f"{LEAST * self.low:.2g} to {MOST * self.high:.2g} J: half to three times {self.source}"

    def holds(self, joules: float) -> bool:
        """Whether this is near enough."""
        return LEAST * self.low <= joules <= MOST * self.high


_REFERENCES = (
    Reference("H200", ("8b", "bf16"), 1.4, 1.4, "1.4 J of an 8B model in bf16 on an H200, derived from ML.ENERGY v3"),
    Reference("H100", ("8b", "bf16"), 2.4, 3.2, "2.4 to 3.2 J of an 8B model in bf16 on an H100, from ML.ENERGY v3"),
)


def reference_for(model: str, devices: Sequence[Device]) -> Reference | None:
    """That of this model on this one GPU; None where there is none, or other devices were metered as well."""
    if len(devices) != 1 or devices[0].method != "measured":
        return None
    told = model.lower().replace("bfloat16", "bf16")
    fitting = (one for one in _REFERENCES if one.gpu in devices[0].model and all(part in told for part in one.model))
    return next(fitting, None)
