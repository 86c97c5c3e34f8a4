"""(g) What the exporter costs the server: tokens a second with it on and off, by turns.

Theory of operation. Batches of the same requests are sent again and again; the time that one takes is that of a fixed
amount of work. Blocks of batches come in the order ABBA or BAAB, by chance but repeatably: what drifts slowly (clocks,
temperature, another program) hits both alike. Each neighbouring pair gives one relative difference, and their mean has
an interval by Student's t. The model is small, so that a step takes milliseconds: there a driver that is held, or a
core that is taken away, would show most.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from statistics import fmean, stdev

import psutil

from validation.options import Options
from validation.programs import ProgramError
from validation.results import Check, Figure, MachineFacts, StageResult
from validation.serving import servers
from validation.serving.load import Load, loading, warmed_up
from validation.serving.metering import Metering
from validation.serving.plan import Class, Sizing
from validation.serving.run import Served, ServerFailedError, ServerUnderTest
from validation.stage import Room

_STUDENT = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23}
"""97.5 % quantiles by degrees of freedom; beyond these it is 2.2 at most."""
_COSTS_AT_MOST = 1.0
"""Percent of throughput."""
_STOPPING_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Block:
    """Batches in one state of the world. `rates`: output tokens a second of each. `cores`: the exporter's CPU time."""

    on: bool
    rates: tuple[float, ...]
    cores: float | None = None
    resident_bytes: float | None = None

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return fmean(self.rates)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things take. `pause`: before each block, as the exporter starts or nobody is there. `blocks`: most."""

    batch_seconds: float
    batches: int
    pause: float
    blocks: int


REAL, FAKE = Terms(1.5, 3, 3.0, 20), Terms(0.4, 2, 2.0, 2)


@dataclass(slots=True)
class _Course:
    """What comes together."""

    blocks: list[Block] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    server: str = ""


class OverheadStage:
    """See `Stage`."""

    name = "overhead"
    share = 60.0

    def __init__(self, options: Options, chosen: Sequence[ServerUnderTest] | None = None) -> None:
        self._options, self._chosen = options, chosen
        self._terms = FAKE if options.fake else REAL

    def unable(self, machine: MachineFacts) -> str:
        """Without a GPU there is nothing to slow down."""
        return "" if machine.gpu else "no NVIDIA GPU"

    def run(self, room: Room) -> StageResult:
        """With the first server that starts."""
        course = _Course()
        for server in servers.quick(self._options) if self._chosen is None else self._chosen:
            why = server.unable(room.machine)
            if why:
                course.undone.append(f"{server.name}: {why}")
                continue
            try:
                served = server.start(room)
                course.server, course.checks = server.name, list(served.checks)
                asyncio.run(self._by_turns(server, served, room, course))
                break
            except (ServerFailedError, ProgramError, OSError) as error:
                course.undone.append(f"{server.name}: {error}")
                if course.blocks:
                    break
            finally:
                server.stop()
        return _told(course, self._options)

    async def _by_turns(self, server: ServerUnderTest, served: Served, room: Room, course: _Course) -> None:
        until = time.time() + room.left() - _STOPPING_SECONDS
        async with loading(served, until, server.alive) as load:
            pace = await warmed_up(load)
            size = served.bearing.concurrency
            kind = Sizing(pace, served.bearing).lasting("", 32, self._terms.batch_seconds, size)
            lasts = self._terms.pause + self._terms.batches * pace.seconds(kind, size) * 1.2
            for on in islice(turns(), self._terms.blocks):
                if time.time() + lasts + _STOPPING_SECONDS > until or not server.alive():
                    break
                course.blocks.append(await self._block(on, load, kind, room))
                room.say(f"{'with' if on else 'without'} the exporter: {course.blocks[-1].rate:.0f} tokens/s")

    async def _block(self, on: bool, load: Load, kind: Class, room: Room) -> Block:  # noqa: FBT001 - what it is about
        """Batches with the exporter or without, after a pause that is as long for both."""
        began = time.time()
        metering = Metering(load.served, "overhead", room.scratch / "overhead.jsonl.gz", room.scratch) if on else None
        try:
            if metering is not None:
                metering.await_ready(room)
            await asyncio.sleep(max(began + self._terms.pause - time.time(), 0.0))
            watch = None if metering is None else Watch(metering.pid)
            rates = [await _batch(load, kind) for _ in range(self._terms.batches)]
            if watch is None:
                return Block(on, tuple(rates))
            return Block(on, tuple(rates), watch.cores(), watch.resident_bytes())
        finally:
            if metering is not None:
                metering.stop()


class Watch:
    """What a process uses of the CPU from now on."""

    def __init__(self, pid: int) -> None:
        self._process, self._began = psutil.Process(pid), time.monotonic()
        self._used = self._seconds()

    def cores(self) -> float:
        """CPU seconds a second."""
        return (self._seconds() - self._used) / max(time.monotonic() - self._began, 1e-9)

    def resident_bytes(self) -> float:
        """Of memory, now."""
        return float(self._process.memory_info().rss)

    def _seconds(self) -> float:
        used = self._process.cpu_times()
        return float(used.user + used.system)


def turns(seed: int = 3) -> Iterator[bool]:
    """On and off without end: ABBA or BAAB, each as likely."""
    random = Random(seed)  # noqa: S311 - a repeatable order, no secret
    while True:
        first = random.random() < 0.5
        yield from (first, not first, not first, first)


async def _batch(load: Load, kind: Class) -> float:
    """Output tokens a second of as many requests at once as the server bears.

    Raises:
        ServerFailedError: it did not answer all of them.
    """
    size = load.served.bearing.concurrency
    truths = await asyncio.gather(*(load.ask("overhead", kind) for _ in range(size)))
    broken = [one.why for one in truths if one.outcome != "ok"]
    if broken:
        raise ServerFailedError(f"{len(broken)} of {size} requests without a whole answer: {broken[0]}")
    seconds = max(one.end for one in truths) - min(one.start for one in truths)
    return sum(one.output_tokens or 0 for one in truths) / seconds


def differences(blocks: Sequence[Block]) -> list[float]:
    """Of each pair of neighbours, one with and one without the exporter: percent of throughput that it costs."""
    pairs = [pair for pair in zip(blocks[::2], blocks[1::2], strict=False) if pair[0].on != pair[1].on]
    rates = [(one.rate, other.rate) if one.on else (other.rate, one.rate) for one, other in pairs]
    return [100.0 * (off - on) / off for on, off in rates]


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Of their mean, at 95 %; None for fewer than two."""
    if len(values) < 2:
        return None
    half = _STUDENT.get(len(values) - 1, 2.2) * stdev(values) / len(values) ** 0.5
    return fmean(values) - half, fmean(values) + half


