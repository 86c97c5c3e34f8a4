"""A machine in virtual time: parts of known power and duration, under the fake NVML or a sensor of plain arithmetic.

Runs are asked for at once and done when somebody waits for the device, as on a GPU: who forgets to wait measures
nothing.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from exporter.components.plan import Plan
from exporter.components.subject import Part, Subject
from exporter.domain.dissection import Case, ComponentName, Whole
from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.domain.settings import PowerSettings
from exporter.domain.units import Instant, Joules, Watts
from exporter.power.nvml import NvmlSource
from exporter.power.source import PowerSource
from tests.fakes.nvml import FakeNvml

IDLE_WATTS = 80.0
PLAN = Plan(trials=4, counter_seconds=5.0, rest_seconds=2.0, idle_seconds=3.0)


@dataclass(frozen=True)
class Known:
    """What a part truly takes: seconds and watts of one run."""

    component: ComponentName
    path: str
    part_of: Whole | None
    instances: int
    microseconds: float
    watts: float

    @property
    def joules(self) -> float:
        return self.microseconds * 1e-6 * self.watts


def a_model(layers: int = 12) -> list[Known]:
    """Parts that differ in power by a factor of three and in duration by twenty; the whole has some glue besides."""
    inside = [
        Known("norm", "h.0.ln_1", "block", 1, 14.0, 190.0),
        Known("attention", "h.0.attn", "block", 1, 130.0, 420.0),
        Known("norm", "h.0.ln_2", "block", 1, 16.0, 200.0),
        Known("mlp", "h.0.mlp", "block", 1, 240.0, 560.0),
    ]
    block = _whole("block", "h.0", "model", layers, inside, glue=12.0)
    outside = [
        Known("embedding", "wte", "model", 1, 30.0, 170.0),
        block,
        Known("norm", "ln_f", "model", 1, 15.0, 195.0),
        Known("lm_head", "lm_head", "model", 1, 210.0, 610.0),
    ]
    return [_whole("model", "", None, 1, outside, glue=40.0), *outside, *inside]


def _whole(  # noqa: PLR0917 - a row of a table
    component: ComponentName, path: str, part_of: Whole | None, instances: int, parts: Sequence[Known], glue: float
) -> Known:
    """All of its parts one after the other, and some glue at 150 W."""
    micro = glue + sum(part.microseconds * part.instances for part in parts)
    joules = glue * 150e-6 + sum(part.joules * part.instances for part in parts)
    return Known(component, path, part_of, instances, micro, joules / (micro * 1e-6))


class Rig:
    """Time and power of one device.

    Args:
        gain: what power is multiplied by at an instant, idle included.
        noise: relative spread of the mean power of 5 ms, white. trial_noise: of all that runs between two rests.
        wait: seconds that waiting for the device takes, idle.
    """

    def __init__(
        self,
        *,
        gain: Callable[[float], float] = lambda _: 1.0,
        noise: float = 0.0,
        trial_noise: float = 0.0,
        wait: float = 0.0,
    ) -> None:
        self.t = 0.0
        self.points: list[tuple[float, float]] = [(0.0, IDLE_WATTS)]
        self.runs = 0
        self._random = random.Random(20)  # noqa: S311 - repeatable noise is wanted
        self._gain, self._noise, self._trial_noise, self._wait = gain, noise, trial_noise, wait
        self._trial_gain = 1.0
        self._pending: list[tuple[float, float]] = []

    # --- the clock of the bench ---

    def now(self) -> Instant:
        return Instant(self.t)

    def sleep(self, seconds: float) -> None:
        self._trial_gain = self._random.gauss(1.0, self._trial_noise)
        self._pass(seconds, IDLE_WATTS * self._gain(self.t))

    # --- the device ---

    def subject(self, parts: Sequence[Known]) -> Subject:
        return Subject(
            model="known",
            architecture="decoder",
            weights="random",
            parameters=1,
            shape={"layers": 12},
            case=Case(),
            parts=[self._part(part) for part in parts],
            synchronise=self.synchronise,
            launch="eager",
            software={"torch": "none"},
        )

    def _part(self, part: Known) -> Part:
        def run(count: int) -> None:
            self.runs += count
            self._pending.append((count * part.microseconds * 1e-6, part.watts))

        return Part(part.component, part.path, part.part_of, part.instances, 1_000_000, run)

    def synchronise(self) -> None:
        for seconds, watts in self._pending:
            noise = self._random.gauss(1.0, self._noise * (0.005 / seconds) ** 0.5) * self._trial_gain
            self._pass(seconds, watts * noise * self._gain(self.t))
        self._pending.clear()
        if self._wait:
            self._pass(self._wait, IDLE_WATTS * self._gain(self.t))

    def _pass(self, seconds: float, watts: float) -> None:
        if self.points[-1][1] != watts:
            self.points.append((self.t, watts))
        self.t += seconds

    def stand(self, seconds: float) -> None:
        """Time in which somebody asks the sensor."""
        self._pass(seconds, IDLE_WATTS * self._gain(self.t))


class OnFakeNvml:
    """The fake NVML's board draws what the rig draws. A power source that hands the script on before it is asked."""

    def __init__(self, rig: Rig, fake: FakeNvml) -> None:
        self._rig, self._fake = rig, fake
        self._told = 1
        self._source = NvmlSource(PowerSettings(), self._now)
        self.devices = self._source.devices

    def read(self) -> Sequence[Reading]:
        self._rig.points.append((self._rig.t, IDLE_WATTS))  # should the call take its time, nothing runs meanwhile
        self._fake.append_power(0, self._rig.points[self._told :])
        self._told = len(self._rig.points)
        self._fake.set_time(self._rig.t)
        readings = self._source.read()
        self._rig.stand(max(self._fake.now() - self._rig.t, 0.0))
        return readings

    def close(self) -> None:
        self._source.close()

    def _now(self) -> Instant:
        return Instant(self._fake.now())


