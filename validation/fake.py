"""A board for `--fake`: the fake NVML in real time, whose watts follow the CPU time that this program uses.

Theory of operation. The library is compiled from the tests' own source and put before anything else that pynvml could
find, in this process by loading it first, in those it starts by their environment. A thread looks twenty times a second
at how much CPU time this process and all that it started have used since, and writes watts for the next moment:

    watts = IDLE_WATTS + LOAD_WATTS x CPU time used / (cores x time passed)

These watts are made up: they rise with the load and fall with it, a twentieth of a second late, so that everything
behind them sees something plausible. They say nothing about any device. What this process burns counts too: polling a
sensor flat out looks like load here.
"""

import ctypes
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psutil

from tests.fakes.nvml import FakeGpu, FakeNvml, RealTime, build

IDLE_WATTS, LOAD_WATTS = 70.0, 600.0
STEP_SECONDS = 0.05
"""How often watts change."""
AHEAD_SECONDS = 0.01
"""A point is written so much before its time: the fake wants to know it by then."""
_FAMILY_SECONDS = 0.5
"""How often to look who was started: that walks through all processes of the machine."""
_SCHEDULED = 2
"""CPUCLOCK_SCHED of the kernel's posix-timers.h: CPU time as the scheduler counts it."""

NAME = "FAKE H200 (made-up watts)"


class FakeUnavailableError(Exception):
    """The fake cannot be made here; says what to do."""


@contextmanager
def plugged_in(directory: Path) -> Iterator[FakeNvml]:
    """While this lasts, pynvml sees the fake board, here and in all processes that are started here.

    Args:
        directory: for the library, its configuration and its script; it must outlive the processes.

    Raises:
        FakeUnavailableError: no C compiler.
    """
    if shutil.which("gcc") is None:
        raise FakeUnavailableError("the fake NVML is C, and there is no gcc: apt-get install gcc libc6-dev")
    directory.mkdir(parents=True, exist_ok=True)
    gpu = FakeGpu(power=((0.0, IDLE_WATTS),), name=NAME)
    fake = FakeNvml(build(directory), directory, [gpu], time=RealTime(time.time()))
    fake.attach()
    with _environment(fake.environment()), _following(fake):
        yield fake


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _following(fake: FakeNvml) -> Iterator[None]:
    ended = Event()
    thread = Thread(target=_follow, args=(fake, ended), name="fake watts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _follow(fake: FakeNvml, ended: Event) -> None:
    family, cores = Family(), len(os.sched_getaffinity(0))
    before = time.monotonic()
    family.used(before)
    while not ended.wait(STEP_SECONDS):
        now = time.monotonic()
        watts = watts_of(family.used(now), now - before, cores)
        fake.append_power(0, [(fake.now() + AHEAD_SECONDS, watts)])
        before = now


def watts_of(cpu_seconds: float, seconds: float, cores: int) -> float:
    """What the board draws while so much CPU time is used in so much time."""
    return IDLE_WATTS + LOAD_WATTS * min(max(cpu_seconds / (cores * seconds), 0.0), 1.0)


class Family:
    """CPU time used by this process and all its descendants.

    Args:
        cpu_seconds: of a process since its start; None once it is gone.
        descendants: of this process, now.
    """

    def __init__(
        self,
        cpu_seconds: Callable[[int], float | None] | None = None,
        descendants: Callable[[], set[int]] | None = None,
    ) -> None:
        self._cpu_seconds = cpu_seconds or _cpu_seconds
        self._descendants = descendants or _descendants
        self._seen: dict[int, float] = {}
        self._members: set[int] = set()
        self._looked: float | None = None

    def used(self, now: float) -> float:
        """Seconds of CPU time since the last call; of the first call it is all that was used before."""
        if self._looked is None or now - self._looked >= _FAMILY_SECONDS:
            self._members, self._looked = {os.getpid(), *self._descendants()}, now
        clocks = {pid: used for pid in self._members if (used := self._cpu_seconds(pid)) is not None}
        gained = sum(used - self._seen.get(pid, 0.0) for pid, used in clocks.items())
        self._seen = clocks
        return gained


def _cpu_seconds(pid: int) -> float | None:
    """To the nanosecond, over all its threads; the clock's number is what the kernel's `clock_getcpuclockid` makes."""
    number = ctypes.c_int((~pid << 3) | _SCHEDULED).value
    with suppress(OSError):
        return time.clock_gettime(number)
    return None


def _descendants() -> set[int]:
    with suppress(psutil.Error):
        return {child.pid for child in psutil.Process().children(recursive=True)}
    return set()
