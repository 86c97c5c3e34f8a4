"""A machine's devices as a change-over meets them: first an estimate, then a board."""

import threading
from collections.abc import Sequence

from exporter.clock import SystemClock
from exporter.domain.errors import SourceError
from exporter.domain.readings import Device, PowerReading, Reading
from exporter.domain.units import Watts

CPU = Device("cpu0", "cpu", model="an estimate", method="estimated")
GPU = Device("gpu0", "gpu", uuid="GPU-1", model="a board", has_counter=False)
NO_DRIVER = SourceError("NVML cannot start: driver_not_loaded", kind="driver_not_loaded")


class Steady:
    """A source that reads a constant power, and says when it is closed."""

    def __init__(self, device: Device, clock: SystemClock) -> None:
        self.devices: Sequence[Device] = (device,)
        self.closed = threading.Event()
        self._clock = clock

    def read(self) -> Sequence[Reading]:
        return [PowerReading(self.devices[0].name, self._clock.now(), Watts(100.0))]

    def close(self) -> None:
        self.closed.set()
