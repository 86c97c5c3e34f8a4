"""The ledger proper: energy and claims on a row of equal slices of time.

Theory of operation. Time is cut into slices (100 ms by default). Each holds, per device, the energy metered in it and,
per server ("lane"), how much was there to cause it: seconds of presence and of decoding, context attended to, prefill
and decode tokens. A policy prices these; prices turn them into weights, and a request that settles takes from each
slice

    energy left x own weight / weight left

and removes its weight. Taking and removing together make the split independent of the order of settling, and since
energy only ever moves from `left` to a share, the books balance by construction:

    deposited = taken + idle + unattributed + left

A whole batch settles at once: the price of a slice (energy left / weight left) is the same for all its members, so a
request's energy is an integral of prices over its life, read off two cumulated sums. The cost hardly grows with the
batch.

A slice goes through three ages: *open* (news may still come), *ripe* (the watermark has passed it: requests settle, the
part of it that nobody occupied goes to idle), *closed* (older than the horizon: what is left goes to idle if nobody
ever ran on it, else to unattributed, and the slice is forgotten).

Slices are numbered absolutely, from the Unix epoch in units of their length; arrays hold a window of them from `base`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exporter.ledger.claims import Claims, Floats
from exporter.ledger.company import Company
from exporter.ledger.spread import Runs, divide, integrals, rates, spread

PRESENCE, DECODING, CONTEXT, PREFILL, DECODE = range(5)
"""Quantities: request-seconds; of them in decode; those times tokens attended to; prefill tokens; decode tokens."""
QUANTITIES = 5
_NOBODY_SECONDS = 1e-9
"""Presence below this is rounding, not a request."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch of claims was given in its two phases; each of shape (devices, requests), in joules.

    Where the first token is unknown, all is in `decode`.
    """

    prefill: Floats
    decode: Floats

    @property
    def total(self) -> Floats:
        """Both phases together."""
        return self.prefill + self.decode


@dataclass(frozen=True, slots=True)
class Reserved:
    """What requests still running hold in the slices [first, stop).

    Attributes:
        amounts: of shape (quantities, lanes, slices).
    """

    first: int
    amounts: Floats

    @property
    def stop(self) -> int:
        """Number of the first slice beyond."""
        return self.first + int(self.amounts.shape[2])


class Slices:
    """The slices of one group of devices that the same servers share."""

    def __init__(self, *, devices: int, lanes: int, slice_seconds: float, capacity: int, since: float) -> None:
        self.slice_seconds = slice_seconds
        self.base = self.number(since)
        self.closed = self.base
        self.ripe = self.base
        self.touched = self.base
        self.reached = self.base
        self.energy = np.zeros((devices, capacity))
        self.left = np.zeros((devices, capacity))
        self.amounts = np.zeros((QUANTITIES, lanes, capacity))
        self.amounts_left = np.zeros((QUANTITIES, lanes, capacity))
        self.company: tuple[Company, ...] = ()

    def number(self, instant: float) -> int:
        """The absolute number of the slice that holds this instant."""
        return math.floor(instant / self.slice_seconds)

    def edge(self, number: int) -> float:
        """The instant at which this slice begins."""
        return number * self.slice_seconds

    def place(self, numbers: range) -> slice:
        """Where these slices are in the arrays."""
        return slice(numbers.start - self.base, numbers.stop - self.base)

    def begin_at(self, closed: int, ripe: int, reached: int) -> None:
        """Begin anew, with empty slices, where others left off."""
        self.base = self.closed = self.touched = self.reached = closed
        self.ripe = ripe
        self._make_room(reached)

    # --- energy and claims come in ---------------------------------------------------------------------------------

    def deposit(self, device: int, start: float, end: float, joules: float) -> float:
        """Put energy, evenly, into [start, end). Returns the part that lies in closed slices, which is not taken in."""
        since = self.edge(self.closed)
        if end <= since:
            return joules
        overdue = joules * (since - start) / (end - start) if start < since else 0.0
        joules -= overdue
        start = max(start, since)
        first, last = self.number(start), self.number(end)
        self._make_room(last + 1)
        self.touched = min(self.touched, first)
        if first == last:
            self._add(device, first, joules)
        else:
            self._spread_deposit(device, start, end, joules)
        return overdue

    def _add(self, device: int, number: int, joules: float) -> None:
        self.energy[device, number - self.base] += joules
        self.left[device, number - self.base] += joules

    def _spread_deposit(self, device: int, start: float, end: float, joules: float) -> None:
        first, parts = self.number(start), self.seconds_in(start, end)
        parts *= joules / parts.sum()
        run = slice(first - self.base, first + len(parts) - self.base)
        self.energy[device, run] += parts
        self.left[device, run] += parts

    def seconds_in(self, start: float, end: float) -> Floats:
        """Seconds of [start, end) in each slice from the one that holds its start to the one that holds its end."""
        edges = np.arange(self.number(start), self.number(end) + 2) * self.slice_seconds
        overlap: Floats = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
        return np.maximum(overlap, 0.0)

    def move(self, device: int, first: int, change: Floats) -> None:
        """Move energy among slices from number `first` on: what some lose, as far as it is left, others gain."""
        left = self.left[device, first - self.base : first - self.base + len(change)]
        loss, gain = np.minimum(np.maximum(-change, 0.0), left), np.maximum(change, 0.0)
        if gain.any():
            left += gain * (loss.sum() / gain.sum()) - loss
            self.touched = min(self.touched, first)

    def register(self, lane: int, claims: Claims) -> None:
        """Enter claims into the slices, so that their weight counts from now on."""
        claims = claims.within(self.edge(self.closed))
        if not len(claims):
            return
        first, stop = self._run(claims)
        amounts = self._amounts(claims, first, stop)
        run = slice(first - self.base, stop - self.base)
        self.amounts[:, lane, run] += amounts
        self.amounts_left[:, lane, run] += amounts
        self.touched = min(self.touched, first)

    def reserve(self, claims_by_lane: Sequence[Claims], first: int, stop: int) -> Reserved:
        """What running requests and unknown company hold in slices [first, stop).

        Nothing is stored: it is worked out anew each time.
        """
        self._make_room(stop)
        amounts = np.zeros((QUANTITIES, len(claims_by_lane), stop - first))
        for lane, claims in enumerate(claims_by_lane):
            inside = claims.within(self.edge(first))
            if len(inside):
                amounts[:, lane] = self._amounts(inside, first, stop)
        for lane, company in enumerate(self.company):
            there = company.presence(first, stop, self.slice_seconds)
            if there is not None:
                known = self.amounts[:, lane, self.place(range(first, stop))] + amounts[:, lane]
                amounts[:, lane] += _alike(known) * there
        return Reserved(first, amounts)

    def unknown(self, first: int, stop: int) -> Floats:
        """Presence of unknown company of all lanes in slices [first, stop): request-seconds of shape (slices,)."""
        each = (company.presence(first, stop, self.slice_seconds) for company in self.company)
        return sum((there for there in each if there is not None), np.zeros(stop - first))

    def occupancy(self, reserved: Reserved) -> Floats:
        """Everything that is or was in the slices of this reservation, settled or not: (quantities, lanes, slices)."""
        held: Floats = self.amounts[:, :, self._window(reserved)] + reserved.amounts
        return held

    # --- energy goes out -------------------------------------------------------------------------------------------

    def settle(self, lane: int, claims: Claims, prices: Floats, reserved: Reserved) -> Taken:
        """Give registered claims their energy and remove their weight.

        Args:
            lane: whose claims these are.
            claims: as registered; all inside the slices of `reserved`, save what is already closed.
            prices: of one unit of each quantity, of shape (quantities, lanes, slices), for the slices of `reserved`.
            reserved: what running requests hold; it stays.
        """
        claims = claims.within(self.edge(self.closed))
        run = self._window(reserved)
        held = np.maximum(self.amounts_left[:, :, run] + reserved.amounts, 0.0)
        market = _Market.of(self.left[:, run], held, prices, lane)
        amounts = self._amounts(claims, reserved.first, reserved.stop)
        taken = self._buy(claims, reserved.first, market, amounts)
        self.left[:, run] = np.maximum(self.left[:, run] - market.joules(amounts), 0.0)
        self.amounts_left[:, lane, run] -= amounts
        self.touched = min(self.touched, reserved.first)
        return taken

    def due(self, lane: int, claims: Claims, prices: Floats, reserved: Reserved) -> Taken:
        """What these claims would be given if nobody had settled yet. Moves nothing."""
        claims = claims.within(self.edge(self.closed))
        run = self._window(reserved)
        market = _Market.of(self.energy[:, run], self.occupancy(reserved), prices, lane)
        return self._buy(claims, reserved.first, market, self._amounts(claims, reserved.first, reserved.stop))

    def _buy(self, claims: Claims, first: int, market: "_Market", amounts: Floats) -> Taken:
        """Integrate prices over the lives of the claims, which together hold these amounts (quantities, slices).

        A quantity that none of them had in a slice has no price there.
        """
        early, later = self._phases(claims, first, amounts.shape[1])
        own = np.where(amounts > 0.0, market.own, 0.0)
        cost = market.per_weight * own[:, None] * self.slice_seconds
        early_prefill, late_prefill, decode = rates(claims)
        presence, decoding, context, prefill, tokens = integrals(cost, later)
        in_decode = presence + decoding + claims.context * context + late_prefill * prefill + decode * tokens
        presence, prefill = integrals(cost[[PRESENCE, PREFILL]], early)
        in_prefill = presence + early_prefill * prefill
        return Taken(in_prefill, in_decode)

    def ripen(self, until: int, reserved: Reserved, floor_watts: Floats, *, exclude_static: bool) -> Floats:
        """Let slices up to `until` ripen: what nobody occupied of an occupied slice goes to idle.

        Args:
            until: number of the first slice that stays open.
            reserved: what running requests hold, from the first unripe slice on.
            floor_watts: idle power of each device; 0 where not known yet.
            exclude_static: keep the idle power of occupied time out of the requests' share too.

        Returns:
            Joules booked to idle, by device.
        """
        booked = np.zeros(len(self.left))
        if until <= self.ripe:
            return booked
        self._make_room(until)
        run = slice(self.ripe - self.base, until - self.base)
        here = slice(self.ripe - reserved.first, until - reserved.first)
        presence = self.amounts[PRESENCE, :, run].sum(axis=0) + reserved.amounts[PRESENCE, :, here].sum(axis=0)
        empty = np.maximum(self.slice_seconds - presence, 0.0)
        idle_seconds = np.where(presence > _NOBODY_SECONDS, self.slice_seconds if exclude_static else empty, 0.0)
        idle = np.minimum(floor_watts[:, None] * idle_seconds, self.left[:, run])
        self.left[:, run] -= idle
        self.touched = min(self.touched, self.ripe)
        self.ripe = until
        booked += idle.sum(axis=1)
        return booked

    def close(self, until: int) -> tuple[Floats, Floats]:
        """Forget slices before `until`. Returns what was left in them: (idle, unattributed), joules by device."""
        until = min(until, self.ripe)
        if until <= self.closed:
            return np.zeros(len(self.left)), np.zeros(len(self.left))
        window_end = self.base + self.energy.shape[1]
        run = slice(self.closed - self.base, min(until, window_end) - self.base)
        numbers = range(self.closed, self.closed + run.stop - run.start)
        presence = self.amounts[PRESENCE, :, run].sum(axis=0) + self.unknown(numbers.start, numbers.stop)
        somebody = presence > _NOBODY_SECONDS
        unattributed = self.left[:, run] @ somebody
        idle = self.left[:, run] @ ~somebody
        for array in self.arrays():
            array[..., run] = 0.0
        self.closed = until
        self.reached = max(self.reached, until)
        if until > window_end:
            self.base = until  # nothing was there: time has leapt, and memory must not follow it
        return idle, unattributed

    def unsettled(self) -> Floats:
        """Joules in slices not closed, by device."""
        left: Floats = self.left[:, self.closed - self.base :].sum(axis=1)
        return left

    # --- the window ------------------------------------------------------------------------------------------------

    def arrays(self) -> tuple[Floats, ...]:
        """All that is kept by slice, along the last axis of each."""
        return (self.energy, self.left, self.amounts, self.amounts_left)

    def _make_room(self, stop: int) -> None:
        """Move the window so that it reaches `stop`: closed slices make way; it grows only if that is not enough."""
        self.reached = max(self.reached, stop)
        capacity = self.energy.shape[1]
        if stop - self.base <= capacity:
            return
        shift = self.closed - self.base
        wanted = max(capacity, 2 * (stop - self.closed))
        moved = []
        for array in self.arrays():
            fresh = np.zeros((*array.shape[:-1], wanted)) if wanted > capacity else array
            kept = array[..., shift:].copy()
            fresh[..., : kept.shape[-1]] = kept
            fresh[..., kept.shape[-1] :] = 0.0
            moved.append(fresh)
        self.energy, self.left, self.amounts, self.amounts_left = moved
        self.base = self.closed

    def _window(self, reserved: Reserved) -> slice:
        return slice(reserved.first - self.base, reserved.stop - self.base)

    def _run(self, claims: Claims) -> tuple[int, int]:
        first = self.number(float(claims.start.min()))
        stop = self.number(float(claims.end.max())) + 1
        self._make_room(stop)
        return first, stop

    def _columns(self, instants: Floats, first: int) -> Floats:
        """Instants as fractional columns counted from slice `first`.

        The division comes first, so that an instant has the same place in its slice whatever it is counted from: what
        a claim registers and what it removes when it settles are then equal to the last bit.
        """
        return instants / self.slice_seconds - first

    def _amounts(self, claims: Claims, first: int, stop: int) -> Floats:
        """What these claims hold in slices [first, stop), of shape (quantities, slices)."""
        width = stop - first
        early, later = self._phases(claims, first, width)
        early_prefill, late_prefill, decode = (rate * self.slice_seconds for rate in rates(claims))
        second = np.full(len(claims), self.slice_seconds)
        amounts = np.empty((QUANTITIES, width))
        amounts[DECODING] = spread(later, second, width)
        amounts[PRESENCE] = spread(early, second, width) + amounts[DECODING]
        amounts[CONTEXT] = spread(later, second * claims.context, width)
        amounts[PREFILL] = spread(early, early_prefill, width) + spread(later, late_prefill, width)
        amounts[DECODE] = spread(later, decode, width)
        return amounts

    def _phases(self, claims: Claims, first: int, width: int) -> tuple[Runs, Runs]:
        """Both phases of each claim, as far as they are in slices [first, first + width)."""
        start, middle, end = (
            np.clip(self._columns(edge, first), 0.0, width) for edge in (claims.start, claims.first_token, claims.end)
        )
        return Runs(start, middle), Runs(middle, end)


def _alike(known: Floats) -> Floats:
    """What a second of unknown presence has of each quantity: as much as one of known presence in the same slice.

    Where nobody is known, it decodes.
    """
    alike = divide(known, known[PRESENCE])
    nobody = known[PRESENCE] <= _NOBODY_SECONDS
    alike[:, nobody] = 0.0
    alike[np.ix_([PRESENCE, DECODING], nobody)] = 1.0
    return alike


@dataclass(frozen=True, slots=True)
class _Market:
    """What energy costs in a run of slices.

    Attributes:
        per_weight: joules per weight, of shape (devices, slices).
        own: weight of one unit of each quantity of one lane, of shape (quantities, slices).
    """

    per_weight: Floats
    own: Floats

    @classmethod
    def of(cls, energy: Floats, held: Floats, prices: Floats, lane: int) -> "_Market":
        """The market where `held` (quantities, lanes, slices) shares `energy` (devices, slices).

        Where a policy gives no weight to slices that somebody occupies (tokens not known), presence itself weighs.
        """
        presence = held[PRESENCE].sum(axis=0)
        weight = np.einsum("qls,qls->s", prices, held)
        unweighted = weight <= 0.0
        weight = np.where(unweighted, presence, weight)
        weight[presence <= _NOBODY_SECONDS] = 0.0
        own = prices[:, lane].copy()
        own[PRESENCE, unweighted] = 1.0
        return cls(divide(energy, weight), own)

    def joules(self, amounts: Floats) -> Floats:
        """What these amounts (quantities, slices) of the lane cost: joules of shape (devices, slices)."""
        cost: Floats = self.per_weight * np.einsum("qs,qs->s", self.own, amounts)
        return cost
