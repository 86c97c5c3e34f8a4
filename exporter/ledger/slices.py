"""The ledger proper: energy and claims on a row of equal slices of time.

Theory of operation. Time is cut into slices (100 ms by default). Each holds, per device, the energy metered in it and,
per server ("lane"), how much was there to cause it: seconds of presence, prefill tokens, decode tokens. A policy prices
those three; the price list turns them into weights, and a request that settles takes from each slice

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
from exporter.ledger.spread import cumulate, divide, rates, read, spread

PRESENCE, PREFILL, DECODE = range(3)
_NOBODY_SECONDS = 1e-9
"""Presence below this is rounding, not a request."""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What was there in a run of slices, per lane; each of shape (lanes, slices).

    Attributes:
        presence: request-seconds. decoding: request-seconds spent in decode.
        prefill_tokens, decode_tokens: processed in the slice.
    """

    slice_seconds: float
    presence: Floats
    decoding: Floats
    prefill_tokens: Floats
    decode_tokens: Floats


@dataclass(frozen=True, slots=True)
class Prices:
    """Weights of one lane: of a second of presence, slice by slice, and of a token of each kind."""

    presence: Floats
    prefill_token: float
    decode_token: float


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
        amounts: presence, prefill and decode tokens, of shape (3, lanes, slices).
        decoding: seconds in decode, of shape (lanes, slices).
    """

    first: int
    amounts: Floats
    decoding: Floats

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
        self.energy = np.zeros((devices, capacity))
        self.left = np.zeros((devices, capacity))
        self.amounts = np.zeros((3, lanes, capacity))
        self.amounts_left = np.zeros((3, lanes, capacity))
        self.decoding = np.zeros((lanes, capacity))

    def number(self, instant: float) -> int:
        """The absolute number of the slice that holds this instant."""
        return math.floor(instant / self.slice_seconds)

    def edge(self, number: int) -> float:
        """The instant at which this slice begins."""
        return number * self.slice_seconds

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
        first, last = self.number(start), self.number(end)
        edges = np.arange(first, last + 2) * self.slice_seconds
        overlap = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
        parts = np.maximum(overlap, 0.0)
        parts *= joules / parts.sum()
        run = slice(first - self.base, last + 1 - self.base)
        self.energy[device, run] += parts
        self.left[device, run] += parts

    def register(self, lane: int, claims: Claims) -> None:
        """Enter claims into the slices, so that their weight counts from now on."""
        claims = claims.within(self.edge(self.closed))
        if not len(claims):
            return
        first, stop = self._run(claims)
        amounts, decoding = self._amounts(claims, first, stop)
        run = slice(first - self.base, stop - self.base)
        self.amounts[:, lane, run] += amounts
        self.amounts_left[:, lane, run] += amounts
        self.decoding[lane, run] += decoding
        self.touched = min(self.touched, first)

    def reserve(self, claims_by_lane: Sequence[Claims], first: int, stop: int) -> Reserved:
        """What running requests hold in slices [first, stop). Nothing is stored: it is worked out anew each time."""
        self._make_room(stop)
        lanes = len(claims_by_lane)
        amounts, decoding = np.zeros((3, lanes, stop - first)), np.zeros((lanes, stop - first))
        for lane, claims in enumerate(claims_by_lane):
            inside = claims.within(self.edge(first))
            if len(inside):
                amounts[:, lane], decoding[lane] = self._amounts(inside, first, stop)
        return Reserved(first, amounts, decoding)

    def occupancy(self, reserved: Reserved) -> Occupancy:
        """Everything that is or was present in the slices of this reservation, settled or not."""
        run = self._window(reserved)
        presence, prefill, decode = self.amounts[:, :, run] + reserved.amounts
        return Occupancy(self.slice_seconds, presence, self.decoding[:, run] + reserved.decoding, prefill, decode)

    # --- energy goes out -------------------------------------------------------------------------------------------

    def settle(self, lane: int, claims: Claims, prices: Sequence[Prices], reserved: Reserved) -> Taken:
        """Give registered claims their energy and remove their weight.

        Args:
            lane: whose claims these are.
            claims: as registered; all inside the slices of `reserved`, save what is already closed.
            prices: one list a lane, for the slices of `reserved`.
            reserved: what running requests hold; it stays.
        """
        claims = claims.within(self.edge(self.closed))
        run = self._window(reserved)
        held = np.maximum(self.amounts_left[:, :, run] + reserved.amounts, 0.0)
        market = _Market.of(self.left[:, run], held, prices, lane)
        taken = self._buy(claims, reserved.first, market)
        amounts, _ = self._amounts(claims, reserved.first, reserved.stop)
        self.left[:, run] = np.maximum(self.left[:, run] - market.joules(amounts), 0.0)
        self.amounts_left[:, lane, run] -= amounts
        self.touched = min(self.touched, reserved.first)
        return taken

    def due(self, lane: int, claims: Claims, prices: Sequence[Prices], reserved: Reserved) -> Taken:
        """What these claims would be given if nobody had settled yet. Moves nothing."""
        claims = claims.within(self.edge(self.closed))
        run = self._window(reserved)
        market = _Market.of(self.energy[:, run], self.amounts[:, :, run] + reserved.amounts, prices, lane)
        return self._buy(claims, reserved.first, market)

    def _buy(self, claims: Claims, first: int, market: "_Market") -> Taken:
        """Integrate prices over the lives of the claims."""
        start, middle, end = (self._columns(edge, first) for edge in (claims.start, claims.first_token, claims.end))
        early_prefill, late_prefill, decode = rates(claims)
        presence = cumulate(market.per_weight * market.own.presence * self.slice_seconds)
        work = cumulate(market.per_weight * self.slice_seconds)
        presence_at = [read(presence, x) for x in (start, middle, end)]
        work_at = [read(work, x) for x in (start, middle, end)]
        early_rate = market.own.prefill_token * early_prefill
        late_rate = market.own.prefill_token * late_prefill + market.own.decode_token * decode
        return Taken(
            prefill=presence_at[1] - presence_at[0] + early_rate * (work_at[1] - work_at[0]),
            decode=presence_at[2] - presence_at[1] + late_rate * (work_at[2] - work_at[1]),
        )

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
        self._make_room(until)
        run = slice(self.closed - self.base, until - self.base)
        somebody = self.amounts[PRESENCE, :, run].sum(axis=0) > _NOBODY_SECONDS
        unattributed = self.left[:, run] @ somebody
        idle = self.left[:, run] @ ~somebody
        for array in self._arrays():
            array[..., run] = 0.0
        self.closed = until
        return idle, unattributed

    def unsettled(self) -> Floats:
        """Joules in slices not closed, by device."""
        left: Floats = self.left[:, self.closed - self.base :].sum(axis=1)
        return left

    # --- the window ------------------------------------------------------------------------------------------------

    def _arrays(self) -> tuple[Floats, ...]:
        return (self.energy, self.left, self.amounts, self.amounts_left, self.decoding)

    def _make_room(self, stop: int) -> None:
        """Move the window so that it reaches `stop`: closed slices make way; it grows only if that is not enough."""
        capacity = self.energy.shape[1]
        if stop - self.base <= capacity:
            return
        shift = self.closed - self.base
        wanted = max(capacity, 2 * (stop - self.closed))
        moved = []
        for array in self._arrays():
            fresh = np.zeros((*array.shape[:-1], wanted)) if wanted > capacity else array
            kept = array[..., shift:].copy()
            fresh[..., : kept.shape[-1]] = kept
            fresh[..., kept.shape[-1] :] = 0.0
            moved.append(fresh)
        self.energy, self.left, self.amounts, self.amounts_left, self.decoding = moved
        self.base = self.closed

    def _window(self, reserved: Reserved) -> slice:
        return slice(reserved.first - self.base, reserved.stop - self.base)

    def _run(self, claims: Claims) -> tuple[int, int]:
        first = self.number(float(claims.start.min()))
        stop = self.number(float(claims.end.max())) + 1
        self._make_room(stop)
        return first, stop

    def _columns(self, instants: Floats, first: int) -> Floats:
        """Instants as fractional columns counted from slice `first`."""
        return (instants - self.edge(first)) / self.slice_seconds

    def _amounts(self, claims: Claims, first: int, stop: int) -> tuple[Floats, Floats]:
        """Presence, prefill and decode tokens (3, slices) and decoding seconds (slices,) of these claims."""
        width = stop - first
        start, middle, end = (
            np.clip(self._columns(edge, first), 0.0, width) for edge in (claims.start, claims.first_token, claims.end)
        )
        early_prefill, late_prefill, decode = (rate * self.slice_seconds for rate in rates(claims))
        second = np.full(len(claims), self.slice_seconds)
        amounts = np.zeros((3, width))
        decoding = spread(middle, end, second, width)
        amounts[PRESENCE] = spread(start, end, second, width)
        amounts[PREFILL] = spread(start, middle, early_prefill, width) + spread(middle, end, late_prefill, width)
        amounts[DECODE] = spread(middle, end, decode, width)
        return np.maximum(amounts, 0.0), np.maximum(decoding, 0.0)


@dataclass(frozen=True, slots=True)
class _Market:
    """What energy costs in a run of slices: joules per weight (devices, slices), and the weights of one lane."""

    per_weight: Floats
    own: Prices

    @classmethod
    def of(cls, energy: Floats, held: Floats, prices: Sequence[Prices], lane: int) -> "_Market":
        """The market where `held` (3, lanes, slices) shares `energy`.

        Where a policy gives no weight to slices that somebody occupies (tokens not known), presence itself weighs.
        """
        presence = held[PRESENCE].sum(axis=0)
        weight = np.zeros(presence.shape)
        for each, price in enumerate(prices):
            weight += price.presence * held[PRESENCE, each]
            weight += price.prefill_token * held[PREFILL, each] + price.decode_token * held[DECODE, each]
        unweighted = weight <= 0.0
        weight = np.where(unweighted, presence, weight)
        weight[presence <= _NOBODY_SECONDS] = 0.0
        own = prices[lane]
        at = Prices(np.where(unweighted, 1.0, own.presence), own.prefill_token, own.decode_token)
        return cls(divide(energy, weight), at)

    def joules(self, amounts: Floats) -> Floats:
        """What these amounts (3, slices) of the lane cost: joules of shape (devices, slices)."""
        weight = self.own.presence * amounts[PRESENCE]
        weight += self.own.prefill_token * amounts[PREFILL] + self.own.decode_token * amounts[DECODE]
        cost: Floats = self.per_weight * weight
        return cost