def _told(course: _Course, options: Options) -> StageResult:
    costs = differences(course.blocks)
    spread = interval(costs)
    fake = "FAKE board" if options.fake else ""
    why = "; ".join(course.undone)
    if not costs:
        return StageResult("overhead", "failed", 0.0, why or "no time for a block with and one without the exporter")
    low, high = spread if spread is not None else (None, None)
    found = f"{fmean(costs):.2f} %" + (f", {low:.2f} to {high:.2f} %" if spread is not None else ", of one pair")
    note = "; ".join(filter(None, ["95 % interval of the mean over pairs, Student's t", fake]))
    figures = [
        Figure("throughput that the exporter costs", fmean(costs), "%", low, high, len(costs), note),
        *_of_states(course.blocks, fake),
        *_of_the_exporter(course.blocks, fake),
    ]
    check = Check(
        "the exporter costs the server next to nothing",
        f"at most {_COSTS_AT_MOST:g} % of its throughput",
        found,
        None if low is None or high is None or low <= _COSTS_AT_MOST < high else high <= _COSTS_AT_MOST,
    )
    rows = tuple(
        {
            "block": number,
            "exporter": "on" if block.on else "off",
            "tokens/s": round(block.rate, 1),
            "exporter's cores": None if block.cores is None else round(block.cores, 4),
        }
        for number, block in enumerate(course.blocks, 1)
    )
    tables = {f"Overhead: {course.server}": rows}
    return StageResult("overhead", "done", 0.0, why, tuple(figures), (*course.checks, check), tables)


def _of_states(blocks: Sequence[Block], note: str) -> Iterator[Figure]:
    for on in (False, True):
        rates = [rate for block in blocks if block.on == on for rate in block.rates]
        if rates:
            name = f"throughput {'with' if on else 'without'} the exporter"
            yield Figure(name, fmean(rates), "tokens/s", min(rates), max(rates), len(rates), note or "lowest, highest")


def _of_the_exporter(blocks: Sequence[Block], note: str) -> Iterator[Figure]:
    cores = [100.0 * block.cores for block in blocks if block.cores is not None]
    sizes = [block.resident_bytes / 1e6 for block in blocks if block.resident_bytes is not None]
    if cores:
        yield Figure(
            "CPU that the exporter uses", fmean(cores), "% of a core", min(cores), max(cores), len(cores), note
        )
    if sizes:
        yield Figure("memory of the exporter", max(sizes), "MB", samples=len(sizes), note=note)


def stage(options: Options) -> OverheadStage:
    """The stage."""
    return OverheadStage(options)
