"""A fake NVML: a real shared library that the real `pynvml` loads, with boards that follow a power script.

In this process, time is what the test says::

    fake = FakeNvml(build(cache), tmp_path, [FakeGpu(power=((0.0, 100.0), (5.0, 400.0)))])
    fake.attach()                        # from now on pynvml speaks to it
    fake.set_time(6.0)

In another process, time is real, perhaps faster, and the script may grow while it runs::

    fake = FakeNvml(build(cache), tmp_path, gpus, time=RealTime(epoch=time.time(), speed=20.0))
    subprocess.Popen(command, env={**os.environ, **fake.environment()})
    fake.append_power(0, [(12.5, 310.0), (12.6, 95.0)])     # before those script seconds come

Script time starts at 0. Watts hold from their point until the next (piecewise constant); the first reaches back and
the last reaches on. `true_joules` is the exact integral.

Boards can be set, by any process, and stay set when it is gone::

    fake.power_limit(0), fake.locked_clocks(0)              # what holds now
    fake.set_calls()                                        # who called which setter, when, and what came of it
"""

import ctypes
import hashlib
import os
import subprocess
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, pairwise
from math import inf
from pathlib import Path
from typing import Literal

SONAME = "libnvidia-ml.so.1"
SOURCE = Path(__file__).with_name("fake_nvml.c")
SOURCES = (SOURCE, SOURCE.with_name("settings.h"))

AMPERE, ADA, HOPPER = 7, 8, 9
INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND = 2, 3, 4, 9, 12
GPU_IS_LOST, IN_USE, UNKNOWN = 15, 19, 999
VGPU_GUEST = 2

FaultKind = Literal[
    "error", "no_counter", "no_power", "no_instant", "no_usage", "stuck", "reset", "gain", "slow",
    "no_limits", "no_clocks", "set_error", "set_ignored",
]  # fmt: skip
Setter = Literal["power_limit", "clocks", "reset_clocks"]
_VALUES: dict[Setter, int] = {"power_limit": 1, "clocks": 2, "reset_clocks": 0}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in [start, end) of script time.

    Kinds: `error` answers every call with the code `value` (only the first `times` calls, where given); `no_counter`,
    `no_power`, `no_instant` and `no_usage` answer NOT_SUPPORTED; `stuck` holds the counter; `reset` sets it to zero at
    `start`; `gain` lets it run `value` times too fast; `slow` makes a reading take `value` milliseconds, half of them
    before the sensor is looked at (virtual time passes by itself meanwhile), and a setter likewise.

    `no_limits` and `no_clocks` answer NOT_SUPPORTED to all that is about power limits or clocks; `set_error` lets every
    setter answer `value`, such as NO_PERMISSION (only the first `times` calls of a process, where given);
    `set_ignored` lets them answer success and change nothing.
    """

    kind: FaultKind
    start: float = 0.0
    end: float = inf
    value: float = 0.0
    times: int = -1


@dataclass(frozen=True, slots=True)
class DriverGone:
    """The driver is unloaded in [start, end): handles of before are dead for good, initialising answers `code`."""

    start: float
    end: float = inf
    code: int = DRIVER_NOT_LOADED


@dataclass(frozen=True, slots=True)
class Counter:
    """The energy counter: steps every `period` seconds, runs `gain` times the truth, stood at `base` J at time 0."""

    period: float = 0.1
    phase: float = 0.0
    gain: float = 1.0
    base: float = 1000.0


@dataclass(frozen=True, slots=True)
class Sensor:
    """A power reading: the mean over `window` seconds (0: at that moment) before its latest update."""

    window: float
    period: float = 0.1


@dataclass(frozen=True, slots=True)
class Clocks:
    """The graphics clocks that a board has, all at its one memory clock; MHz."""

    low: int = 345
    high: int = 1980
    step: int = 15
    memory: int = 3201


@dataclass(frozen=True, slots=True)
class SetCall:
    """One call of a setter, by any process.

    Attributes:
        at: wall clock, seconds since the epoch.
        pid: of the process. index: of the board.
        what: `values` are milliwatts of a power limit, lowest and highest MHz of locked clocks, none of a reset.
        code: NVML's answer. took: whether the board changed.
    """

    at: float
    pid: int
    index: int
    what: Setter
    values: tuple[int, ...]
    code: int
    took: bool


@dataclass(frozen=True, slots=True)
class FakeGpu:
    """One board, before anybody has set it.

    `mig` lists the UUIDs of its instances; `module` says whether it answers power of a whole module; without `clocks`
    it answers nothing about them. Its default limit is `limit_watts` unless said otherwise.
    """

    power: Sequence[tuple[float, float]] = ((0.0, 100.0),)
    name: str = "NVIDIA H200"
    uuid: str = "GPU-11111111-2222-3333-4444-555555555555"
    bus: str = "00000000:1B:00.0"
    architecture: int = HOPPER
    limit_watts: float | None = 700.0
    min_limit_watts: float | None = 200.0
    max_limit_watts: float | None = 700.0
    default_limit_watts: float | None = None
    clocks: Clocks | None = Clocks()
    virtualization: int = 0
    counter: Counter = Counter()
    average: Sensor = Sensor(window=1.0)
    instant: Sensor = Sensor(window=0.025)
    module: bool = False
    mig: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class VirtualTime:
    """Time stands until `set_time`; in this process only."""


@dataclass(frozen=True, slots=True)
class RealTime:
    """Script time is (wall clock - epoch) x speed, in every process."""

    epoch: float
    speed: float = 1.0


def build(directory: Path) -> Path:
    """Compile the library below `directory`, unless this very source was compiled there before."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()
    target = directory / digest[:16] / SONAME
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f"{SONAME}.{os.getpid()}")
        _compile(fresh)
        fresh.replace(target)
    return target


