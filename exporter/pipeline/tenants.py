"""Whose joules: energy by tenant on one server, for the bill. The number of tenants is bounded."""

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import Joules

UNKNOWN = "unknown"
"""Whoever's request names no tenant."""
OTHER = "other"
"""Whoever comes after as many tenants as are told apart."""


class Tenants:
    """Joules by tenant. `overflows`: requests of tenants that are not told apart."""

    def __init__(self, most: int) -> None:
        self.overflows = 0
        self._most = most
        self._joules: dict[str, float] = {}

    def add(self, settled: Sequence[SettledRequest]) -> None:
        """Take in settled requests."""
        for one in settled:
            if one.has_energy:
                name = self._name(one.tenant)
                self._joules[name] = self._joules.get(name, 0.0) + one.joules

    def _name(self, tenant: str | None) -> str:
        if tenant is None or tenant in self._joules:
            return tenant or UNKNOWN
        known = len(self._joules.keys() - {UNKNOWN, OTHER})
        self.overflows += known >= self._most
        return tenant if known < self._most else OTHER

    def view(self) -> Mapping[str, Joules]:
        """Joules by tenant; nobody where no request has ever named one."""
        named = self._joules.keys() - {UNKNOWN}
        return {name: Joules(joules) for name, joules in self._joules.items()} if named else {}

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {"joules": self._joules, "overflows": self.overflows}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self._joules, self.overflows = dict(snapshot["joules"]), snapshot["overflows"]
