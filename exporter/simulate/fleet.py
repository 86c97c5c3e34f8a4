"""The simulated fleet: replicas of one model behind a router, and the load that comes by itself.

Theory of operation. The fleet keeps no clock. Whoever needs to know something first advances it to the present: the
sampler's thread before it reads a sensor, the session's task before it hands tokens out, the front before it submits a
request. What happens depends on the seed, and on what is submitted and when, but not on who advances it how often: the
engines see to that, and arrivals of the fleet's own load are submitted at their own instants, in order, each to the
replica with the least to do at that instant. A lock makes each of these a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import RLock

from exporter.domain.units import Instant, Joules
from exporter.simulate.engine import Passage
from exporter.simulate.load import Request
from exporter.simulate.replica import News, Refusal, Replica


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that a replica has taken in."""

    passage: Passage
    replica: Replica


class Fleet:
    """All replicas.

    Args:
        replicas: at least one.
        begin: the instant at which the simulation begins.
        load: requests that come by themselves, in order of arrival, in seconds since then.
    """

    def __init__(self, replicas: tuple[Replica, ...], begin: Instant, load: Iterator[Request]) -> None:
        assert replicas
        self.replicas = replicas
        self.begin = begin
        self.lock = RLock()
        self._load = load
        self._next = next(load, None)
        self._reached = 0.0

    def seconds(self, now: Instant) -> float:
        """An instant on the fleet's own time axis."""
        return now - self.begin

    def advance(self, now: Instant) -> float:
        """Time has come to `now`, or was there already. Returns how far it has come, in seconds."""
        with self.lock:
            # Two threads may ask in another order than they looked at the clock.
            self._reached = until = max(self.seconds(now), self._reached)
            while self._next is not None and self._next.at < until:
                self._advance(self._next.at)
                self._route(self._next, self._next.at)
                self._next = next(self._load, None)
            self._advance(until)
            return until

    def submit(self, request: Request, now: Instant) -> Accepted | Refusal:
        """A request comes now, wherever its `at` says."""
        with self.lock:
            return self._route(request, self.advance(now))

    def abort(self, accepted: Accepted, now: Instant) -> None:
        """Its client leaves now."""
        with self.lock:
            accepted.replica.abort(accepted.passage, self.advance(now))

    def crash(self, replica: Replica, now: Instant, down_seconds: float) -> None:
        """A server dies and is back after so long."""
        with self.lock:
            replica.crash(self.advance(now), down_seconds)

    def end_load(self) -> None:
        """From now on nothing comes by itself."""
        with self.lock:
            self._next = None

    def hang_up(self, now: Instant) -> None:
        """Every client leaves now, and nobody is taken in any more."""
        with self.lock:
            self.end_load()
            at = self.advance(now)
            for replica in self.replicas:
                replica.end(at)

    def take_news(self) -> list[tuple[Replica, News]]:
        """What happened in each replica since this was asked before."""
        with self.lock:
            return [(replica, replica.take_news()) for replica in self.replicas]

    def busy_joules(self) -> Joules:
        """True energy of all steps that have begun: what requests have cost together."""
        with self.lock:
            return Joules(sum(replica.busy_joules for replica in self.replicas))

    def _advance(self, until: float) -> None:
        for replica in self.replicas:
            replica.advance(until)

    def _route(self, request: Request, at: float) -> Accepted | Refusal:
        """To the replica with the least to do that takes it."""
        by_load = sorted(self.replicas, key=lambda replica: replica.load)
        for replica in by_load:
            if replica.refuses(at) is None:
                return Accepted(replica.submit(request, at), replica)
        why: Refusal = "overloaded" if any(one.refuses(at) == "overloaded" for one in by_load) else "restarting"
        by_load[0].refuse(why)
        return why
