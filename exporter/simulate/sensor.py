"""A simulated board's sensors, with an H100's habits and, on request, with the faults that real ones have.

Power and energy counter are renewed every 100 ms, each board on a grid of its own; in between they repeat themselves.
Power is the mean over the 25 ms before (the `instant` field; Yang, Adamek, Armour, SC24, arXiv 2312.02741), the
counter counts whole millijoules since the driver was loaded. Gain is exact: what a real board is off by, up to 5 %
(ibid.), no exporter could know.
"""

import math

from exporter.domain.units import Joules, Watts
from exporter.simulate.trace import EnergyTrace

PERIOD_SECONDS = 0.1
WINDOW_SECONDS = 0.025
_GOLDEN = 0.6180339887498949
_COUNTED_BEFORE_JOULES = 1.0e6
"""What the counter says when the simulation begins; assumed. A counter that has been reset begins at nothing."""


class Sensor:
    """The sensors of one board. Times are seconds since the simulation began and never go back.

    Args:
        trace: energy of all boards of the replica.
        share: this board's share of it.
        index: which board; spreads the boards' grids.
    """

    def __init__(self, trace: EnergyTrace, share: float, index: int) -> None:
        self._trace = trace
        self._share = share
        self._phase = PERIOD_SECONDS * (index * _GOLDEN % 1.0)
        self._offset = _COUNTED_BEFORE_JOULES
        self._lost_until = -math.inf
        self._stuck_until = -math.inf
        self._stuck_joules = 0.0

    # --- what it says ----------------------------------------------------------------------------------------------

    def lost(self, at: float) -> bool:
        """Whether the board does not answer."""
        return at < self._lost_until

    def counter(self, at: float) -> Joules:
        """The energy counter."""
        joules = self._stuck_joules if at < self._stuck_until else self._counted(at)
        return Joules(math.floor(joules * 1e3) / 1e3)

    def watts(self, at: float) -> Watts:
        """The power reading."""
        renewed = self._renewed(at)
        return Watts((self.true_joules(renewed) - self.true_joules(renewed - WINDOW_SECONDS)) / WINDOW_SECONDS)

    def true_joules(self, at: float) -> float:
        """What the board has truly drawn since the simulation began."""
        return self._share * self._trace.joules(at)

    def _renewed(self, at: float) -> float:
        return math.floor((at - self._phase) / PERIOD_SECONDS) * PERIOD_SECONDS + self._phase

    def _counted(self, at: float) -> float:
        return self._offset + self.true_joules(self._renewed(at))

    # --- what befalls it -------------------------------------------------------------------------------------------

    def lose(self, at: float, seconds: float) -> None:
        """It does not answer for so long; the counter goes on counting."""
        self._lost_until = at + seconds

    def stick(self, at: float, seconds: float) -> None:
        """The counter stands still for so long, and then says what it should."""
        self._stuck_joules = self._counted(at)
        self._stuck_until = at + seconds

    def reset(self, at: float) -> None:
        """The counter begins anew, as after a reload of the driver."""
        self._offset -= self._counted(at)