def _compile(target: Path) -> None:
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", f"-Wl,-soname,{SONAME}"]
    subprocess.run(["gcc", *flags, "-o", str(target), str(SOURCE), "-lpthread", "-lm"], check=True)


@cache
def _load(library: Path) -> ctypes.CDLL:
    """Load it by path, once: the dynamic linker then answers pynvml's load by soname with the same library."""
    loaded = ctypes.CDLL(str(library))
    loaded.fake_nvml_now.restype = ctypes.c_double
    loaded.fake_nvml_true_joules.restype = ctypes.c_double
    loaded.fake_nvml_calls.restype = ctypes.c_long
    return loaded


class PowerScript:
    """Break points (t, watts) and their exact integral."""

    def __init__(self, points: Iterable[tuple[float, float]]) -> None:
        self._points = sorted(points, key=lambda point: point[0])
        self._times = [t for t, _ in self._points]
        steps = (watts * (after - t) for (t, watts), (after, _) in pairwise(self._points))
        self._joules = list(accumulate(steps, initial=0.0))

    def _joules_until(self, t: float) -> float:
        index = max(bisect_right(self._times, t) - 1, 0)
        start, watts = self._points[index]
        return self._joules[index] + watts * (t - start)

    def joules(self, start: float, end: float) -> float:
        """The true energy between two moments."""
        return self._joules_until(end) - self._joules_until(start)


