"""Settling: from finished requests and the energy in their slices to requests with joules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

import numpy as np
from numpy.typing import NDArray

from exporter.ledger.claims import Claims, Life
from exporter.ledger.ledger import Group, Ledger
from exporter.ledger.slices import Reserved
from exporter.pipeline.observing import Observer
from exporter.pipeline.requests import Requests, Running
from exporter.pipeline.waiting import Finished
from exporter.proxy.proxy import Features

Floats = NDArray[np.float64]
PriceBook = Callable[[Group, int, Floats], Floats]
"""From a group, the number of a slice, and who was there from it on, to prices."""

_CONTEXT_SLICES = 20
_NO_CLAIMS = Claims.of([])


@dataclass(slots=True)
class Batch:
    """Requests of one server that settle together, and what they were given; arrays of shape (requests,).

    Attributes:
        metered: busy energy while they were there; NaN for those that did not run alone.
        seen: what can be seen of them; None where there is none.
    """

    finished: list[Finished]
    joules: dict[str, Floats] = field(default_factory=dict)
    prefill: Floats = field(init=False)
    late: Floats = field(init=False)
    metered: Floats = field(init=False)
    seen: Features | None = None

    def __post_init__(self) -> None:
        self.prefill = np.zeros(len(self.finished))
        self.late = np.zeros(len(self.finished))
        self.metered = np.zeros(len(self.finished))

    @property
    def total(self) -> Floats:
        """Joules of all devices, of shape (requests,)."""
        return sum(self.joules.values(), np.zeros(len(self.finished)))

    def rows(self, chosen: Sequence[int]) -> "Batch":
        """Some of the requests."""
        some = Batch([self.finished[index] for index in chosen])
        rows = np.array(chosen, dtype=np.intp)
        some.joules = {name: joules[rows] for name, joules in self.joules.items()}
        some.prefill, some.late, some.metered = self.prefill[rows], self.late[rows], self.metered[rows]
        some.seen = self.seen.rows(rows) if self.seen is not None else None
        return some


@dataclass(frozen=True, slots=True)
class _Market:
    """A run of slices with its prices, where claims can be settled."""

    group: Group
    reserved: Reserved
    held: Floats
    prices: Floats

    def settle(self, lane: int, claims: Claims, batch: Batch) -> None:
        """Settle one server's claims into its batch."""
        late = [index for index, one in enumerate(batch.finished) if one.late and not one.ghost]
        due = self._due(lane, [batch.finished[index].life for index in late])
        taken = self.group.slices.settle(lane, claims, self.prices, self.reserved)
        total = taken.total
        batch.prefill += taken.prefill.sum(axis=0)
        batch.late[late] += np.maximum(due - total[:, late].sum(axis=0), 0.0)
        for index, name in enumerate(self.group.devices):
            batch.joules[name] = total[index]

    def _due(self, lane: int, lives: Sequence[Life]) -> Floats:
        """What these would have been given in time, joules of shape (requests,)."""
        if not lives:
            return np.zeros(0)
        due: Floats = self.group.slices.due(lane, Claims.of(lives), self.prices, self.reserved).total.sum(axis=0)
        return due


