"""When `auto` looks again for what it passed over, and what it does with what it finds."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from exporter.clock import SystemClock
from exporter.domain.errors import SourceError
from exporter.domain.readings import Device
from exporter.domain.settings import PowerSettings, ServerSettings, Settings
from exporter.domain.units import Instant
from exporter.engine import Engine
from exporter.metering import changeover
from exporter.metering.changeover import Changeover, may_come_later, seconds_until_next
from exporter.metering.opening import open_pipeline, power_feeds
from exporter.pipeline.pipeline import Pipeline
from exporter.power.sampler import Sampler
from exporter.power.select import Factory, Opened
from exporter.power.source import PowerSource
from tests.metering.steady import CPU, GPU, NO_DRIVER, Steady

NO_LIBRARY = SourceError("NVML cannot start: library_not_found", kind="library_not_found")


# --- when it looks -----------------------------------------------------------------------------------------------


def test_looks_are_further_and_further_apart_up_to_a_minute() -> None:
    waits = [seconds_until_next(looks, [NO_DRIVER]) for looks in (0, 1, 2, 3, 4, 5, 1_000_000)]
    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def test_a_refusal_that_hardly_passes_is_looked_at_less_often() -> None:
    assert [seconds_until_next(looks, [NO_LIBRARY]) for looks in (0, 9)] == [60.0, 720.0]
    assert seconds_until_next(0, [SourceError("nobody says why")]) == 60.0


def test_only_what_may_come_later_is_looked_for() -> None:
    refused = {"nvml": NO_DRIVER, "rapl": SourceError("no zones")}
    assert may_come_later(refused) == {"nvml": NO_DRIVER}


# --- what it does ------------------------------------------------------------------------------------------------


class Hurried(SystemClock):
    """A clock of the machine on which nobody has to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def real(self, seconds: float) -> float:
        self.waits.append(seconds)
        return 0.0


def an_engine(settings: Settings, clock: SystemClock, source: PowerSource) -> Engine:
    opened = [Opened(source, "cpu")]
    pipeline = open_pipeline(settings, source.devices, clock.now(), None)
    return Engine(pipeline, power_feeds(settings, opened, clock), [], clock, None)


Answers = Callable[[int], PowerSource]


class Bench:
    """An engine on an estimate, and a driver that answers each look as the test says."""

    def __init__(self, answers: Answers, settings: Settings | None = None) -> None:
        self.clock = Hurried()
        self.estimate = Steady(CPU, self.clock)
        self.looks = 0
        self.looked = threading.Event()
        self._answers = answers
        self.settings = settings or Settings()
        self.engine = an_engine(self.settings, self.clock, self.estimate)
        self.engine.passed_over = {"nvml": NO_DRIVER.kind}
        sources: Mapping[str, Factory] = {"nvml": self._open}
        self.changeover = Changeover(self.settings, self.clock, self.engine, {"nvml": NO_DRIVER}, sources=sources)

    def _open(self, _settings: PowerSettings, _now: Callable[[], Instant]) -> PowerSource:
        self.looks += 1
        self.looked.set()
        return self._answers(self.looks)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.engine.run())
        try:
            async with asyncio.timeout(20.0):
                yield
        finally:
            self.engine.stop()
            await running

    def devices(self) -> list[str]:
        return [view.device.name for view in self.engine.snapshot.devices]

    def sources(self) -> list[str]:
        return [view.name for view in self.engine.published().health.sources]


def refuse(error: SourceError) -> PowerSource:
    raise error


async def test_it_looks_until_the_driver_is_there_and_then_the_exporter_meters_by_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    bench = Bench(lambda look: refuse(NO_DRIVER) if look < 3 else Steady(GPU, bench.clock))
    async with bench.running():
        assert (bench.sources(), bench.devices()) == (["cpu"], ["cpu0"])
        assert bench.engine.published().health.passed_over == {"nvml": "driver_not_loaded"}
        await bench.changeover.run()
        assert (bench.looks, bench.sources(), bench.devices()) == (3, ["nvml"], ["gpu0"])
        assert bench.engine.published().health.passed_over == {}
        assert bench.estimate.closed.is_set()
    [told] = [record.message for record in caplog.records if "changed over" in record.message]
    assert "metering gpu0 (a board) by nvml: power" in caplog.text
    assert told == (
        "changed over from power source cpu to nvml, which works now; "
        "it did not at first: NVML cannot start: driver_not_loaded"
    )