class FakeNvml:
    """The boards of one fake machine, and the file that describes them to the library."""

    def __init__(
        self,
        library: Path,
        directory: Path,
        gpus: Sequence[FakeGpu] = (FakeGpu(),),
        *,
        driver: Sequence[DriverGone] = (),
        time: VirtualTime | RealTime = VirtualTime(),
    ) -> None:
        self.library = library
        self.config = directory / "fake-nvml.conf"
        self._directory = directory
        self._settings = directory / "fake-nvml.settings"
        self._settings.write_text("")
        self._time = time
        self._driver = tuple(driver)
        self._loaded: ctypes.CDLL | None = None
        self._traces = 0
        self._gpus: list[FakeGpu] = []
        self._scripts: list[Path] = []
        self.change(gpus)

    @property
    def gpus(self) -> Sequence[FakeGpu]:
        """The boards as they are."""
        return self._gpus

    def change(self, gpus: Sequence[FakeGpu]) -> None:
        """Other boards, or other scripts and faults for the same ones."""
        before = list(zip(self._gpus, self._scripts, strict=True))
        self._scripts = [
            before[index][1]
            if index < len(before) and gpu.power is before[index][0].power
            else self._write_trace(gpu.power)
            for index, gpu in enumerate(gpus)
        ]
        self._gpus = list(gpus)
        self._write_config()

    def break_down(self, *faults: Fault, index: int = 0) -> None:
        """Give one board these faults and no others."""
        gpus = list(self._gpus)
        gpus[index] = replace(gpus[index], faults=faults)
        self.change(gpus)

    def unload_driver(self, *gone: DriverGone) -> None:
        """The driver is gone at these times and at no others."""
        self._driver = gone
        self._write_config()

    def append_power(self, index: int, points: Sequence[tuple[float, float]]) -> None:
        """Continue one board's script. Points must come before their time does."""
        with self._scripts[index].open("a") as trace:
            trace.writelines(_lines(points))
        self._gpus[index] = replace(self._gpus[index], power=(*self._gpus[index].power, *points))

    def true_joules(self, index: int, start: float, end: float) -> float:
        """The exact energy of one board between two moments of script time."""
        return PowerScript(self._gpus[index].power).joules(start, end)

    def set_calls(self) -> list[SetCall]:
        """Every call of a setter so far, by any process, in the order in which they were answered."""
        return [_set_call(line) for line in self._settings.read_text().splitlines()]

    def power_limit(self, index: int = 0) -> float | None:
        """The power limit in force, in W; None where the board has none."""
        set_to = [call.values[0] / 1e3 for call in self._took(index) if call.what == "power_limit"]
        return set_to[-1] if set_to else self._gpus[index].limit_watts

    def locked_clocks(self, index: int = 0) -> tuple[int, int] | None:
        """Lowest and highest graphics clock that the board is held to, in MHz; None while it is not."""
        calls = [call for call in self._took(index) if call.what != "power_limit"]
        if not calls or calls[-1].what == "reset_clocks":
            return None
        low, high = calls[-1].values
        return low, high

    def _took(self, index: int) -> list[SetCall]:
        return [call for call in self.set_calls() if call.took and call.index == index]

    def environment(self) -> dict[str, str]:
        """What a subprocess needs in its environment to find these boards."""
        search = [str(self.library.parent), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        return {"FAKE_NVML_CONFIG": str(self.config), "LD_LIBRARY_PATH": os.pathsep.join(search)}

    def attach(self) -> None:
        """Make this the NVML of the present process, freshly loaded, at time 0."""
        self._loaded = _load(self.library)
        self._loaded.fake_nvml_configure(str(self.config).encode())

    def set_time(self, t: float) -> None:
        """Move virtual time."""
        self._attached.fake_nvml_set_time(ctypes.c_double(t))

    def now(self) -> float:
        """Script time as the library sees it in this process."""
        return float(self._attached.fake_nvml_now())

    def calls(self, kind: Literal["energy", "usage", "field", "init", "lookup", "set"]) -> int:
        """How often this process has asked since `attach`."""
        return int(self._attached.fake_nvml_calls(kind.encode()))

    def references(self) -> int:
        """How often NVML is initialised and not yet shut down."""
        return int(self._attached.fake_nvml_references())

    def library_joules(self, index: int, start: float, end: float) -> float:
        """What the C side holds for the truth, to be checked against `true_joules`."""
        return float(self._attached.fake_nvml_true_joules(index, ctypes.c_double(start), ctypes.c_double(end)))

    @property
    def _attached(self) -> ctypes.CDLL:
        assert self._loaded is not None, "attach() first: only a process that loaded the library can ask it"
        return self._loaded

    def _write_trace(self, points: Sequence[tuple[float, float]]) -> Path:
        self._traces += 1  # a new name each time: the library takes a file it knows to have only grown
        path = self._directory / f"power.{self._traces}.trace"
        path.write_text("".join(_lines(points)))
        return path

    def _write_config(self) -> None:
        lines = [_clock(self._time), f"settings {self._settings}"]
        lines += [f"driver_fault gone {gone.start!r} {gone.end!r} {gone.code}" for gone in self._driver]
        for gpu, script in zip(self._gpus, self._scripts, strict=True):
            lines += _describe(gpu, script)
        fresh = self.config.with_suffix(".fresh")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self.config)
        if self._loaded is not None:
            self._loaded.fake_nvml_reload()


def _lines(points: Iterable[tuple[float, float]]) -> Iterable[str]:
    return (f"{t!r} {watts!r}\n" for t, watts in points)


def _clock(time: VirtualTime | RealTime) -> str:
    return f"clock real {time.epoch!r} {time.speed!r}" if isinstance(time, RealTime) else "clock virtual"


def _describe(gpu: FakeGpu, script: Path) -> list[str]:
    counter = gpu.counter
    return [
        "device",
        f"name {gpu.name}",
        f"uuid {gpu.uuid}",
        f"bus {gpu.bus}",
        f"architecture {gpu.architecture}",
        _limits(gpu),
        *([f"clocks {clocks.low} {clocks.high} {clocks.step} {clocks.memory}"] if (clocks := gpu.clocks) else []),
        f"virtualization {gpu.virtualization}",
        f"counter {counter.period!r} {counter.phase!r} {counter.gain!r} {counter.base!r}",
        f"average {gpu.average.window!r} {gpu.average.period!r}",
        f"instant {gpu.instant.window!r} {gpu.instant.period!r}",
        f"module {int(gpu.module)}",
        f"trace {script}",
        *(f"mig {uuid}" for uuid in gpu.mig),
        *(f"fault {fault.kind} {fault.start!r} {fault.end!r} {fault.value!r} {fault.times}" for fault in gpu.faults),
    ]


def _limits(gpu: FakeGpu) -> str:
    default = gpu.default_limit_watts if gpu.default_limit_watts is not None else gpu.limit_watts
    limits = (gpu.limit_watts, gpu.min_limit_watts, gpu.max_limit_watts, default)
    return f"limits {' '.join(str(_milliwatts(watts)) for watts in limits)}"


def _set_call(line: str) -> SetCall:
    at, pid, index, what, low, high, code, took = line.split()
    setter = next(known for known in _VALUES if known == what)
    values = (int(low), int(high))[: _VALUES[setter]]
    return SetCall(float(at), int(pid), int(index), setter, values, int(code), took == "1")


def _milliwatts(watts: float | None) -> int:
    return round((watts or 0.0) * 1e3)
