"""Joules in other units: each line with its factor, and where the factor comes from."""

from dataclasses import dataclass
from typing import Literal

LineKind = Literal["unit", "cost", "carbon", "factor"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a footprint.

    Attributes:
        kind: `unit`: something that people feel; `cost`, `carbon`; `factor`: energy that is not metered but added by a
            multiplier, such as the building's (PUE) or the host's.
        name: what it is: `phone charges`, `building (PUE)`.
        value: in `unit`. unit: `charges`, `EUR`, `g CO2e`, `kWh`.
        factor: how the value comes out of the joules, in words: `12 Wh each`, `381 g/kWh`, `x 1.2`.
        source: who says so, and when.
        modelled: whether the value rests on more than the meter; so does all but plain unit conversion.
    """

    kind: LineKind
    name: str
    value: float
    unit: str
    factor: str
    source: str
    modelled: bool = True
