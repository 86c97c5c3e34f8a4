"""A story performed: the real exporter on accelerated time, on fake boards, beside servers that write their logs.

What is known afterwards is what any user could know: pages of metrics, scraped once a real second throughout.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from subprocess import PIPE
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from exporter.simulate.batching import BEGIN, Run
from tests.e2e.accelerated import LOADED, Pace
from tests.e2e.exporter_process import Page
from tests.e2e.log_writer import LogWriter, Rotation
from tests.e2e.web import get
from tests.fakes.nvml import FakeGpu, FakeNvml, RealTime
from tests.simulation.logs import LogLine

SPEED = 20.0
SCRAPE_SECONDS = 1.0
LEAD_SECONDS = 1.5
"""Real time from the word to begin to the story's first instant: the exporter must be there by then. If it is not, the
servers wait for it: what they wrote before it looked for the first time would tell no time."""
LOOK_SECONDS = 0.02
ATTEMPTS = 3
LATE_SECONDS = 4.0
"""Lines written so much later than the story says, a fifth of a second in real time, make it another one."""
STOP_SECONDS = 20.0
SETTLE_SECONDS = 40.0
"""Beyond the horizon: the longest request of a log that speaks at the end, a checkpoint, and some."""

_PROCESS_FAMILIES = "llm_energy_exporter_"
_BOOKS_OF_THE_EXPORTER = tuple(
    _PROCESS_FAMILIES + name
    for name in ("interpolated_joules", "gap_seconds", "meter_resets", "closings", "duplicates", "orphans")
)
_NEVER_DOWN = ("_total", "_count", "_sum", "_bucket")

Series = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Server:
    """A server of the story: what it did, and what it writes about that."""

    name: str
    run: Run
    lines: Sequence[LogLine]
    requests: Mapping[str, Any]
    rotations: Sequence[Rotation] = ()


@dataclass(frozen=True, slots=True)
class Kill:
    """The exporter is killed without warning and begins anew `down_seconds` later."""

    at: float
    down_seconds: float


@dataclass(frozen=True, slots=True)
class Story:
    """What happens.

    Attributes:
        horizon_seconds: as configured; the story is watched until all of it is older than that.
    """

    servers: Sequence[Server]
    gpus: Sequence[FakeGpu]
    kills: Sequence[Kill] = ()
    horizon_seconds: float = 60.0

    @property
    def end(self) -> float:
        return max(server.run.end for server in self.servers)


@dataclass(frozen=True)
class Told:
    """What was seen of a story.

    Attributes:
        texts: every scrape, as it came.
        latest: by how many seconds log lines came too late at the worst.
    """

    story: Story
    boards: FakeNvml
    texts: Sequence[str]
    errors: str
    latest: float

    @cached_property
    def pages(self) -> Sequence[Page]:
        return [_parse(text) for text in self.texts]

    @property
    def last(self) -> Page:
        return self.pages[-1]

    def true_joules(self, index: int) -> float:
        """What the board drew between the exporter's first start and the making of the last page's books."""
        [since] = self.pages[0].of("llm_energy_exporter_process_start_time_seconds")
        [until] = self.last.of("llm_energy_exporter_snapshot_timestamp_seconds")
        return self.boards.true_joules(index, since.value - BEGIN, until.value - BEGIN)

    def setbacks(self) -> list[tuple[Series, float, float | None]]:
        """Counters of the books that a later scrape saw lower, or not at all."""
        books = [_books(page) for page in self.pages]
        return [
            (series, value, later.get(series))
            for before, later in pairwise(books)
            for series, value in before.items()
            if later.get(series, -1.0) < value
        ]


def imbalance(page: Page) -> float:
    """The worst device's |metered - booked - unsettled|, relative to what it metered."""
    return max(
        abs(one.value - _accounted(page, one.labels["device"])) / max(one.value, 1.0)
        for one in page.of("llm_device_energy_joules_total")
    )


def _accounted(page: Page, device: str) -> float:
    return page.sum("llm_energy_joules_total", device=device) + page.sum("llm_energy_unsettled_joules", device=device)


def _books(page: Page) -> dict[Series, float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for sample in page.samples
        if sample.name.endswith(_NEVER_DOWN) and _is_of_the_books(sample.name)
    }


def _is_of_the_books(name: str) -> bool:
    """Others count since the process began, and say so by going back to zero with it."""
    return not name.startswith(_PROCESS_FAMILIES) or name.startswith(_BOOKS_OF_THE_EXPORTER)


