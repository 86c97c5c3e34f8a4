"""Windows that overlap, on a board whose every joule is known: what the exporter gives them, and what naive ones read.

    python -m tests.client.overlap

A real exporter on a fake power source, told over HTTP by the real client. 32 tasks have a window each, a second long,
begun one after the other. A naive window is what the energy counter says at its end less what it said at its
beginning, read from the same counter at the same moments.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from exporter.app import exporting
from exporter.client import Energy, EnergyClient, Window
from exporter.clock import SystemClock
from exporter.domain.readings import CounterReading, Device, PowerReading, Reading
from exporter.domain.settings import (
    AttributionSettings,
    ListenAddress,
    PowerSettings,
    RequestSettings,
    ServerSettings,
    Settings,
)
from exporter.domain.snapshot import DeviceView
from exporter.domain.units import Instant, Joules, Watts
from exporter.power.select import Opened

WINDOWS = 32
WINDOW_SECONDS = 1.0
ONE_AFTER_THE_OTHER_SECONDS = 0.05
STEPS, STEP_SECONDS = 4, 0.2
IDLE_WATTS = 100.0
SETTINGS = Settings(
    servers=(ServerSettings("train", requests=(RequestSettings("push"),)),),
    listen=ListenAddress("127.0.0.1", 0),
    power=PowerSettings(idle_watts={"gpu0": IDLE_WATTS}),
    attribution=AttributionSettings(settle_seconds=0.5),
)


class Board:
    """A GPU that draws more the more work it is given, ever less so."""

    devices = (Device("gpu0", "gpu", model="known", has_counter=True),)
    _MOST_WATTS = 600.0

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._joules = 0.0
        self._until = clock.now()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Work is done as long as this lasts."""
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    def counter(self) -> float:
        """Joules that it has used, as its counter says."""
        return self._change(0)[1]

    def read(self) -> Sequence[Reading]:
        """As its driver answers."""
        now, joules = self._change(0)
        return [CounterReading("gpu0", now, Joules(joules)), PowerReading("gpu0", now, Watts(self._watts))]

    def close(self) -> None:
        """Nothing is open."""

    @property
    def _watts(self) -> float:
        return self._MOST_WATTS - (self._MOST_WATTS - IDLE_WATTS) * 0.8**self._running

    def _change(self, more: int) -> tuple[Instant, float]:
        with self._lock:
            now = self._clock.now()
            self._joules += self._watts * (now - self._until)
            self._until = now
            self._running += more
            return now, self._joules


@dataclass
class Told:
    """What came of it.

    Attributes:
        naive: joules of each overlapping window as the counter's difference.
        overlapping, nested: what the exporter gave: the first of `nested` is around the others.
        true_overlapping, true_nested: joules of the time that they cover.
        books: the board's, after everything has settled.
    """

    naive: list[float] = field(default_factory=list)
    overlapping: list[Energy] = field(default_factory=list)
    nested: list[Energy] = field(default_factory=list)
    true_overlapping: float = 0.0
    true_nested: float = 0.0
    books: DeviceView | None = None

    @property
    def given(self) -> float:
        """What the overlapping windows were given together."""
        return sum(energy.joules for energy in self.overlapping)


async def tell() -> Told:
    """Run it: some six seconds."""
    told, clock = Told(), SystemClock()
    board = Board(clock)
    async with exporting(SETTINGS, clock, open_power=lambda _settings, _clock: [Opened(board, "fake")]) as exporter:
        client = EnergyClient(exporter.url)
        await asyncio.sleep(0.2)
        windows = await _overlapping(client, board, told)
        nested = await _nested(client, board, told)
        told.overlapping = await _energies(windows)
        told.nested = await _energies(nested)
        await asyncio.to_thread(client.close)
        (told.books,) = (await exporter.finish()).devices
    return told


async def _overlapping(client: EnergyClient, board: Board, told: Told) -> list[Window]:
    async def one(number: int) -> Window:
        await asyncio.sleep(number * ONE_AFTER_THE_OTHER_SECONDS)
        async with client.window("overlapping", model="shared") as window:
            before = board.counter()
            with board.working():
                await asyncio.sleep(WINDOW_SECONDS)
            told.naive.append(board.counter() - before)
        return window

    before = board.counter()
    windows = await asyncio.gather(*(one(number) for number in range(WINDOWS)))
    told.true_overlapping = board.counter() - before
    return windows


async def _nested(client: EnergyClient, board: Board, told: Told) -> list[Window]:
    await asyncio.sleep(0.3)
    before = board.counter()
    async with client.window("epoch", model="nested") as epoch:
        for _ in range(STEPS):
            await asyncio.sleep(STEP_SECONDS / 2)
            async with client.window("step", model="nested"):
                with board.working():
                    await asyncio.sleep(STEP_SECONDS)
    told.true_nested = board.counter() - before
    return [epoch, *epoch.inner]


async def _energies(windows: Sequence[Window]) -> list[Energy]:
    found = await asyncio.gather(*(window.energy_async() for window in windows))
    for window, energy in zip(windows, found, strict=True):
        assert energy is not None, window.unknown
    return [energy for energy in found if energy is not None]


def main() -> None:
    """Print what came of it."""
    told = asyncio.run(tell())
    true, naive = told.true_overlapping, sum(told.naive)
    print(f"{WINDOWS} windows that overlap, each {WINDOW_SECONDS:g} s, on a board that used {true:.1f} J meanwhile")
    print(f"  their energy, by the exporter:      {told.given:8.1f} J, {told.given / true:6.3f} times what was used")
    print(f"  counter at the end less beginning:  {naive:8.1f} J, {naive / true:6.3f} times what was used")
    epoch, *steps = told.nested
    print(f"an epoch of {len(steps)} steps, on a board that used {told.true_nested:.1f} J meanwhile")
    print(f"  the epoch's energy:                 {epoch.joules:8.1f} J, {epoch.own_joules:.1f} J of it between steps")


if __name__ == "__main__":
    main()
