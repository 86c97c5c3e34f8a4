"""All devices and all servers: who shares what, and the books of each device.

Devices that serve the same servers form a group and share one row of slices; a server whose devices also serve others
has a lane in several groups, one that no device serves has a group without devices, which only says who was there when
and may say so of a past in which nothing was metered. Every joule has a row:

    metered = requests + idle + unattributed + unsettled          for each device, to rounding
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from exporter.domain.readings import Device, Reading
from exporter.domain.settings import AttributionSettings
from exporter.domain.snapshot import Share
from exporter.ledger.claims import Claims
from exporter.ledger.coarse import CoarseSteps, Ready, Step, refine
from exporter.ledger.company import Company, suspicion
from exporter.ledger.idle import GUARD_SLICES, IdleBaseline, quiet
from exporter.ledger.integral import Segment
from exporter.ledger.meter import Meter
from exporter.ledger.slices import PRESENCE, Reserved, Slices

_MOST_HOLES = 256
_LEAST_QUIET_SLICES = 30
"""The idle baseline is learned from so many slices at once, beside the guards at either end."""


@dataclass(slots=True)
class Books:
    """What one device metered and where it went, in joules.

    `held`: taken out of slices that closed under requests that are still running; not booked before they end.
    """

    metered: float = 0.0
    held: float = 0.0
    booked: dict[Share, float] = field(
        default_factory=lambda: {"requests": 0.0, "idle": 0.0, "unattributed": 0.0},
    )

    def book(self, share: Share, joules: float) -> None:
        """Move joules from unsettled to a share."""
        self.booked[share] += joules


@dataclass(frozen=True, slots=True)
class Group:
    """Devices, by name, that serve the same servers, and their slices."""

    devices: tuple[str, ...]
    lanes: tuple[str, ...]
    slices: Slices


class Ledger:
    """Meters, slices and books of everything. `absent`: saved books of devices that are not here now."""

    def __init__(
        self,
        devices: Sequence[Device],
        users: Mapping[str, Sequence[str]],
        settings: AttributionSettings,
        *,
        since: float,
        idle_watts: Mapping[str, float],
    ) -> None:
        """Begin empty books.

        Args:
            devices: everything metered.
            users: by server, the names of the devices that serve it.
            settings: grain and horizon of the slices.
            since: when the books begin; energy before it is not taken in.
            idle_watts: fixed idle baselines by device name.
        """
        self.since = since
        self.slice_seconds = settings.slice_seconds
        self.horizon_seconds = settings.horizon_seconds
        self.meters = {device.name: Meter(device) for device in devices}
        self.books = {device.name: Books() for device in devices}
        self.coarse = {device.name: CoarseSteps(device) for device in devices}
        self.idle = {device.name: IdleBaseline(idle_watts.get(device.name)) for device in devices}
        self.absent: dict[str, Any] = {}
        self.company = {server: Company() for server in users}
        self.groups = tuple(self._form_groups(devices, users, since))
        self._holes: dict[str, deque[tuple[float, float]]] = {
            device.name: deque(maxlen=_MOST_HOLES) for device in devices
        }
        self._idle_until = {group.devices: group.slices.closed for group in self.groups}
        self._place = {name: (group, index) for group in self.groups for index, name in enumerate(group.devices)}

    def _form_groups(
        self, devices: Sequence[Device], users: Mapping[str, Sequence[str]], since: float
    ) -> Iterator[Group]:
        by_lanes: dict[tuple[str, ...], list[str]] = {(server,): [] for server, names in users.items() if not names}
        for device in devices:
            lanes = tuple(server for server, names in users.items() if device.name in names)
            by_lanes.setdefault(lanes, []).append(device.name)
        capacity = int(1.6 * self.horizon_seconds / self.slice_seconds) + 1200
        for lanes, names in by_lanes.items():
            slices = Slices(
                devices=len(names),
                lanes=len(lanes),
                slice_seconds=self.slice_seconds,
                capacity=capacity,
                since=since if names else since - self.horizon_seconds,
            )
            slices.company = tuple(self.company[lane] for lane in lanes)
            yield Group(tuple(names), lanes, slices)

    def serving(self, server: str) -> Iterator[tuple[Group, int]]:
        """The groups that serve this server, each with the server's lane in it."""
        for group in self.groups:
            if server in group.lanes:
                yield group, group.lanes.index(server)

    # --- energy ----------------------------------------------------------------------------------------------------

    def receive(self, reading: Reading) -> None:
        """Take in one reading of a known device."""
        meter = self.meters[reading.device]
        frontier, lost = meter.frontier, meter.lost_seconds
        segments = meter.receive(reading)
        for segment in segments:
            self._deposit(reading.device, segment)
        if meter.lost_seconds > lost or any(segment.interpolated for segment in segments):
            self._note_hole(reading.device, frontier, meter.frontier)

    def _note_hole(self, name: str, start: float | None, end: float | None) -> None:
        if start is not None and end is not None:
            self._holes[name].append((start, end))

    def is_whole(self, group: Group, start: float, end: float) -> bool:
        """Whether readings of all the group's devices had no hole in [start, end)."""
        return not any(since < end and start < until for name in group.devices for since, until in self._holes[name])

    def grain_seconds(self, group: Group) -> float:
        """How far the group's slowest sensor blurs what it tells; 0 where that is too little to matter."""
        return max((self.meters[name].grain_seconds for name in group.devices), default=0.0)

    def _deposit(self, name: str, segment: Segment) -> None:
        group, index = self._place[name]
        books = self.books[name]
        books.metered += segment.joules
        overdue = group.slices.deposit(index, segment.start, segment.end, segment.joules)
        if overdue:
            books.book("unattributed", overdue)
        if segment.whole:
            self.coarse[name].wait(Step(segment.start, segment.end, segment.joules))

    @property
    def is_coarse(self) -> bool:
        """Whether some device's energy waits, step by step, for all to be told of the time of the step."""
        return any(one.is_coarse or one.since < inf for one in self.coarse.values())

    @property
    def metered_joules(self) -> float:
        """Of all devices since the books began, and of those that are not here now: it never goes down."""
        here = sum(books.metered for books in self.books.values())
        return here + sum(float(device["metered"]) for device in self.absent.values())

    def frontier(self, now: float) -> float:
        """Energy may settle up to here: that of every device is known; devices silent for long are not waited for."""
        heard = ((name, meter.frontier, meter.patience.silence_seconds) for name, meter in self.meters.items())
        return min(
            (min(at, self.coarse[name].since) for name, at, wait in heard if at is not None and now - at <= wait),
            default=now,
        )

    # --- time passes -----------------------------------------------------------------------------------------------

    def refine(self, group: Group, until: int, told_until: float, running: Callable[[float], Sequence[Claims]]) -> None:
        """Move the energy of coarse steps to when it was used.

        Args:
            group: whose steps.
            until: number of the first slice that will not settle now; what begins before is no more refined.
            told_until: everything has been told of the time before.
            running: who runs, by lane, with lives up to an instant.
        """
        settling = group.slices.edge(until) if until > group.slices.ripe else -inf
        ready = [
            Ready(index, step, self.idle[name].watts, self.coarse[name].most_watts)
            for index, name in enumerate(group.devices)
            for step in self.coarse[name].take(told_until, settling)
        ]
        refine(group.slices, ready, running)

    def ripen(self, group: Group, until: int, reserved: Reserved, *, exclude_static: bool) -> None:
        """Let the group's slices ripen up to `until`."""
        slices = group.slices
        floor = np.array([self.idle[name].watts or 0.0 for name in group.devices])
        idle = slices.ripen(until, reserved, floor, exclude_static=exclude_static)
        for name, joules in zip(group.devices, idle.tolist(), strict=True):
            self.books[name].book("idle", joules)

    def learn_idle(self, group: Group, until: int, running: Callable[[], Sequence[Claims]]) -> None:
        """Learn the idle baseline from quiet slices before `until`; `running` says who is not in them yet, by lane."""
        slices = group.slices
        guard = GUARD_SLICES + round(self.grain_seconds(group) / self.slice_seconds)
        first = max(self._idle_until[group.devices] - guard, slices.closed)
        stop = min(until + guard, slices.ripe)
        if stop - first < _LEAST_QUIET_SLICES + 2 * guard:
            return
        reserved = slices.reserve(running(), first, stop)
        suspected = suspicion(slices.company, first, stop, self.slice_seconds)
        calm = quiet(slices.occupancy(reserved)[PRESENCE].sum(axis=0) + suspected, guard)
        run = slices.place(range(first, stop))
        for index, name in enumerate(group.devices):
            self.idle[name].learn(slices.energy[index, run], calm, self.slice_seconds)
        self._idle_until[group.devices] = stop - guard

    def close(self, group: Group, until: int) -> None:
        """Close the group's slices before `until`."""
        idle, unattributed = group.slices.close(until)
        for index, name in enumerate(group.devices):
            self.books[name].book("idle", float(idle[index]))
            self.books[name].book("unattributed", float(unattributed[index]))

    def unsettled(self) -> dict[str, float]:
        """Joules metered and not booked yet, by device."""
        return {
            name: joules + self.books[name].held
            for group in self.groups
            for name, joules in zip(group.devices, group.slices.unsettled().tolist(), strict=True)
        }

    # --- requests --------------------------------------------------------------------------------------------------

    def register(self, server: str, claims: Claims) -> None:
        """Enter claims of a server into the slices of all its devices."""
        for group, lane in self.serving(server):
            group.slices.register(lane, claims)
