"""What the shell may ask about time. The core never asks: instants come in as arguments."""

from typing import Protocol

from exporter.domain.units import Instant


class Clock(Protocol):
    """A clock that never steps, anchored to the wall clock once."""

    def now(self) -> Instant:
        """The present instant. Never goes backwards."""
        ...

    def wall_offset(self) -> float:
        """Seconds to add to a wall-clock stamp written now to get an instant; 0 until somebody sets the wall clock."""
        ...

    def real(self, seconds: float) -> float:
        """Real seconds to sleep for `seconds` to pass on this clock: the same, unless a test runs time faster."""
        ...
