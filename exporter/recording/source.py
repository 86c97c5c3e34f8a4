"""A power source that plays a recording: what its devices said then, said again now, as fast as it was said then.

Theory of operation. The first reading is given at the first call, and all others as much later as they came then: an
instant is moved, never stretched, and each call gives what has fallen due since the last one. The tape is read as it is
played, some seconds at a time, so that an hour of it takes no more memory than a minute. It holds what several sources
said one source after the other: what was told together is put into the order of its instants.

Only differences of an energy counter mean anything, so every counter begins at nought, goes up by what the recorded one
went up by, and falls to nought where that one fell (where it wrapped it goes on). With `loop` the tape is played again
from its beginning, as if its first reading had been made at the instant of its last (a microsecond later, for instants
must not be the same). There each counter stands still. So a round adds what was counted between its first reading and
its last and nothing else, and power, integrated over a microsecond, adds less than a millijoule to that. What a device
drew after its last reading and before its first is not on the tape, and is not made up.

At the end, and where the file is cut off or damaged, every device is silent and says why. A damaged file is not played
again, no more than `replay` believes it.

Whatever these joules were then, here and now they are `recorded`: nothing that runs here drew them.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

from exporter.domain.errors import RecordingError, SourceError
from exporter.domain.readings import CounterReading, Device, ReadFailure, Reading
from exporter.domain.settings import PowerSettings
from exporter.domain.units import Instant, Joules, later
from exporter.pipeline.server import answers_to
from exporter.recording.entries import Header, Readings
from exporter.recording.recording import Recording
from exporter.recording.words import when_and_where

log = logging.getLogger(__name__)

CLOSED = "closed"
OVER = "recording_is_over"
CUT = "recording_was_cut_off"
DAMAGED = "recording_is_damaged"
"""Reasons of a silence."""

JOIN_SECONDS = 2.0**-20
"""From the last reading of a round to the first of the next."""
SHORTEST_ROUND_SECONDS = 1.0
"""What is shorter is played once: over and over it would be no session but noise."""
_MOST_HELD = 10_000
"""Readings that are put into order together; and that a call gives, where many have fallen due."""
_HINT = "name a file that `record` made; `llm-energy-exporter replay FILE` says whether it is whole"
_MARK = " (recorded)"

_at = attrgetter("at")


class RecordedSource:
    """The devices of a recording. Not thread-safe: one thread reads and closes.

    Args:
        settings: which file, whether again and again (`settings.recording`), and which of its GPUs (`settings.gpus`).
        now: the present instant.

    Raises:
        SourceError: the file is no recording, holds no readings, or a selector fits none of its GPUs.
    """

    def __init__(self, settings: PowerSettings, now: Callable[[], Instant]) -> None:
        assert settings.recording.path is not None, "the configuration is checked"
        self._now = now
        self._path, self._loop = Path(settings.recording.path), settings.recording.loop
        try:
            self._recording = Recording(self._path)
        except RecordingError as error:
            raise SourceError(f"power.recording.path: {error}", _HINT) from error
        try:
            self._header = self._recording.header
            self._devices = tuple(_played(self._header, device) for device in _chosen(self._header, settings.gpus))
            self._counters = {one.name: Counter(one.counter_range_joules) for one in self._header.devices}
            self._tape = self._in_order()
            self._next = self._first()
        except SourceError:
            self.close()
            raise
        self._silence = ""
        self._began = self._last = self._next.at
        self._shift: float | None = None

    @property
    def devices(self) -> Sequence[Device]:
        """Those of the recording that are chosen, as they were but for how they are known."""
        return self._devices

    def read(self) -> Sequence[Reading]:
        """What was said since the last call; nothing where nothing was."""
        now = self._now()
        if self._shift is None:
            self._shift = now - self._began
        readings: list[Reading] = []
        while not self._silence and len(readings) < _MOST_HELD and later(self._next.at, self._shift) <= now:
            readings.append(self._moved(self._next, self._shift))
            self._shift = self._wind_on(self._shift)
        if self._silence and not readings:
            return [ReadFailure(device.name, now, self._silence) for device in self._devices]
        return readings

    def close(self) -> None:
        """Let go of the file."""
        self._silence = CLOSED
        self._recording.close()

    def _moved(self, reading: Reading, shift: float) -> Reading:
        self._last = max(self._last, reading.at)
        at = later(reading.at, shift)
        if isinstance(reading, CounterReading):
            return CounterReading(reading.device, at, self._counters[reading.device].counted(reading.joules))
        return replace(reading, at=at)

    # --- the tape --------------------------------------------------------------------------------------------------

    def _in_order(self) -> Iterator[Reading]:
        """Readings of the chosen devices, by their instants where they were told together."""
        names = {device.name for device in self._devices}
        held: list[Reading] = []
        for entry in self._recording.entries():
            if isinstance(entry, Readings):
                held += [reading for reading in entry.readings if reading.device in names]
                if len(held) < _MOST_HELD:
                    continue
            yield from sorted(held, key=_at)
            held = []
        yield from sorted(held, key=_at)

    def _first(self) -> Reading:
        """The reading that a round begins with.

        Raises:
            SourceError: there is none.
        """
        try:
            first = next(self._tape, None)
        except RecordingError as error:
            raise SourceError(f"power.recording.path: {error}", _HINT) from error
        if first is None:
            raise SourceError(f"power.recording.path: {self._path} holds no readings of power or energy", _HINT)
        return first

    def _wind_on(self, shift: float) -> float:
        """To the next reading, if need be the first of the next round, or to silence; returns how far to move it."""
        try:
            following = next(self._tape, None)
            if following is not None:
                self._next = following
            elif self._loop and self._last - self._began >= SHORTEST_ROUND_SECONDS:
                end = later(self._last, shift)
                self._rewind()
                return end + JOIN_SECONDS - self._began
            else:
                self._fall_silent(CUT if self._recording.cut else OVER, self._recording.cut or f"{self._path} is over")
        except (RecordingError, SourceError) as error:
            self._fall_silent(DAMAGED, str(error))
        return shift

    def _rewind(self) -> None:
        """To the beginning of the next round."""
        self._recording.close()
        self._recording = Recording(self._path)
        if self._recording.header != self._header:
            raise RecordingError(f"{self._path} is another recording than it was")
        self._tape = self._in_order()
        self._next = self._first()
        self._began = self._last = self._next.at
        for counter in self._counters.values():
            counter.begin_round()

    def _fall_silent(self, reason: str, why: str) -> None:
        log.warning("power.source recording has nothing more to say: %s", why)
        self._silence = reason
        self._recording.close()


class Counter:
    """A recorded energy counter, counted on from nought. `range_joules`: where the recorded one wraps."""

    def __init__(self, range_joules: float | None) -> None:
        self._range = range_joules
        self._base = self._first = self._value = 0.0
        self._before: float | None = None

    def begin_round(self) -> None:
        """What is recorded next is where this counter stands."""
        self._before = None

    def counted(self, recorded: float) -> Joules:
        """Where it stands when the recorded one stands there."""
        if self._before is None:
            self._base, self._first = self._value, recorded
        elif recorded < self._before and self._range is not None:
            self._base += self._range
        elif recorded < self._before:
            self._base, self._first = 0.0, recorded
        self._before = recorded
        self._value = self._base + (recorded - self._first)
        return Joules(self._value)


def _chosen(header: Header, gpus: Literal["all"] | Sequence[str]) -> Sequence[Device]:
    """Devices of a recording, of its GPUs only those that are meant.

    Raises:
        SourceError: a selector fits none.
    """
    if gpus == "all":
        return header.devices
    boards = [device for device in header.devices if device.kind == "gpu"]
    for selector in gpus:
        if not any(answers_to(board, selector) for board in boards):
            there = ", ".join(f"{board.name} {board.uuid}".strip() for board in boards)
            told = f"there are {there}" if there else "it has none"
            raise SourceError(f"power.gpus: {selector!r} fits no GPU of the recording", told)
    return [one for one in header.devices if one.kind != "gpu" or any(answers_to(one, each) for each in gpus)]


def _played(header: Header, device: Device) -> Device:
    """A device as it is known when it is played: its counter never wraps, and nobody measures it."""
    if device.method == "recorded":
        return replace(device, counter_range_joules=None)
    how = "" if device.method == "measured" else f"; {device.method.upper()} then"
    return replace(
        device,
        model=f"{device.model or device.kind}{_MARK}",
        method="recorded",
        counter_range_joules=None,
        origin=f"{when_and_where(header)}{how}",
    )
