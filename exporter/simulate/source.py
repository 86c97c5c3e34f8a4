"""The simulated fleet as a power source: what NVML would say of these boards, if there were any."""

from collections.abc import Callable, Sequence

from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.domain.units import Instant, Joules
from exporter.simulate.fleet import Fleet
from exporter.simulate.physics import TDP_WATTS
from exporter.simulate.sensor import WINDOW_SECONDS, Sensor

SOURCE = "simulated"
PRODUCT = "SIMULATED H100"
LOST = "gpu_is_lost"


class SimulatedSource:
    """Implements `exporter.power.source.PowerSource` on a fleet.

    Attributes:
        devices: one a board, all labelled simulated.
    """

    def __init__(self, fleet: Fleet, now: Callable[[], Instant]) -> None:
        self._fleet = fleet
        self._now = now
        self._closed = False
        self._sensors = tuple(sensor for replica in fleet.replicas for sensor in replica.sensors)
        self.devices: Sequence[Device] = tuple(_device(index) for index in range(len(self._sensors)))
        self._first_joules: list[float] = []
        self._last_joules: list[float] = []

    def read(self) -> Sequence[Reading]:
        """Ask every board once, now."""
        if self._closed:
            return []
        asked = [self._ask(*board) for board in zip(self.devices, self._sensors, strict=True)]
        self._last_joules = [drawn for drawn, _ in asked]
        self._first_joules = self._first_joules or self._last_joules
        return [reading for _, readings in asked for reading in readings]

    def close(self) -> None:
        """Say nothing from now on."""
        self._closed = True

    def true_joules(self) -> Sequence[Joules]:
        """What each board has truly drawn between the first and the last time that it was read."""
        return [Joules(last - first) for first, last in zip(self._first_joules, self._last_joules, strict=True)]

    def _ask(self, device: Device, sensor: Sensor) -> tuple[float, Sequence[Reading]]:
        """The truth, and what the board says."""
        at, name = self._now(), device.name
        with self._fleet.lock:
            self._fleet.advance(at)
            seconds = self._fleet.seconds(at)
            drawn = sensor.true_joules(seconds)
            if sensor.lost(seconds):
                return drawn, [ReadFailure(name, at, LOST)]
            counter, watts = sensor.counter(seconds), sensor.watts(seconds)
        return drawn, [CounterReading(name, at, counter), PowerReading(name, at, watts)]


def uuid_of(index: int) -> str:
    """The identity of a board."""
    return f"SIMULATED-{index}"


def _device(index: int) -> Device:
    return Device(
        name=f"gpu{index}-simulated",  # some metrics name a device by nothing else
        kind="gpu",
        uuid=uuid_of(index),
        model=PRODUCT,
        method="simulated",
        has_counter=True,
        power_window_seconds=WINDOW_SECONDS,
        limit_watts=TDP_WATTS,
        driver="simulated",
    )
