"""Carbon: what attributed energy emitted, by two configured figures. Modelled, and never part of the meter."""

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.domain.settings import CarbonSettings
from exporter.domain.snapshot import SettledRequest

JOULES_A_KILOWATT_HOUR = 3.6e6


class Carbon:
    """Grams of carbon dioxide equivalent by server, accumulated: a new intensity changes nothing that was emitted."""

    def __init__(self, settings: CarbonSettings) -> None:
        intensity = settings.grams_per_kilowatt_hour
        self.grams_per_joule = intensity / JOULES_A_KILOWATT_HOUR if intensity is not None else None
        self.pue = settings.pue
        self._grams: dict[str, float] = {}

    def add(self, settled: Sequence[SettledRequest]) -> None:
        """Take in settled requests."""
        if self.grams_per_joule is None:
            return
        for one in settled:
            if one.has_energy:
                emitted = one.joules * self.pue * self.grams_per_joule
                self._grams[one.server] = self._grams.get(one.server, 0.0) + emitted

    def grams(self) -> Mapping[str, float]:
        """By server; of nobody where no intensity is configured."""
        return dict(self._grams) if self.grams_per_joule is not None else {}

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return dict(self._grams)

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self._grams = dict(snapshot)
