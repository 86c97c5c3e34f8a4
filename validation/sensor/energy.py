"""Energy by the counter and by integrated power, over the same while. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from validation.sensor.polling import Floats, Samples
from validation.sensor.steps import changes
from validation.sensor.window import Edges


@dataclass(frozen=True, slots=True)
class Agreement:
    """Both, from one step of the counter to another."""

    seconds: float
    counter_joules: float
    power_joules: float

    @property
    def ratio(self) -> float | None:
        """Counter over integral."""
        return self.counter_joules / self.power_joules if self.power_joules > 0.0 else None


def agreement(counter: Samples, power: Samples, delay_seconds: float = 0.0) -> Agreement | None:
    """Between the first and the last step of the counter; None where it did not step twice or power is unknown.

    Args:
        counter: in mJ.
        power: in mW, asked beside it.
        delay_seconds: by how much the power comes late, half its window included.
    """
    seen = changes(counter)
    if seen.at.size < 2 or power.at.size < 2:
        return None
    start, end = float(seen.at[0]), float(seen.at[-1])
    joules = integral(Samples(power.at - delay_seconds, power.value, power.call), start, end)
    return Agreement(end - start, float(seen.value[-1] - seen.value[0]) / 1e3, joules)


def total(parts: Iterable[Agreement]) -> Agreement | None:
    """Of several whiles together; None without any."""
    known = list(parts)
    if not known:
        return None
    return Agreement(
        sum(part.seconds for part in known),
        sum(part.counter_joules for part in known),
        sum(part.power_joules for part in known),
    )


def integral(power: Samples, start: float, end: float) -> float:
    """Joules of mW samples by trapezoids, up to the very edges; beyond the samples the nearest holds."""
    inside = power.at[(power.at > start) & (power.at < end)]
    at = np.concatenate([[start], inside, [end]])
    watts = np.interp(at, power.at, power.value) / 1e3
    return float(np.diff(at) @ (watts[1:] + watts[:-1])) / 2


def joules_at(counter: Samples, moments: Floats) -> Floats:
    """What the counter would say at these moments, on a straight line between its steps."""
    seen = changes(counter)
    return np.interp(moments, seen.at, seen.value) / 1e3


def burst_joules(counter: Samples, edges: Edges, rest_seconds: float) -> list[float]:
    """Of each burst, from the middle of the rest before it to the middle of the rest behind.

    At rest power hardly changes, so the counter is cut where a straight line between its steps is right.
    """
    cuts = [cut for start, end in edges for cut in (start - rest_seconds / 2, end + rest_seconds / 2)]
    joules = joules_at(counter, np.array(cuts))
    return [float(end - start) for start, end in zip(joules[::2], joules[1::2], strict=True)]


def spread(values: Sequence[float]) -> float | None:
    """Coefficient of variation; None for fewer than three values, or of values about zero."""
    mean = float(np.mean(values)) if len(values) else 0.0
    return float(np.std(values, ddof=1)) / mean if len(values) > 2 and mean > 0.0 else None
