"""The engine: the one task that feeds the pipeline at its own pace and makes its books durable.

    ten times a second   feeds are polled, and what they tell goes into the pipeline
    once a second        readings go into the pipeline, and time advances
    every five seconds   a checkpoint: books, feeds' places and memories in one transaction

With a state directory, what is published is what is durable: the counters that a scraper saw are never taken back by a
crash, and what happened after the last checkpoint is read again from counter and log. Without one, the latest is shown.
"""

import asyncio
import json
import logging
import platform
import resource
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from exporter import __version__
from exporter.clock import SystemClock
from exporter.domain.errors import StateError
from exporter.domain.health import DissectionsView, Health, Published, SourceView, WebView
from exporter.domain.readings import worst_method
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.domain.units import Instant
from exporter.feeds.feed import Feed
from exporter.pipeline.pipeline import SAMPLES, Pipeline
from exporter.power.sampler import Sampler
from exporter.proxy.calibration import saved
from exporter.proxy.calibration.calibration import Calibration, Machine
from exporter.state import StateStore

if TYPE_CHECKING:
    from exporter.feeds.gauges import Poller

log = logging.getLogger(__name__)

_STAGES = frozenset(
    {"power", "feeds", "requests", "ledger", "attribution", "regression", "proxy", "pipeline", "recording", "metrics"}
)


POLL_SECONDS = 0.1
"""Feeds are polled most often: a line's own moment is often only known by when it was read."""
ADVANCE_SECONDS = 1.0
CHECKPOINT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PowerFeed:
    """One power source at work."""

    name: str
    sampler: Sampler
    refusals: Mapping[str, str]

    def view(self) -> SourceView:
        """How it is doing."""
        devices = self.sampler.source.devices
        return SourceView(
            name=self.name,
            counter=any(device.has_counter for device in devices),
            method=worst_method(devices),
            interval_seconds=self.sampler.interval_seconds,
            call_seconds=self.sampler.call_seconds,
            up=self.sampler.up,
            refusals=self.refusals,
        )


