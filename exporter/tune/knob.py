"""The contract of a knob: one setting of one device that can be turned."""

from dataclasses import dataclass
from typing import Literal, Protocol

KnobName = Literal["power_limit", "clocks"]
Unit = Literal["W", "MHz"]


@dataclass(frozen=True, slots=True)
class KnobRange:
    """What a knob can be set to.

    Attributes:
        unit: of all values.
        settings: those worth trying, ascending; the last is the least restrictive.
        default: what the device has without us.
    """

    unit: Unit
    settings: tuple[int, ...]
    default: int


class Knob(Protocol):
    """A power limit, or the upper end of a range of locked graphics clocks, of one device.

    Every method may raise KnobError: the device refuses, says why and what to do.
    """

    @property
    def name(self) -> KnobName:
        """What is turned."""
        ...

    @property
    def device(self) -> str:
        """Whose: `gpu0`."""
        ...

    @property
    def uuid(self) -> str:
        """The vendor's identity of the device."""
        ...

    def range(self) -> KnobRange:
        """What it can be set to."""
        ...

    def set(self, setting: int) -> None:
        """Turn it."""
        ...

    def restore(self) -> None:
        """Put back what was there when the knob was opened. May be called twice."""
        ...
