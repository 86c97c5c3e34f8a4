"""Several devices turned as one: GPUs that share a model wait for the slowest, so they are set alike."""

from collections.abc import Sequence

from exporter.domain.errors import TuneError
from exporter.tune.knob import Knob, KnobName, KnobRange


class Ensemble:
    """A knob made of the same knob of several devices.

    Raises:
        TuneError: they cannot be set to the same.
    """

    def __init__(self, knobs: Sequence[Knob]) -> None:
        ranges = {knob.range() for knob in knobs}
        if len(ranges) != 1:
            told = "; ".join(
                f"{knob.device} from {knob.range().settings[0]} to {knob.range().default}" for knob in knobs
            )
            raise TuneError(f"these GPUs cannot be set alike ({told}): choose some by --gpu")
        self._knobs = knobs
        (self._range,) = ranges

    @property
    def name(self) -> KnobName:
        """What is turned."""
        return self._knobs[0].name

    @property
    def device(self) -> str:
        """Whose, all of them."""
        return ", ".join(knob.device for knob in self._knobs)

    @property
    def uuid(self) -> str:
        """Theirs."""
        return ", ".join(knob.uuid for knob in self._knobs)

    def range(self) -> KnobRange:
        """What each can be set to."""
        return self._range

    def set(self, setting: int) -> None:
        """Turn all of them."""
        for knob in self._knobs:
            knob.set(setting)

    def restore(self) -> None:
        """Put all of them back."""
        for knob in self._knobs:
            knob.restore()
