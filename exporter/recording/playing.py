"""Telling a pipeline what a recording holds, as the engine told it then."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from exporter.domain.readings import Reading
from exporter.domain.settings import Settings
from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import Instant
from exporter.pipeline.pipeline import Pipeline
from exporter.proxy.calibration.calibration import from_json
from exporter.recording.entries import Advance, Finish, Gauged, Header, News, Readings, Restored
from exporter.recording.recording import Recording

log = logging.getLogger(__name__)

_T = TypeVar("_T")


def pipeline_of(header: Header, settings: Settings | None = None) -> Pipeline:
    """A pipeline as it was when the recording began; or one with other settings, on the same devices and servers.

    Raises:
        CalibrationError: a calibration that was recorded cannot be used here.
    """
    calibrations = {server: from_json(text) for server, text in header.calibrations.items()}
    return Pipeline(settings or header.settings, header.devices, header.begin, calibrations=calibrations)


@dataclass(frozen=True, slots=True)
class Moment:
    """Time came to `now`. `settled`: for each pipeline, the requests that settled then."""

    now: Instant
    settled: Sequence[list[SettledRequest]]


@dataclass(slots=True)
class Player:
    """Tells several pipelines the same recording, in one pass.

    Attributes:
        now: how far time has come.
        finished: whether the story was over when it was recorded.
        faults: how often a pipeline raised; the engine that recorded survived that, and so does this.
    """

    pipelines: Sequence[Pipeline]
    now: Instant
    finished: bool = False
    faults: int = 0

    def play(self, recording: Recording) -> Iterator[Moment]:
        """Tell everything; stops at each moment in which time advanced."""
        for entry in recording.entries():
            if isinstance(entry, Advance | Finish):
                self.now, self.finished = entry.now, isinstance(entry, Finish)
                yield Moment(entry.now, [self._pass(pipeline, entry) for pipeline in self.pipelines])
            else:
                for pipeline in self.pipelines:
                    self._tell(pipeline, entry)

    def finish(self) -> Moment:
        """The story is over: settle and close everything, unless that was recorded."""
        settled = [[] if self.finished else pipeline.finish(self.now) for pipeline in self.pipelines]
        self.finished = True
        return Moment(self.now, settled)

    def _tell(self, pipeline: Pipeline, entry: Readings | News | Gauged | Restored) -> None:
        match entry:
            case Readings():
                readings = iter(entry.readings)
                while not self._survive(lambda: _read_on(pipeline, readings)):
                    pass  # one of them met a bug: on with those after it
            case News():
                self._survive(lambda: pipeline.receive_event(entry.server, entry.event, entry.heard_at))
            case Gauged():
                self._survive(lambda: pipeline.receive_gauge(entry.server, entry.gauge))
            case Restored():
                self._survive(lambda: pipeline.restore(entry.store))

    def _pass(self, pipeline: Pipeline, entry: Advance | Finish) -> list[SettledRequest]:
        return self._survive(lambda: _advance(pipeline, entry)) or []

    def _survive(self, tell: Callable[[], _T]) -> _T | None:
        """What telling it returns; None where it raised."""
        try:
            return tell()
        except Exception:
            self.faults += 1
            if self.faults == 1:
                log.exception("a bug in the pipeline; replaying goes on, as metering did, and later ones are counted")
            return None


def _read_on(pipeline: Pipeline, readings: Iterator[Reading]) -> bool:
    for reading in readings:
        pipeline.receive_reading(reading)
    return True


def _advance(pipeline: Pipeline, entry: Advance | Finish) -> list[SettledRequest]:
    for server, until in entry.progress.items():
        pipeline.receive_progress(server, until)
    return pipeline.advance(entry.now) if isinstance(entry, Advance) else pipeline.finish(entry.now)
