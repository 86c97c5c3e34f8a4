"""A simulation at work: the fleet, what it writes down, what befalls it, and what is true of it. It keeps no clock."""

from collections.abc import Callable
from pathlib import Path

from exporter.domain.units import Instant
from exporter.simulate.faults import Faults
from exporter.simulate.fleet import Fleet
from exporter.simulate.gauges import Gauges
from exporter.simulate.journal import Journal
from exporter.simulate.plan import Plan
from exporter.simulate.truth import Truth


class Simulation:
    """All of it but clocks and sockets.

    Args:
        plan: what to simulate.
        directory: where the logs go.
        begin: the instant at which it begins.
        wall_offset: seconds to add to a wall-clock stamp to get an instant, as of then.
        announce: told in words what befalls it.

    Attributes:
        fleet: the servers and boards. gauges: of each server. truth: what no exporter can know.
    """

    def __init__(
        self, plan: Plan, directory: Path, begin: Instant, wall_offset: float, announce: Callable[[str], None]
    ) -> None:
        self.plan = plan
        self.fleet = Fleet(plan.build_replicas(), begin, plan.build_load())
        self.gauges = [Gauges(replica) for replica in self.fleet.replicas]
        self.truth = Truth()
        self._journals = [
            Journal(replica, plan.served_model, directory / replica.name, begin - wall_offset, plan.seed)
            for replica in self.fleet.replicas
        ]
        self._faults = self._build_faults(begin, announce) if plan.faults else None

    def _build_faults(self, begin: Instant, announce: Callable[[str], None]) -> Faults:
        plan = self.plan
        return Faults(plan.faults, plan.fault_every_seconds, self.fleet, self._journals, begin=begin, announce=announce)

    def tick(self, now: Instant) -> None:
        """Time has come to `now`: write down what happened until then."""
        if self._faults is not None:
            self._faults.tick(now)
        with self.fleet.lock:
            until = self.fleet.advance(now)
            news = self.fleet.take_news()
        for (_, happened), gauges, journal in zip(news, self.gauges, self._journals, strict=True):
            self.truth.tell(happened)
            gauges.tell(happened)
            journal.tell(happened, gauges, until)

    @property
    def refused(self) -> int:
        """Requests that no server took in."""
        return sum(gauges.refused for gauges in self.gauges)

    @property
    def present(self) -> int:
        """Requests that are on a server now."""
        return sum(replica.load for replica in self.fleet.replicas)

    def close(self) -> None:
        """Write no more."""
        for journal in self._journals:
            journal.close()
