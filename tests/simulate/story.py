"""A simulation and the exporter's own parts on one clock that does not tick by itself: an hour in seconds, exactly."""

import os
from pathlib import Path

from exporter.domain.events import Dropped, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.settings import ServerSettings
from exporter.domain.snapshot import Snapshot
from exporter.domain.units import Instant, later
from exporter.pipeline.pipeline import Pipeline
from exporter.requests.arrival import Arrival
from exporter.requests.arrival.opening import open_arrival
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from exporter.simulate.batching import BEGIN
from exporter.simulate.plan import Plan
from exporter.simulate.simulation import Simulation
from exporter.simulate.source import SimulatedSource

READ_SECONDS = 0.05
ROUND_SECONDS = 0.1
ADVANCE_SECONDS = 1.0


class Heard:
    """One server's log being followed."""

    def __init__(self, server: ServerSettings) -> None:
        (requests,) = server.requests
        self.server = server.name
        self.path = Path(requests.path[0])
        self.arrival: Arrival = open_arrival(requests.path, start_at=requests.start_at)
        self.reader: RequestReader = READERS[requests.source].build(requests.options, requests.timezone)
        self.lines: list[Line] = []
        self.used = 0
        self.ignored: list[str] = []
        self.dropped: list[str] = []

    def poll(self, now: Instant, pipeline: Pipeline) -> None:
        for path in self.path.parent.iterdir():
            os.utime(path, (now, now))  # a reader believes a file's time, and the world has another
        for line in self.arrival.poll(now, 0.0):
            self.lines.append(line)
            self._feed(line, pipeline)
        assert self.arrival.caught_up_at is not None
        pipeline.receive_progress(self.server, self.arrival.caught_up_at)

    def _feed(self, line: Line, pipeline: Pipeline) -> None:
        heard = self.reader.feed(line)
        match heard:
            case Used(events):
                self.used += 1
                for event in events:
                    pipeline.receive_event(self.server, event, line.not_after)
            case Ignored(reason):
                self.ignored.append(reason)
            case Dropped(reason):
                self.dropped.append(reason)


class Story:
    """Runs for as long as it is told to."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.now: Instant = BEGIN
        self.announced: list[str] = []
        self.simulation = Simulation(plan, directory, BEGIN, 0.0, self.announced.append)
        self.source = SimulatedSource(self.simulation.fleet, self._look)
        settings = plan.settings(directory)
        self.pipeline = Pipeline(settings, self.source.devices, BEGIN)
        self.logs = [Heard(server) for server in settings.servers]

    def _look(self) -> Instant:
        return self.now

    def run(self, seconds: float) -> None:
        rounds = round(seconds / READ_SECONDS)
        for number in range(1, rounds + 1):
            self.now = later(self.now, READ_SECONDS)
            for reading in self.source.read():
                self.pipeline.receive_reading(reading)
            if number % round(ROUND_SECONDS / READ_SECONDS) == 0:
                self._hear()
            if number % round(ADVANCE_SECONDS / READ_SECONDS) == 0:
                self._settle(finish=False)

    def finish(self) -> Snapshot:
        """Everybody hangs up, everything settles."""
        self.simulation.fleet.hang_up(self.now)
        self.run(2.0)
        self._settle(finish=True)
        self.close()
        return self.pipeline.snapshot(self.now)

    def close(self) -> None:
        self.simulation.close()
        for log in self.logs:
            log.arrival.close()

    def _hear(self) -> None:
        self.simulation.tick(self.now)
        for log in self.logs:
            log.poll(self.now, self.pipeline)

    def _settle(self, *, finish: bool) -> None:
        settled = self.pipeline.finish(self.now) if finish else self.pipeline.advance(self.now)
        views = self.pipeline.snapshot(self.now).servers
        self.simulation.truth.compare(settled, {view.server: view.policy for view in views})
