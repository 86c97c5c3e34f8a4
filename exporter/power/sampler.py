"""Polls one power source from a thread of its own, at a pace that the source can bear.

A thread, because a call into a driver may block and the event loop may not. Three things set the pace:

- at the start a burst of quick reads, so that the sensor's own update period can be measured from when it changes;
- then the configured interval, on a fixed grid: a late read does not shift those after it, a missed one is skipped;
- calls may take a fiftieth of the time at most. Slow calls mean that the driver is busy serving somebody, so the
  interval grows with the smoothed duration of a call, and shrinks again with it.
"""

import math
import time
from collections import deque
from threading import Lock, Thread

from exporter.domain.clock import Clock
from exporter.domain.readings import ReadFailure, Reading
from exporter.domain.units import Instant, later
from exporter.power.source import PowerSource

BURST_SECONDS = 1.2
"""Twelve updates of a sensor that steps every 100 ms, two of one that steps every half second."""
BURST_INTERVAL_SECONDS = 0.005

CALL_SHARE = 0.02
"""Calls take at most this share of the time ..."""
BURST_CALL_SHARE = 0.2
"""... but for the short burst, which would see nothing of the sensor if it kept to that."""

LONGEST_INTERVAL_SECONDS = 1.0
"""Slow calls stretch the interval no further."""

MEMORY_SECONDS = 1.0
"""About how long a call's duration is remembered: one slow call at full pace is no trend, and a second of fast ones
at the slowest pace is."""

STALE_SECONDS = 5.0
"""Without a value for so long the source is down, if only because a call hangs."""

INBOX_LIMIT = 65_536
"""Readings kept for whoever drains: minutes of eight GPUs at 20 Hz."""

_NAP_SECONDS = 0.5
"""Longer sleeps are cut into these, so that to stop takes no longer."""

_JOIN_SECONDS = 2.0


class Pace:
    """When to read next. Keeps no clock: it is told when each call began and ended.

    Args:
        interval_seconds: between reads, at the fastest.
        start: when the first read is due.
    """

    def __init__(self, interval_seconds: float, start: Instant) -> None:
        self._wanted = interval_seconds
        self._burst_until = later(start, BURST_SECONDS)
        self._calls = 0
        self._last_ended = start
        self.call_seconds = 0.0
        self.due = start

    @property
    def interval_seconds(self) -> float:
        """Between reads as things are, the burst aside."""
        return self._stretched(self._wanted, CALL_SHARE)

    def called(self, began: Instant, ended: Instant) -> None:
        """One read is done: `due` becomes the next point of the grid that is not past already."""
        self._smooth(ended - began, ended - self._last_ended)
        self._last_ended = ended
        interval = self._interval_at(ended)
        self.due = later(self.due, interval)
        missed = math.ceil((ended - self.due) / interval)
        if missed > 0:
            self.due = later(self.due, missed * interval)

    def _smooth(self, seconds: float, since_last: float) -> None:
        self._calls += 1
        weight = max(since_last / (since_last + MEMORY_SECONDS), 1 / self._calls)  # at first a plain mean
        self.call_seconds += weight * (seconds - self.call_seconds)

    def _interval_at(self, at: Instant) -> float:
        if at >= self._burst_until:
            return self.interval_seconds
        return self._stretched(min(BURST_INTERVAL_SECONDS, self._wanted), BURST_CALL_SHARE)

    def _stretched(self, interval: float, share: float) -> float:
        return max(interval, min(self.call_seconds / share, LONGEST_INTERVAL_SECONDS))


class Sampler:
    """Reads one source until stopped, and then closes it: the thread that reads is the one that closes.

    Args:
        source: the open source; the sampler's own from here on.
        interval_seconds: between reads, at the fastest.
        clock: the exporter's clock.
        inbox_limit: readings kept until drained; beyond it the oldest are dropped and counted.
    """

    def __init__(
        self, source: PowerSource, interval_seconds: float, clock: Clock, *, inbox_limit: int = INBOX_LIMIT
    ) -> None:
        self.source = source
        self._clock = clock
        self._pace = Pace(interval_seconds, clock.now())
        self._wanted = interval_seconds
        self._inbox: deque[Reading] = deque(maxlen=inbox_limit)
        self._lock = Lock()
        self._dropped = 0
        self._valued_at: Instant | None = None
        self._stopping = False
        self._thread: Thread | None = None

    @property
    def interval_seconds(self) -> float:
        """Between reads, as stretched by slow calls."""
        return self._pace.interval_seconds

    @property
    def call_seconds(self) -> float:
        """How long one read takes, smoothed."""
        return self._pace.call_seconds

    @property
    def dropped(self) -> int:
        """Readings lost because nobody drained in time."""
        return self._dropped

    @property
    def up(self) -> bool:
        """Whether the thread runs and some device gave a value lately."""
        if self._thread is None or not self._thread.is_alive() or self._valued_at is None:
            return False
        return self._clock.now() - self._valued_at < max(STALE_SECONDS + self._pause_seconds(), 3 * self._wanted)

    def _pause_seconds(self) -> float:
        """Between two values of a slow sensor: a counter is told at every look, power only when it is new."""
        return max((2.0 * one.period_seconds for one in self.source.devices if not one.has_counter), default=0.0)

    def start(self) -> None:
        """Begin to read."""
        assert self._thread is None, "a sampler starts once"
        self._pace = Pace(self._wanted, self._clock.now())
        thread = Thread(target=self._run, name="power-sampler", daemon=True)
        thread.start()
        self._thread = thread

    def drain(self) -> list[Reading]:
        """Everything read since the last drain, in order. Never waits for the source."""
        with self._lock:
            readings = list(self._inbox)
            self._inbox.clear()
        return readings

    def stop(self) -> None:
        """Ask the thread to end and close the source; a call that hangs is left behind, for the thread is a daemon."""
        self._stopping = True
        if self._thread is None:
            self.source.close()
        else:
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            ended = self._clock.now()
            while self._slept_until_due(ended):
                ended = self._read_once()
        finally:
            self.source.close()

    def _slept_until_due(self, now: Instant) -> bool:
        """Sleep until the next read is due; returns whether it is still wanted.

        Nobody wakes this thread: to wait for something that `stop` could set costs half as much again, at every read.
        """
        seconds = self._clock.real(max(self._pace.due - now, 0.0))
        while seconds > _NAP_SECONDS and not self._stopping:
            time.sleep(_NAP_SECONDS)
            seconds -= _NAP_SECONDS
        if not self._stopping:
            time.sleep(seconds)
        return not self._stopping

    def _read_once(self) -> Instant:
        began = self._clock.now()
        readings = self.source.read()
        ended = self._clock.now()
        self._pace.called(began, ended)
        if any(not isinstance(reading, ReadFailure) for reading in readings):
            self._valued_at = ended
        with self._lock:
            self._dropped += max(len(self._inbox) + len(readings) - (self._inbox.maxlen or 0), 0)
            self._inbox.extend(readings)
        return ended