@dataclass
class PlainSource:
    """A sensor of plain arithmetic: a counter, or power as it is at the latest tick (the mean over `window` before)."""

    rig: Rig
    period: float = 0.1
    phase: float = 0.0
    counter: bool = True
    window: float = 0.0
    wraps_at: float | None = None
    limit_watts: float | None = 700.0
    fails: Callable[[int], str] = lambda _: ""
    stuck_from: float = math.inf
    reset_at: float = math.inf
    looks: int = 0
    _times: list[float] = field(default_factory=list)
    _joules: list[float] = field(default_factory=list)
    devices: Sequence[Device] = ()

    def __post_init__(self) -> None:
        device = Device("gpu0", "gpu", has_counter=self.counter, counter_range_joules=self.wraps_at)
        self.devices = (replace(device, power_window_seconds=self.window, limit_watts=self.limit_watts),)

    def read(self) -> Sequence[Reading]:
        self.looks += 1
        reason = self.fails(self.looks)
        at = self.rig.now()
        if reason:
            return [ReadFailure("gpu0", at, reason)]
        seen = math.floor((min(at, self.stuck_from) - self.phase) / self.period + 1e-9) * self.period + self.phase
        if not self.counter:
            window = self.window or 1e-6
            return [PowerReading("gpu0", at, Watts((self.true(seen) - self.true(seen - window)) / window))]
        joules = 50.0 + self.true(seen) - (self.true(self.reset_at) if seen > self.reset_at else 0.0)
        return [CounterReading("gpu0", at, Joules(joules if self.wraps_at is None else joules % self.wraps_at))]

    def close(self) -> None:
        pass

    def true(self, at: float) -> float:
        """Joules since 0."""
        points = self.rig.points
        for (since, watts), (until, _) in pairwise(points[max(len(self._times) - 1, 0) :]):
            if not self._times:
                self._times.append(since)
                self._joules.append(0.0)
            self._times.append(until)
            self._joules.append(self._joules[-1] + watts * (until - since))
        if at <= 0.0 or not self._times:
            return points[0][1] * at
        index = bisect_right(self._times, at) - 1
        return self._joules[index] + points[index][1] * (at - self._times[index])


def opened(source: PowerSource) -> Device:
    """The only device."""
    (device,) = source.devices
    return device


def silent(_words: str, _share: float) -> None:
    """Nobody watches."""