class Settling:
    """Moves energy from slices to requests, one advance of the watermark at a time."""

    def __init__(
        self,
        ledger: Ledger,
        servers: Mapping[str, Requests],
        prices: PriceBook,
        observer: Observer,
        *,
        exclude_static: bool,
    ) -> None:
        self._ledger = ledger
        self._servers = servers
        self._prices = prices
        self._exclude_static = exclude_static
        self._observer = observer
        self._horizon = round(ledger.horizon_seconds / ledger.slice_seconds)

    def advance(self, until: int, told_until: float) -> dict[str, Batch]:
        """Let slices before number `until` ripen and settle what ended in them. Returns what settled, by server.

        Everything has been told of the time before `told_until`, though its energy may not settle yet.
        """
        self.leap(until)
        for server, requests in self._servers.items():
            fresh = requests.fresh()
            if fresh:
                self._ledger.register(server, Claims.of([one.life for one in fresh]))
        for group in self._ledger.groups:
            self._ledger.refine(group, until, told_until, partial(self._running, group))
        edge = until * self._ledger.slice_seconds
        batches = {server: Batch(requests.due(edge)) for server, requests in self._servers.items()}
        for group in self._ledger.groups:
            self._settle_group(group, until, batches)
        for requests in self._servers.values():
            requests.ripe = max(requests.ripe, edge)
        for batch in batches.values():
            self._book(batch)
        self._close_old(until)
        return batches

    def _settle_group(self, group: Group, until: int, batches: Mapping[str, Batch]) -> None:
        slices = group.slices
        claims = [Claims.of([one.life for one in batches[server].finished]) for server in group.lanes]
        starts = [slices.number(float(each.start.min())) for each in claims if len(each)]
        if until <= slices.ripe and not starts:
            return
        first = max(min([slices.ripe - _CONTEXT_SLICES, *starts]), slices.closed)
        market = self._open_market(group, first, max(until, slices.ripe))
        self._ledger.ripen(group, until, market.reserved, exclude_static=self._exclude_static)
        for lane, server in enumerate(group.lanes):
            if len(claims[lane]):
                market.settle(lane, claims[lane], batches[server])
                self._observe(market, lane, batches[server])
        self._learn_idle(group, until)

    def _observe(self, market: "_Market", lane: int, batch: Batch) -> None:
        first = market.reserved.first
        if batch.seen is None:
            batch.seen = self._observer.features(batch.finished, market.held[:, lane], first)
        batch.metered += self._observer.metered(market.group, batch.finished, market.held, first)

    def _learn_idle(self, group: Group, until: int) -> None:
        """Learn it late enough that whoever was there is known; at the latest when slices are about to close."""
        edge = until * self._ledger.slice_seconds
        known = min((self._servers[server].quiet_until(edge) for server in group.lanes), default=edge)
        closing = until - self._horizon + 2 * _CONTEXT_SLICES
        self._ledger.learn_idle(group, max(group.slices.number(known), closing), lambda: self._running(group, edge))

    def _running(self, group: Group, until: float) -> list[Claims]:
        return [Claims.of(self._servers[server].reservations(until)) for server in group.lanes]

    def _open_market(self, group: Group, first: int, stop: int) -> "_Market":
        edge = group.slices.edge(stop)
        reserved = group.slices.reserve(self._running(group, edge), first, stop)
        held = group.slices.occupancy(reserved)
        return _Market(group, reserved, held, self._prices(group, first, held))

    def _book(self, batch: Batch) -> None:
        """Book what was taken, ghosts apart, and what running requests were given before."""
        ghost = np.array([one.ghost for one in batch.finished], dtype=bool)
        for name, taken in batch.joules.items():
            books = self._ledger.books[name]
            held = np.array([one.accrued.get(name, 0.0) for one in batch.finished])
            books.held -= float(held.sum())
            taken += held  # noqa: PLW2901 - in place: the batch itself is told what it holds
            books.book("requests", float(taken[~ghost].sum()))
            books.book("unattributed", float(taken[ghost].sum()))

    # --- slices too old to wait any longer --------------------------------------------------------------------------

    def _close_old(self, until: int) -> None:
        """Close what is older than the horizon, but not under a request that has ended and is about to settle."""
        oldest = until - self._horizon
        waiting = [requests.waiting_since() for requests in self._servers.values()]
        held = min(waiting, default=inf)
        self.close(oldest if held == inf else min(oldest, int(held / self._ledger.slice_seconds)))

    def leap(self, until: int) -> None:
        """Where time has leapt to slice number `until`, close what is too old to wait for: slices stay bounded."""
        oldest = until - 2 * self._horizon
        if any(group.slices.closed < oldest for group in self._ledger.groups):
            for group in self._ledger.groups:
                group.slices.ripe = max(group.slices.ripe, oldest)
            self.close(oldest)

    def close(self, until: int) -> None:
        """Close slices before number `until`. Requests still running are given what they are due in them first."""
        reached = min(until, max((group.slices.reached for group in self._ledger.groups), default=until))
        edge = reached * self._ledger.slice_seconds
        overlong = {server: list(requests.overlong(edge)) for server, requests in self._servers.items()}
        for group in self._ledger.groups:
            if until > group.slices.closed:
                self._accrue(group, reached, overlong)
                self._ledger.close(group, until)
        for pairs in overlong.values():
            for running, life in pairs:
                running.since = edge
                running.accrued_tokens += life.decode_tokens

    def _accrue(self, group: Group, until: int, overlong: Mapping[str, list[tuple[Running, Life]]]) -> None:
        slices = group.slices
        pairs = [overlong[server] for server in group.lanes]
        claims = [Claims.of([life for _, life in each]) for each in pairs]
        if not any(len(each) for each in claims):
            return
        for lane, each in enumerate(claims):
            slices.register(lane, each)
        reserved = slices.reserve([_NO_CLAIMS for _ in claims], slices.closed, max(until, slices.closed))
        prices = self._prices(group, reserved.first, slices.occupancy(reserved))
        for lane, each in enumerate(claims):
            taken = slices.settle(lane, each, prices, reserved).total if len(each) else np.zeros((0, 0))
            for index, name in enumerate(group.devices[: len(taken)]):
                self._hold(name, [running for running, _ in pairs[lane]], taken[index])

    def _hold(self, name: str, running: Sequence[Running], joules: Floats) -> None:
        for one, mine in zip(running, joules.tolist(), strict=True):
            one.accrued[name] = one.accrued.get(name, 0.0) + mine
        self._ledger.books[name].held += float(joules.sum())
