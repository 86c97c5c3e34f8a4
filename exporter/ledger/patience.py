"""How long a sensor may be silent before something is taken to be wrong.

A sensor in the machine steps many times a second, and the waits of the ledger are made for that. One that another
program collects for us, as dcgm-exporter does every half minute, says nothing new for that long while all is well, so
each wait grows with `Device.period_seconds`. Where that is 0 they are what they are for a sensor in the machine.
"""

from exporter.domain.readings import Device

HOLE_SECONDS = 1.0
"""Looks further apart than this left a hole between them."""
LONGEST_HOLE_SECONDS = 10.0
"""Power readings further apart than this always leave one, however seldom they came before."""
_LOOKS_A_PERIOD = 5.0
"""A change is dated to between two looks: five of them in a period date it well enough to measure the period."""
_CHECK_SECONDS = 60.0
_PERIODS_TO_CHECK = 60.0
"""So many samples of power have a mean that is right to some ten percent, whatever the load does in between."""
_STUCK_SECONDS = 10.0
_STALE_SECONDS = 5.0
_SILENCE_SECONDS = 65.0


class Patience:
    """The waits that suit one device.

    Attributes:
        check_seconds: on so much time its counter is judged by its power.
        look_seconds: a step seen after a longer pause of looking cannot be dated, and tells nothing of the period.
        sample_seconds: power readings so far apart are still joined; 0: as the gaps between them say.
        stale_seconds: so long the latest power is shown as the present one.
        silence_seconds: settling waits so long for its energy: longer than finding a stuck counter takes.
    """

    def __init__(self, device: Device) -> None:
        period = device.period_seconds
        self._period = period
        self.check_seconds = max(_CHECK_SECONDS, _PERIODS_TO_CHECK * period)
        self.look_seconds = max(HOLE_SECONDS, period / _LOOKS_A_PERIOD)
        self.sample_seconds = 2.0 * period
        self.stale_seconds = _STALE_SECONDS + 2.0 * period
        self.silence_seconds = _SILENCE_SECONDS + 3.0 * period

    def period(self, measured: float | None) -> float:
        """How far apart steps are: as measured, else as expected; 0 where neither is known."""
        return measured or self._period

    def stuck_seconds(self, measured: float | None) -> float:
        """So long a counter may stand still while power is drawn: twenty steps of a quick one, two of a slow one."""
        period = self.period(measured)
        return max(_STUCK_SECONDS, min(20.0 * period, 20.0 + 2.0 * period))

    def hole_seconds(self, measured: float | None) -> float:
        """After so long a pause of looking a step's energy is an interpolation: steps in between were missed."""
        period = self.period(measured)
        return max(HOLE_SECONDS, min(5.0 * period, max(LONGEST_HOLE_SECONDS, period)))