class Engine:
    """Feeds a pipeline from sources and logs until stopped.

    Attributes:
        on_settled: told every request that settles.
        gauges: those who ask servers for their own metrics.
        recording_failures: asked how many recordings have failed. web: asked how the doors are doing.
        dissections: asked what result files say.
        passed_over: power sources that `auto` would rather have taken, each with why it does not work, in a word.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        power: Sequence[PowerFeed],
        feeds: Sequence[Feed],
        clock: SystemClock,
        store: StateStore | None,
    ) -> None:
        self.pipeline = pipeline
        self._power = power
        self._feeds = feeds
        self._clock = clock
        self._store = store
        self._saved: set[str] = set()
        self._faults: Counter[str] = Counter()
        self._checkpoint_failures = 0
        self.recording_failures: Callable[[], int] = lambda: 0
        self.web: Callable[[], WebView | None] = lambda: None
        self.dissections: Callable[[], DissectionsView | None] = lambda: None
        self.gauges: Sequence[Poller] = ()
        self.passed_over: Mapping[str, str] = {}
        self._began = clock.now()
        self._advanced = self._checkpointed = self._began
        self._stopping = False
        self.on_settled: Callable[[Sequence[SettledRequest]], None] = lambda _: None
        self._durable: Snapshot = pipeline.snapshot(self._began)

    # --- running ---------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        if self._store is None:
            return
        stored = self._store.load()
        self._saved = set(stored)
        self.pipeline.restore({key: value for key, value in stored.items() if not key.startswith("log|")})
        for feed in self._feeds:
            memory = stored.get(f"log|{feed.server}")
            if memory is not None:
                feed.restore(json.loads(memory))
        self._durable = self.pipeline.snapshot(self._began)

    async def run(self) -> None:
        """Feed the pipeline until `stop`, then make a last checkpoint."""
        for feed in self._power:
            feed.sampler.start()
        ended = asyncio.get_running_loop().create_future()
        try:
            self._go_round(ended)
            await ended
        finally:
            self._wind_up()

    def _go_round(self, ended: "asyncio.Future[None]") -> None:
        """A round, and a timer for the next: to sleep in a task would wake the loop twice each time."""
        if ended.done():  # whoever waited was cancelled
            return
        if self._stopping:
            ended.set_result(None)
            return
        behind = self.turn()
        pause = 0.0 if behind else self._clock.real(POLL_SECONDS)
        asyncio.get_running_loop().call_later(pause, self._go_round, ended)

    def stop(self) -> None:
        """Ask `run` to end, which it does at its next poll: to be woken earlier would cost at every poll."""
        self._stopping = True

    def finish(self) -> Snapshot:
        """After `run` has ended: settle and close everything. For a story that is over; nothing is made durable."""
        now = self._clock.now()
        self.on_settled(self.pipeline.finish(now))
        self._durable = self.pipeline.snapshot(now)
        return self._durable

    def turn(self) -> bool:
        """One round; returns whether logs have more. A bug must not end metering: it is counted, and rounds go on."""
        return self._survive(self._round)

    def _survive(self, work: Callable[[], object]) -> bool:
        try:
            return bool(work())
        except Exception as error:
            stage = _stage(error)
            self.fault(stage)
            if self._faults[stage] == 1:
                log.exception("a bug in %s; metering goes on, and later ones are only counted", stage)
            return False

    def _round(self) -> bool:
        now = self._clock.now()
        behind = self._hear(now)
        if now - self._advanced >= ADVANCE_SECONDS:
            self._advance(now)
        if now - self._checkpointed >= CHECKPOINT_SECONDS:
            self._checkpoint(now)
        return behind

    def _last_round(self) -> bool:
        now = self._clock.now()
        behind = self._hear(now)
        self._advance(now)
        self._checkpoint(now, last=True)
        return behind

    def _wind_up(self) -> None:
        for feed in self._power:
            feed.sampler.stop()
        self._survive(self._last_round)
        self.close()

    def close(self) -> None:
        """Let go of sources, logs and state. `run` does so by itself; this is for an engine that never ran."""
        for feed in self._power:
            feed.sampler.stop()
        for each in self._feeds:
            each.close()
        if self._store is not None:
            self._store.close()

    def change_over(self, pipeline: Pipeline, power: Sequence[PowerFeed]) -> Sequence[PowerFeed]:
        """Go on with other devices while running: their books begin, those of the old ones are closed.

        A bug on the way is raised, and metering goes on with the old ones, whose books bear that they were closed.

        Args:
            pipeline: empty; it takes over what goes on: counts, requests that run, what readers and proxies know.
            power: what feeds it, not started. It is the caller's to stop if this raises.

        Returns:
            The old power feeds, which still run and are to be stopped.
        """
        now = self._clock.now()
        self._hear(now)
        self._advance(now)
        self.on_settled(self.pipeline.finish(now))
        pipeline.succeed(self.pipeline)
        for feed in power:
            feed.sampler.start()
        before, self._power, self.pipeline = self._power, power, pipeline
        self._survive(lambda: self._checkpoint(now))
        return before

    # --- what flows ------------------------------------------------------------------------------------------------

    def _hear(self, now: Instant) -> bool:
        """Hear what is told of requests; returns whether some feed has more."""
        offset = None if self._clock.look() else self._clock.wall_offset()
        for feed in self._feeds:
            for told in feed.poll(now, offset):
                self.pipeline.receive_event(feed.server, told.event, told.heard_at)
            until = feed.heard_until(now)
            if until is not None:
                self.pipeline.receive_progress(feed.server, until)
        return any(feed.behind for feed in self._feeds)

    def _advance(self, now: Instant) -> None:
        self._advanced = now
        for feed in self._power:
            for reading in feed.sampler.drain():
                self.pipeline.receive_reading(reading)
        for poller in self.gauges:
            for gauge in poller.drain():
                self.pipeline.receive_gauge(poller.server, gauge)
        for each in self._feeds:
            each.tell_problems()
        self.on_settled(self.pipeline.advance(now))

    def _checkpoint(self, now: Instant, *, last: bool = False) -> None:
        self._checkpointed = now
        if self._store is None:
            return
        changes = self.pipeline.checkpoint(self._saved, last=last)
        if SAMPLES in changes:
            changes[saved.ENTRY] = saved.pack(self.calibrations())
        for feed in self._feeds:
            changes[f"log|{feed.server}"] = json.dumps(feed.snapshot()).encode()
        try:
            self._store.save(changes)
        except StateError as error:
            self._checkpoint_failures += 1
            if self._checkpoint_failures == 1:
                log.error("%s; the books go on in memory only", error)  # noqa: TRY400 - it says all
        self._durable = self.pipeline.snapshot(now)

    # --- what is known ---------------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether the books are open and time has advanced once. A broken sensor does not matter here."""
        return self._advanced > self._began

    def fault(self, stage: str) -> None:
        """Count a bug of ours that somebody caught."""
        self._faults[stage] += 1

    @property
    def snapshot(self) -> Snapshot:
        """The books as published."""
        return self._durable if self._store is not None else self.pipeline.snapshot(self._advanced)

    def calibrations(self) -> Mapping[str, Sequence[Calibration]]:
        """What proxies have learned by now, by server, one for each model."""
        date = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="seconds")
        return self.pipeline.calibrations(date, Machine(platform.platform(terse=True), __version__))

    def published(self) -> Published:
        """What `/metrics` shows."""
        return Published(self.snapshot, self._health())

    def _health(self) -> Health:
        """How this process is doing."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Health(
            version=__version__,
            start=self._began,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            memory_bytes=_resident_bytes(),
            clock_steps=self._clock.steps,
            checkpoint_failures=self._checkpoint_failures,
            recording_failures=self.recording_failures(),
            web=self.web(),
            dissections=self.dissections(),
            sources=tuple(feed.view() for feed in self._power),
            passed_over=self.passed_over,
            logs=tuple(feed.view() for feed in self._feeds),
            gauges=tuple(poller.view() for poller in self.gauges),
            faults=dict(self._faults),
        )


def _resident_bytes() -> int:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def _stage(error: Exception) -> str:
    """The package of ours in which an exception was raised: a small closed set for a label."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__) if "exporter" in frame.filename]
    parts = Path(files[-1]).parts if files else ()
    return next((part for part in reversed(parts) if part in _STAGES), "engine")
