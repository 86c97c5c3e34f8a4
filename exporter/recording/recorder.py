"""A pipeline that puts on tape what it is told: a pipeline like any other, for whoever feeds it.

What it is told is on tape before it acts on it, so that what ends badly can be seen to end badly again. How far a
server has been heard matters to a pipeline only when time advances: only the latest is kept, and only if it is news.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from exporter import __version__
from exporter.domain.events import RequestEvent
from exporter.domain.gauges import Gauge
from exporter.domain.readings import Device, Reading
from exporter.domain.settings import ListenAddress, RequestSettings, Settings
from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import Instant
from exporter.pipeline.pipeline import Pipeline
from exporter.proxy.calibration.calibration import Calibration, to_json
from exporter.recording.entries import Advance, Entry, Finish, Gauged, Header, News, Restored
from exporter.recording.machine import this_machine
from exporter.recording.tape import Tape

_MOST_HELD = 1_000
"""Told things that are handed over without waiting for time to advance."""


class RecordedPipeline(Pipeline):
    """A pipeline on tape.

    Raises:
        RecordingError: the tape cannot be written.
    """

    def __init__(
        self,
        settings: Settings,
        devices: Sequence[Device],
        since: Instant,
        *,
        tape: Tape,
        calibrations: Mapping[str, Calibration] | None = None,
    ) -> None:
        super().__init__(settings, devices, since, calibrations=calibrations)
        self._tape = tape
        self._told: list[Entry | Reading] = []
        self._progress: dict[str, Instant] = {}
        self._recorded: dict[str, Instant] = {}
        tape.start(header(settings, devices, since, calibrations or {}))

    def restore(self, store: Mapping[str, bytes]) -> None:
        """As the pipeline does."""
        if store:
            self._note(Restored(dict(store)))
        super().restore(store)

    def receive_reading(self, reading: Reading) -> None:
        """As the pipeline does."""
        self._note(reading)
        super().receive_reading(reading)

    def receive_event(self, server: str, event: RequestEvent, heard_at: Instant | None) -> None:
        """As the pipeline does."""
        self._note(News(server, event, heard_at))
        super().receive_event(server, event, heard_at)

    def receive_gauge(self, server: str, gauge: Gauge) -> None:
        """As the pipeline does."""
        self._note(Gauged(server, gauge))
        super().receive_gauge(server, gauge)

    def receive_progress(self, server: str, heard_until: Instant) -> None:
        """As the pipeline does."""
        self._progress[server] = heard_until
        super().receive_progress(server, heard_until)

    def advance(self, now: Instant) -> list[SettledRequest]:
        """As the pipeline does."""
        self._note(Advance(now, self._news_of_progress()))
        self.hand_over()
        return super().advance(now)

    def finish(self, now: Instant) -> list[SettledRequest]:
        """As the pipeline does."""
        self._note(Finish(now, self._news_of_progress()))
        self.hand_over()
        return super().finish(now)

    def hand_over(self) -> None:
        """Let the tape have what was told."""
        told, self._told = self._told, []
        self._tape.take(told)

    def _note(self, told: Entry | Reading) -> None:
        self._told.append(told)
        if len(self._told) >= _MOST_HELD:
            self.hand_over()

    def _news_of_progress(self) -> dict[str, Instant]:
        news = {server: until for server, until in self._progress.items() if self._recorded.get(server) != until}
        self._recorded.update(news)
        return news


def _bare(requests: RequestSettings) -> RequestSettings:
    """Where a log lies and who is asked is nobody else's business."""
    return replace(requests, path=(), kubernetes=None)


def header(
    settings: Settings, devices: Sequence[Device], since: Instant, calibrations: Mapping[str, Calibration]
) -> Header:
    """How a recording begins. What is this machine's own business stays here: paths, addresses."""
    servers = tuple(
        replace(one, requests=tuple(_bare(each) for each in one.requests), metrics_url=None) for one in settings.servers
    )
    power = replace(settings.power, recording=replace(settings.power.recording, path=None))
    return Header(
        exporter=__version__,
        begin=since,
        wall=datetime.fromtimestamp(since, UTC).isoformat(),
        settings=replace(settings, servers=servers, power=power, listen=ListenAddress(), state_dir=None),
        devices=tuple(devices),
        calibrations={server: to_json(one) for server, one in calibrations.items()},
        machine=this_machine(),
    )
