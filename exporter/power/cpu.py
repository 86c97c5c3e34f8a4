"""An estimate of the CPU's power where no sensor exists: idle + (max - idle) x utilisation.

Utilisation is the machine's, from `psutil.cpu_times`, in a container too: what neighbours compute is in it. Everything
from here is labelled `estimated`.

The default watts are an assumption, not a measurement: 0.75 W idle and 3.5 W busy per logical CPU, about the averages
that Cloud Carbon Footprint uses for cloud vCPUs. A desktop core draws several times as much; set `power.cpu` there.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import psutil

from exporter.domain.errors import SourceError
from exporter.domain.readings import Device, PowerReading, ReadFailure, Reading
from exporter.domain.settings import CpuEstimate
from exporter.domain.units import Instant, Watts

IDLE_WATTS_PER_CPU = 0.75
MAX_WATTS_PER_CPU = 3.5

WINDOW_SECONDS = 0.1
"""How often utilisation is looked at. The kernel counts ticks of 10 ms and its file costs a millisecond on a large
machine, so looking more often would show noise and cost more than it tells."""

_EARLY = 0.9
"""A poll this share of a window after the last is on time: else a poll every half window would mostly find itself a
hair too early and wait half a window more."""


class _Times(NamedTuple):
    """CPU seconds since boot, over all CPUs."""

    at: Instant
    busy: float
    total: float


class CpuEstimateSource:
    """One device, `cpu0`, estimated. The first read only looks, and so publishes nothing.

    A reading is the mean since the one before it, which `power_window_seconds` says as nearly as polls come on time.

    Args:
        estimate: watts at rest and under full load.
        now: the present instant.
        cpu_times: what `psutil.cpu_times` answers.
        cpus: number of logical CPUs; by default the machine's.

    Raises:
        SourceError: the watts contradict each other, or the machine does not tell its CPU times.
    """

    def __init__(
        self,
        estimate: CpuEstimate,
        now: Callable[[], Instant],
        cpu_times: Callable[[], Any] = psutil.cpu_times,
        cpus: int | None = None,
    ) -> None:
        self._now = now
        self._cpu_times = cpu_times
        self._idle_watts, self._max_watts = _watts(estimate, cpus or psutil.cpu_count() or 1)
        self._last: _Times | None = None
        self._closed = False
        self._device = Device(
            name="cpu0",
            kind="cpu",
            model="CPU (estimated)",
            method="estimated",
            power_window_seconds=WINDOW_SECONDS,
            limit_watts=self._max_watts,
        )
        try:
            cpu_times()
        except (OSError, psutil.Error) as error:
            raise SourceError(f"this machine does not tell its CPU times: {error}") from error

    @property
    def devices(self) -> Sequence[Device]:
        """The machine's CPUs as one."""
        return (self._device,)

    def read(self) -> Sequence[Reading]:
        """The mean power since the last look, if a window has passed since."""
        at = self._now()
        if self._closed:
            return [ReadFailure(self._device.name, at, "closed")]
        if self._last is not None and at - self._last.at < _EARLY * WINDOW_SECONDS:
            return []
        try:
            times = _summed(at, self._cpu_times())
        except (OSError, psutil.Error):
            self._last = None  # a mean across the gap would claim to be a mean over a window
            return [ReadFailure(self._device.name, at, "cpu_times_unavailable")]
        return self._since_last(times)

    def close(self) -> None:
        """Nothing to let go."""
        self._closed = True

    def _since_last(self, times: _Times) -> Sequence[Reading]:
        last = self._last
        if last is not None and times.total <= last.total:
            return []  # no tick yet: wait for one, with the old look as the beginning
        self._last = times
        if last is None:
            return []
        utilisation = (times.busy - last.busy) / (times.total - last.total)
        watts = self._idle_watts + (self._max_watts - self._idle_watts) * min(max(utilisation, 0.0), 1.0)
        return [PowerReading(self._device.name, times.at, Watts(watts))]


def _watts(estimate: CpuEstimate, cpus: int) -> tuple[float, float]:
    """Idle and maximal watts; where only one is given the other bends to it."""
    idle, most = estimate.idle_watts, estimate.max_watts
    if idle is None:
        idle = min(IDLE_WATTS_PER_CPU * cpus, MAX_WATTS_PER_CPU * cpus if most is None else most)
    if most is None:
        most = max(MAX_WATTS_PER_CPU * cpus, idle)
    if most < idle:
        raise SourceError(f"power.cpu: max_watts {most:g} is below idle_watts {idle:g}")
    return idle, most


def _summed(at: Instant, times: Any) -> _Times:
    """Guests' time is inside user time already; time stolen by the hypervisor's other guests is none of ours."""
    busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    return _Times(at, busy, busy + times.idle + getattr(times, "iowait", 0.0))
