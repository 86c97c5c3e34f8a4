"""Clients that wait for their answers. What they wait for happens in the fleet; they are woken when it has."""

import asyncio
from collections.abc import Callable

from exporter.domain.units import Instant
from exporter.simulate.engine import Passage
from exporter.simulate.fleet import Accepted, Fleet
from exporter.simulate.load import Request
from exporter.simulate.replica import Refusal


class Ticket:
    """One client's wait."""

    def __init__(self, accepted: Accepted) -> None:
        self.accepted = accepted
        self._seen = 0
        self._changed = asyncio.Event()

    @property
    def passage(self) -> Passage:
        """Its request's way through the engine."""
        return self.accepted.passage

    def look(self) -> None:
        """Wake the client if there is something new."""
        if self.passage.output_tokens > self._seen or self.passage.end is not None:
            self._changed.set()

    async def tokens(self) -> tuple[int, bool]:
        """Wait until there are tokens or the request has ended; returns how many are new, and whether it has ended."""
        await self._changed.wait()
        self._changed.clear()
        ended = self.passage.end is not None  # before counting: another thread may be ending it
        seen, self._seen = self._seen, self.passage.output_tokens
        return self._seen - seen, ended


class Desk:
    """Takes requests for the fleet and wakes those who wait."""

    def __init__(self, fleet: Fleet, now: Callable[[], Instant]) -> None:
        self._fleet = fleet
        self._now = now
        self._tickets: set[Ticket] = set()

    def submit(self, request: Request) -> Ticket | Refusal:
        """Hand a request in, now."""
        accepted = self._fleet.submit(request, self._now())
        if not isinstance(accepted, Accepted):
            return accepted
        ticket = Ticket(accepted)
        self._tickets.add(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """The client waits no longer; if its answer is not complete, its request is aborted."""
        self._tickets.discard(ticket)
        if ticket.passage.end is None:
            self._fleet.abort(ticket.accepted, self._now())

    def look(self) -> None:
        """Time has passed: wake whom it concerns."""
        for ticket in self._tickets:
            ticket.look()
