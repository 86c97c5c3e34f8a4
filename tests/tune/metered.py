"""A serving board, metered by the real thing: NVML's counter into the real pipeline, out of it a real page."""

from collections.abc import Callable
from threading import Lock
from typing import Any

import pynvml

from exporter.domain.events import Completed
from exporter.domain.health import Health, Published
from exporter.domain.readings import CounterReading, Device, Method
from exporter.domain.settings import AttributionSettings, RequestSettings, ServerSettings, Settings
from exporter.domain.units import Instant, Joules
from exporter.metrics.exposition import render
from exporter.pipeline.pipeline import Pipeline
from exporter.tune import page
from exporter.tune.books import UnreachableError
from exporter.tune.page import Page
from tests.fakes.nvml import FakeNvml
from tests.fakes.serving import Completion, Profile, Serving

SERVER = "chat"
EPOCH = 1.7e9
POLL_SECONDS = 0.25


class Plant:
    """A load on a fake board and an exporter that meters it. Time is script time; `catch_up` lets it pass.

    Args:
        fake: attached to this process. profile: what is served.
        method: what the exporter says its energy is.
        spread, noise: see Serving.
        settle_seconds: how long the exporter waits for news of requests.
    """

    def __init__(
        self,
        fake: FakeNvml,
        profile: Profile,
        *,
        method: Method = "measured",
        spread: float = 0.0,
        noise: float = 0.0,
        settle_seconds: float = 2.0,
        seed: int = 1,
    ) -> None:
        self.fake = fake
        self.serving = Serving(fake, profile, spread=spread, noise=noise, told=self._tell, seed=seed)
        self.at = 0.0
        self.down = False
        self._method = method
        self._settle_seconds = settle_seconds
        self._lock = Lock()
        self._news: list[Completion] = []
        self._starts = 0
        self._count = 0
        pynvml.nvmlInit()
        self._board = pynvml.nvmlDeviceGetHandleByIndex(0)
        self.restart()

    def restart(self) -> None:
        """The exporter starts anew, without saved state."""
        gpu = self.fake.gpus[0]
        device = Device("gpu0", "gpu", gpu.uuid, gpu.name, has_counter=True, method=self._method)
        server = ServerSettings(SERVER, (RequestSettings("jsonl"),))
        attribution = AttributionSettings(policy="time", settle_seconds=self._settle_seconds)
        settings = Settings(servers=(server,), attribution=attribution, proxies=())
        self._pipeline = Pipeline(settings, (device,), Instant(EPOCH + self.at))
        self._starts += 1

    def catch_up(self, until: float, *, virtual: bool = True) -> None:
        """Serve, meter and book until this script time."""
        with self._lock:
            while self.at < until:
                self.at = min(self.at + POLL_SECONDS, until)
                if virtual:
                    self.serving.advance(self.at)
                    self.fake.set_time(self.at)
                self._poll()

    def _poll(self) -> None:
        now = Instant(EPOCH + self.at)
        joules = pynvml.nvmlDeviceGetTotalEnergyConsumption(self._board) / 1e3
        self._pipeline.receive_reading(CounterReading("gpu0", now, Joules(joules)))
        ended = [one for one in self._news if one.end <= self.at]
        self._news = [one for one in self._news if one.end > self.at]
        for one in ended:
            self._pipeline.receive_event(SERVER, self._completed(one), now)
        self._pipeline.receive_progress(SERVER, now)
        self._pipeline.advance(now)

    def _completed(self, one: Completion) -> Completed:
        self._count += 1
        end = EPOCH + one.end
        return Completed(
            id=str(self._count),
            start=Instant(end - one.latency_seconds),
            end=Instant(end),
            model="m",
            prompt_tokens=one.prompt_tokens,
            output_tokens=one.output_tokens,
        )

    def _tell(self, one: Completion) -> None:
        self._news.append(one)

    def text(self) -> str:
        """Its page."""
        with self._lock:
            snapshot = self._pipeline.snapshot(Instant(EPOCH + self.at))
        health = Health("0", Instant(EPOCH + self._starts), 0.0, 0, 0, 0, (), ())
        return render(Published(snapshot, health))[0].decode()

    async def read(self) -> Page:
        """As books."""
        if self.down:
            raise UnreachableError("down")
        return page.parse(self.text())


class PlantTime:
    """Virtual time: when somebody sleeps, the plant runs. `then`: what happens at a moment, once."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.then: list[tuple[float, Callable[[], Any]]] = []

    def now(self) -> float:
        """Script time."""
        return self.plant.at

    async def sleep(self, seconds: float) -> None:
        """Let it run."""
        end = self.plant.at + seconds
        for at, act in sorted(self.then, key=lambda one: one[0]):
            if at <= end:
                self.plant.catch_up(max(at, self.plant.at))
                self.then.remove((at, act))
                act()
        self.plant.catch_up(end)
