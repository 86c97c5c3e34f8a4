"""What a request costs from its line in a log to its place in a histogram: one thread, no disk, the story's clock.

The engine's rhythm is kept in the story's time: the log is heard ten times a second, readings and time once a second.
"""

import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

from exporter.domain.events import Used
from exporter.domain.lines import Line
from exporter.domain.readings import CounterReading, Device, PowerReading, Reading
from exporter.domain.settings import RequestSettings, ServerSettings, Settings
from exporter.domain.units import Instant, Joules, Watts, later
from exporter.pipeline.pipeline import Pipeline
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from tests.bench.traffic import LOGS, OPTIONS, invented_run
from tests.simulation.logs import LogLine

SERVER = "chat"
POLLS_A_SECOND = 10
READINGS_A_SECOND = 20
_WATTS = 400.0
_AFTER_SECONDS = 60
_WALL_ZERO = Instant(-inf)


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was put through and what it cost."""

    requests: int
    lines: int
    story_seconds: float
    cpu_seconds: float

    @property
    def requests_a_second(self) -> float:
        """Requests for each second of one core."""
        return self.requests / self.cpu_seconds


def gpus(count: int) -> tuple[Device, ...]:
    """Boards with a counter, as NVML would show them."""
    return tuple(
        Device(f"gpu{n}", "gpu", f"GPU-{n}", "NVIDIA H200", has_counter=True, power_window_seconds=0.025)
        for n in range(count)
    )


def readings(devices: Sequence[Device], since: Instant) -> Iterator[Reading]:
    """One second of polls: the counter steps every 100 ms, power is read every fourth time."""
    for poll in range(READINGS_A_SECOND):
        at = later(since, poll / READINGS_A_SECOND)
        for device in devices:
            yield CounterReading(device.name, at, Joules(_WATTS * (at - at % 0.1)))
            if poll % 4 == 0:
                yield PowerReading(device.name, at, Watts(_WATTS))


class Story:
    """A pipeline that is told a log and a meter, second by second."""

    def __init__(self, source: str, lines: Sequence[LogLine], begin: Instant, devices: int = 1) -> None:
        settings = Settings(servers=(ServerSettings(SERVER, (RequestSettings(source),)),))
        self.now = begin
        self.pipeline = Pipeline(settings, gpus(devices), begin)
        self.reader: RequestReader = READERS[source].build(OPTIONS[source], "UTC")
        self._devices = gpus(devices)
        self._lines = iter(lines)
        self._next = next(self._lines, None)

    def second(self) -> None:
        """Tell the next second."""
        for _ in range(POLLS_A_SECOND):
            self._poll(later(self.now, 1.0 / POLLS_A_SECOND))
        for reading in readings(self._devices, later(self.now, -1.0)):
            self.pipeline.receive_reading(reading)
        self.pipeline.advance(self.now)

    def _poll(self, now: Instant) -> None:
        before, self.now = self.now, now
        while self._next is not None and self._next.at <= now:
            heard = self.reader.feed(Line(self._next.text, before, now))
            if isinstance(heard, Used):
                for event in heard.events:
                    self.pipeline.receive_event(SERVER, event, now)
            self._next = next(self._lines, None)
        self.pipeline.receive_progress(SERVER, now)

    def settled(self) -> int:
        """Requests in the histograms."""
        return sum(sum(model.requests.values()) for model in self.pipeline.snapshot(self.now).models)


def held(count: int, rate: float, devices: int) -> float:
    """MiB that the pipeline and its reader hold at the end of a story of so many requests."""
    run = invented_run(count, rate)
    lines = LOGS["jsonl"](run)
    tracemalloc.start()
    try:
        story = Story("jsonl", lines, run.begin, devices)
        for _ in range(int(run.end - run.begin) + _AFTER_SECONDS):
            story.second()
        return tracemalloc.get_traced_memory()[0] / (1 << 20)
    finally:
        tracemalloc.stop()


def put_through(source: str, count: int, rate: float) -> Throughput:
    """Tell `count` requests that come at `rate` a second of the story, until the last of them has settled."""
    run = invented_run(count, rate)
    lines = LOGS[source](run)
    story = Story(source, lines, run.begin)
    seconds = int(run.end - run.begin) + _AFTER_SECONDS
    began = time.process_time()
    for _ in range(seconds):
        story.second()
    spent = time.process_time() - began
    assert story.settled() == count, f"{story.settled()} of {count} requests of the {source} log settled"
    return Throughput(count, len(lines), seconds, spent)
