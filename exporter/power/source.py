"""The contract of a power source."""

from collections.abc import Sequence
from typing import Protocol

from exporter.domain.readings import Device, Reading


class PowerSource(Protocol):
    """Something that can be asked for readings. Opening it raises SourceError; asking it never raises."""

    @property
    def devices(self) -> Sequence[Device]:
        """What it meters, fixed while it is open."""
        ...

    def read(self) -> Sequence[Reading]:
        """Ask every device once, now.

        Each reading carries the instant in the middle of its own call; one that was made before, since the last call,
        carries that instant. A device that does not answer yields a ReadFailure and nothing else: yesterday's value
        is never repeated.
        """
        ...

    def close(self) -> None:
        """Let go of the hardware. May be called twice."""
        ...