def _parse(text: str) -> Page:
    return Page(tuple(sample for family in text_string_to_metric_families(text) for sample in family.samples))


# --- how it is performed -----------------------------------------------------------------------------------------


def perform(story: Story, library: Path, folder: Path) -> Told:
    """Let it happen, anew where the machine held the servers up: then it was not the story that was told."""
    for attempt in range(ATTEMPTS):
        told = _perform(story, library, folder / str(attempt))
        if told.latest < LATE_SECONDS:
            break
    return told


def _perform(story: Story, library: Path, folder: Path) -> Told:
    folder.mkdir()
    config = _configure(story, folder)
    environment = FakeNvml(library, folder, ()).environment()
    with _loaded(config, 1 + len(story.kills), environment, folder / "stderr") as lives:
        pace = Pace(time.time() + LEAD_SECONDS, SPEED, BEGIN)
        boards = FakeNvml(library, folder, story.gpus, time=RealTime(pace.epoch, pace.speed))
        writers = [LogWriter(_log(folder, one), one.lines, one.rotations, pace) for one in story.servers]
        lives[0].begin(pace)
        _until_followed(lives[0], len(writers))
        for writer in writers:
            writer.start()
        try:
            texts = _watch(story, lives, pace)
        finally:
            for writer in writers:
                writer.stop()
    latest = max(writer.latest for writer in writers)
    return Told(story, boards, texts, (folder / "stderr").read_text(), latest)


def _log(folder: Path, server: Server) -> Path:
    return folder / f"{server.name}.log"


def _configure(story: Story, folder: Path) -> Path:
    """Write the exporter's configuration; JSON is YAML."""
    (folder / "state").mkdir()
    servers = [
        {
            "name": server.name,
            "model": server.run.physics.model,
            "requests": {**server.requests, "path": str(_log(folder, server)), "start": "beginning", "timezone": "UTC"},
        }
        for server in story.servers
    ]
    document = {
        "listen": "127.0.0.1:0",
        "state_dir": str(folder / "state"),
        "power": {"source": "nvml"},
        "attribution": {"horizon": f"{story.horizon_seconds:g}s"},
        "servers": servers,
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(document))
    return file


class _Life:
    """One process of the exporter, loaded and waiting for its pace."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._says() == LOADED

    def begin(self, pace: Pace) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(pace.json() + "\n")
        self._process.stdin.flush()
        self._url = self._says()
        assert self._url, "the exporter did not start"

    def scrape(self) -> str:
        return get(f"{self._url}/metrics")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS)

    def _says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def _loaded(config: Path, count: int, environment: Mapping[str, str], errors: Path) -> Iterator[Sequence[_Life]]:
    """So many processes that are ready to begin; killed in the end, whatever they did."""
    command = [sys.executable, "-m", "tests.e2e.accelerated", str(config)]
    path = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    with errors.open("wb") as log:
        start = partial(
            subprocess.Popen, command, env={**path, **environment}, stdin=PIPE, stdout=PIPE, stderr=log, text=True
        )
        processes = [start() for _ in range(count)]
        try:
            yield [_Life(process) for process in processes]
        finally:
            for process in processes:
                with process:
                    process.kill()


def _until_followed(life: _Life, logs: int) -> None:
    while _parse(life.scrape()).sum("llm_energy_exporter_log_files") < logs:
        time.sleep(LOOK_SECONDS)


def _watch(story: Story, lives: Sequence[_Life], pace: Pace) -> list[str]:
    """Scrape from the beginning until everything has settled, through deaths and rebirths."""
    texts: list[str] = []
    for kill, life, successor in zip(story.kills, lives[:-1], lives[1:], strict=True):
        _scrape_until(kill.at, life, pace, texts)
        life.kill()
        pace.sleep_until(kill.at + kill.down_seconds)
        successor.begin(pace)
    _scrape_until(story.end + story.horizon_seconds + SETTLE_SECONDS, lives[-1], pace, texts)
    texts.append(lives[-1].scrape())
    assert lives[-1].stop() == 0
    return texts


def _scrape_until(instant: float, life: _Life, pace: Pace, texts: list[str]) -> None:
    while pace.now() < instant:
        texts.append(life.scrape())
        pace.sleep_until(min(instant, pace.now() + SCRAPE_SECONDS * pace.speed))