async def test_why_it_is_still_not_used_is_said_when_the_reason_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    reasons = [NO_DRIVER, NO_LIBRARY, NO_LIBRARY]
    bench = Bench(lambda look: refuse(reasons[look - 1]) if look <= 3 else Steady(GPU, bench.clock))
    async with bench.running():
        await bench.changeover.run()
    told = [record.message for record in caplog.records if "still not used" in record.message]
    assert told == ["power source nvml is still not used: NVML cannot start: library_not_found"]
    waits = [seconds for seconds in bench.clock.waits if seconds >= 5.0]
    assert waits == [5.0, 10.0, 240.0, 480.0]


async def test_gpus_that_are_not_those_of_the_settings_are_left_alone_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    wants_another = Settings(servers=(ServerSettings("chat", (), gpus=("gpu7",)),))
    tried: list[Steady] = []
    said: list[Mapping[str, str]] = []

    def some_board(look: int) -> PowerSource:
        said.append(bench.engine.published().health.passed_over)
        tried.append(Steady(GPU if look == 1 else Device("gpu7", "gpu", uuid="GPU-7"), bench.clock))
        return tried[-1]

    bench = Bench(some_board, wants_another)
    async with bench.running():
        await bench.changeover.run()
        assert bench.devices() == ["gpu7"]
    assert tried[0].closed.is_set()
    assert said == [{"nvml": "driver_not_loaded"}, {"nvml": "configuration"}]
    assert "it works now, but servers[0].gpus: ['gpu7'] names none of the devices here: gpu0 GPU-1" in caplog.text


async def test_a_driver_that_hangs_holds_nothing_up_and_what_it_gives_too_late_is_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(changeover, "_HANGS_SECONDS", 0.0)
    monkeypatch.setattr(changeover, "_POLL_SECONDS", 0.0)
    hanging, late = threading.Event(), Steady(GPU, SystemClock())

    def hang(_look: int) -> PowerSource:
        assert hanging.wait(20.0)
        return late

    bench = Bench(hang)
    async with bench.running():
        looking = asyncio.create_task(bench.changeover.run())
        assert await asyncio.to_thread(bench.looked.wait, 20.0)
        for _ in range(100):
            await asyncio.sleep(0)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        assert (bench.looks, bench.devices()) == (1, ["cpu0"])
        hanging.set()
        assert await asyncio.to_thread(late.closed.wait, 20.0)
    assert caplog.text.count("nvml was tried again and does not answer; it is waited for") == 1


async def test_a_bug_in_a_look_is_counted_and_metering_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def trip(_look: int) -> PowerSource:
        raise ZeroDivisionError

    bench = Bench(trip)
    async with bench.running():
        await bench.changeover.run()
        assert bench.engine.published().health.faults == {"metering": 1}
        assert bench.devices() == ["cpu0"]
    assert "a bug in changing over" in caplog.text


async def test_a_bug_half_way_leaves_metering_as_it_was_and_lets_go_of_what_was_found(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def trip(_self: Pipeline, _before: Pipeline) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Pipeline, "succeed", trip)
    found = Steady(GPU, SystemClock())
    bench = Bench(lambda _look: found)
    async with bench.running():
        await bench.changeover.run()
        assert found.closed.is_set()
        assert not bench.estimate.closed.is_set()
        assert (bench.sources(), bench.devices()) == (["cpu"], ["cpu0"])
        assert bench.engine.published().health.passed_over == {"nvml": "driver_not_loaded"}
        assert bench.engine.published().health.faults == {"metering": 1}
    assert "a bug in changing over" in caplog.text
    assert "changed over" not in caplog.text


async def test_where_no_thread_can_be_begun_metering_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(_self: Sampler) -> None:
        raise RuntimeError("can't start new thread")

    found = Steady(GPU, SystemClock())
    bench = Bench(lambda _look: found)
    async with bench.running():
        await asyncio.sleep(0)
        monkeypatch.setattr(Sampler, "start", no_more)
        await bench.changeover.run()
        assert found.closed.is_set()
        assert not bench.estimate.closed.is_set()
        assert (bench.sources(), bench.devices()) == (["cpu"], ["cpu0"])


async def test_a_bug_in_the_first_checkpoint_keeps_nothing_from_going_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    bench = Bench(lambda _look: Steady(GPU, bench.clock))
    async with bench.running():
        monkeypatch.setattr(bench.engine, "_checkpoint", trip)
        await bench.changeover.run()
        assert (bench.sources(), bench.devices()) == (["nvml"], ["gpu0"])
        assert bench.estimate.closed.is_set()
        assert bench.engine.published().health.faults == {"engine": 1}
