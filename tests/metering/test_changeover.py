"""When `auto` looks again for what it passed over, and what becomes of the books when it finds it."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.app import assemble
from exporter.clock import SystemClock
from exporter.domain.errors import SourceError
from exporter.domain.events import Ended, Started
from exporter.domain.readings import Device, PowerReading, Reading
from exporter.domain.settings import BudgetSettings, PowerSettings, RequestSettings, ServerSettings, Settings
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.domain.units import Instant, Joules, Watts
from exporter.engine import Engine
from exporter.metering import changeover
from exporter.metering.changeover import Changeover, may_come_later, seconds_until_next
from exporter.metering.opening import open_pipeline, power_feeds
from exporter.pipeline.pipeline import Pipeline
from exporter.pipeline.proxying import Proxying
from exporter.pipeline.server import Server
from exporter.power.sampler import Sampler
from exporter.power.select import Factory, Opened
from exporter.power.source import PowerSource
from tests.test_engine import FIELDS, World, served, write

CPU = Device("cpu0", "cpu", model="an estimate", method="estimated")
GPU = Device("gpu0", "gpu", uuid="GPU-1", model="a board", has_counter=False)
NO_DRIVER = SourceError("NVML cannot start: driver_not_loaded", kind="driver_not_loaded")
NO_LIBRARY = SourceError("NVML cannot start: library_not_found", kind="library_not_found")


class Steady:
    """A source that reads a constant power, and says when it is closed."""

    def __init__(self, device: Device, clock: SystemClock) -> None:
        self.devices: Sequence[Device] = (device,)
        self.closed = threading.Event()
        self._clock = clock

    def read(self) -> Sequence[Reading]:
        return [PowerReading(self.devices[0].name, self._clock.now(), Watts(100.0))]

    def close(self) -> None:
        self.closed.set()


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


# --- the books ---------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.touch()
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


DAILY = BudgetSettings("day", Joules(1e6), window_seconds=86_400.0)


class OnALog:
    """An engine that reads a log, on a clock that the test moves, with readings that it makes."""

    def __init__(
        self,
        world: World,
        log: Path,
        state: Path | None = None,
        device: Device = CPU,
        budgets: tuple[BudgetSettings, ...] = (),
    ) -> None:
        self.world, self.device = world, device
        clock = SystemClock(wall=lambda: world.wall, steady=lambda: world.steady)
        requests = RequestSettings("jsonl", path=(str(log),), start_at="beginning", options=FIELDS)
        self.settings = Settings(
            servers=(ServerSettings("chat", (requests,)),),
            budgets=budgets,
            state_dir=str(state) if state is not None else None,
        )
        self.engine = assemble(self.settings, [Opened(Steady(device, clock), "fake")], clock)
        self.engine.resume()
        self.settled: list[SettledRequest] = []
        self.engine.on_settled = self.settled.extend

    def live(self, seconds: float, watts: float = 100.0) -> Snapshot:
        for _ in range(round(seconds / 0.1)):
            self.world.pass_(0.1)
            self.engine.pipeline.receive_reading(PowerReading(self.device.name, Instant(self.world.wall), Watts(watts)))
            self.engine.turn()
        return self.engine.snapshot

    def change_over(self, device: Device = GPU) -> Snapshot:
        self.device = device
        self.engine.change_over(open_pipeline(self.settings, [device], Instant(self.world.wall), None), [])
        return self.engine.snapshot


def test_counts_go_on_and_each_request_is_counted_once_without_a_state_directory(world: World, log: Path) -> None:
    told = OnALog(world, log)
    told.live(5.0)
    write(log, "before", world.wall - 2.0, world.wall - 1.0)
    told.live(0.3)
    assert served(told.change_over()) == 1
    told.live(3.0)
    write(log, "after", world.wall - 2.0, world.wall - 1.0)
    assert served(told.live(8.0)) == 2
    assert {one.id: one.method for one in told.settled} == {"before": "estimated", "after": "measured"}


def test_books_that_were_closed_in_vain_go_on_and_balance(
    world: World, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = OnALog(world, log)
    told.live(30.0)
    told.engine.pipeline.receive_event("chat", Started("long", Instant(world.wall)), Instant(world.wall))
    told.live(10.0)
    monkeypatch.setattr(Pipeline, "succeed", lambda _self, _before: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        told.change_over()
    told.device = CPU
    told.live(10.0)
    told.engine.pipeline.receive_event("chat", Ended("long", Instant(world.wall)), Instant(world.wall))
    [cpu] = told.live(10.0).devices
    assert [one.joules for one in told.settled] == [pytest.approx(2000.0, rel=0.05)]
    assert cpu.metered_joules == pytest.approx(6000.0, rel=0.01)
    assert sum(cpu.booked.values()) + cpu.unsettled_joules == pytest.approx(cpu.metered_joules)


def test_what_was_told_and_read_just_before_the_change_is_in_the_old_books(world: World, log: Path) -> None:
    told = OnALog(world, log, budgets=(DAILY,))
    before = told.live(30.0).budgets[0].consumed_joules
    world.pass_(0.9)
    told.engine._power[0].sampler._read_once()
    write(log, "unheard", world.wall - 2.0, world.wall - 1.0)
    after = told.change_over().budgets[0].consumed_joules
    [request] = told.settled
    assert (request.id, request.method) == ("unheard", "estimated")
    assert request.joules == pytest.approx(100.0, rel=0.01)
    assert after - before == pytest.approx(90.0, rel=0.01)


def test_recent_requests_are_still_known_after_the_change(world: World, log: Path) -> None:
    told = OnALog(world, log)
    told.live(5.0)
    write(log, "before", world.wall - 2.0, world.wall - 1.0)
    told.live(0.3)
    assert [one.id for one in told.change_over().recent] == ["before"]


def test_a_budget_for_all_that_is_metered_never_goes_back(world: World, log: Path) -> None:
    told = OnALog(world, log, budgets=(DAILY,))
    consumed = [told.live(20.0).budgets[0].consumed_joules]
    consumed.append(told.change_over(GPU).budgets[0].consumed_joules)
    consumed.append(told.live(20.0).budgets[0].consumed_joules)
    consumed.append(told.change_over(CPU).budgets[0].consumed_joules)
    assert consumed == [pytest.approx(joules, rel=0.01) for joules in (2000.0, 2000.0, 4000.0, 4000.0)]
    assert consumed == sorted(consumed)


def test_a_line_that_was_half_written_at_the_change_is_read_whole(world: World, log: Path) -> None:
    told = OnALog(world, log)
    told.live(5.0)
    line = json.dumps({"id": "a", "start": world.wall - 2.0, "end": world.wall - 1.0, "tokens": 10}) + "\n"
    with log.open("a") as file:
        file.write(line[:20])
        file.flush()
        told.live(0.3)
        told.change_over()
        told.live(0.3)
        file.write(line[20:])
    assert served(told.live(8.0)) == 1


def test_the_new_books_begin_at_zero_and_balance(world: World, log: Path) -> None:
    told = OnALog(world, log)
    told.live(20.0)
    began = told.change_over()
    assert [view.metered_joules for view in began.devices] == [0.0]
    write(log, "a", world.wall - 1.0, world.wall)
    [gpu] = told.live(60.0, watts=400.0).devices
    assert gpu.metered_joules == pytest.approx(60.0 * 400.0, rel=0.02)
    assert sum(gpu.booked.values()) + gpu.unsettled_joules == pytest.approx(gpu.metered_joules)


def test_a_request_that_runs_across_is_counted_once_with_the_energy_that_was_metered(world: World, log: Path) -> None:
    told = OnALog(world, log)
    told.live(30.0)
    told.engine.pipeline.receive_event("chat", Started("long", Instant(world.wall)), Instant(world.wall))
    told.live(10.0)
    told.change_over()
    told.live(10.0, watts=400.0)
    told.engine.pipeline.receive_event("chat", Ended("long", Instant(world.wall)), Instant(world.wall))
    told.live(8.0)
    [request] = told.settled
    assert (request.id, request.method) == ("long", "measured")
    assert request.end - request.start == pytest.approx(20.0, abs=0.2)
    assert request.joules == pytest.approx(4000.0, rel=0.03)


def test_what_an_estimate_taught_is_not_believed_of_metered_joules(world: World, log: Path) -> None:
    told = OnALog(world, log)
    for _ in range(40):
        write(log, f"{world.wall}", world.wall - 1.5, world.wall)
        told.live(3.0)
    told.live(8.0)
    assert told.engine.snapshot.proxies
    told.change_over()
    assert told.engine.snapshot.proxies == ()


def test_the_same_hardware_goes_on_with_what_it_taught(world: World, log: Path) -> None:
    told = OnALog(world, log)
    for _ in range(40):
        write(log, f"{world.wall}", world.wall - 1.5, world.wall)
        told.live(3.0)
    told.live(8.0)
    before = told.engine.snapshot.proxies
    assert told.change_over(CPU).proxies == before != ()


def test_what_a_gpu_taught_and_its_books_outlive_a_restart_before_its_driver(
    world: World, log: Path, state: Path
) -> None:
    told = OnALog(world, log, state, GPU)
    for _ in range(40):
        write(log, f"{world.wall}", world.wall - 1.5, world.wall)
        told.live(3.0)
    before = told.live(10.0)
    told.engine.close()

    again = OnALog(world, log, state, CPU)  # after a reboot: the driver is not there yet
    assert again.engine.snapshot.proxies == ()
    again.live(12.0)
    after = again.change_over(GPU)
    assert after.devices[0].metered_joules == before.devices[0].metered_joules > 0.0
    assert [view.coefficients for view in after.proxies] == [view.coefficients for view in before.proxies] != []
    [gpu] = again.live(20.0).devices
    assert sum(gpu.booked.values()) + gpu.unsettled_joules == pytest.approx(gpu.metered_joules)
    again.engine.close()


def test_samples_of_scores_are_handed_on_to_the_same_hardware_and_to_no_other(
    world: World, log: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[object] = []
    monkeypatch.setattr(Server, "samples", lambda _self: {"of": "the old hardware"})
    monkeypatch.setattr(Proxying, "restore", lambda _self, _books, samples: handed.append(samples))
    told = OnALog(world, log, state, GPU)
    told.live(12.0)
    told.change_over(GPU)
    assert handed == [{"of": "the old hardware"}]
    told.change_over(CPU)
    told.change_over(GPU)
    assert handed[1:] == [{}]
    told.engine.close()


def test_of_devices_that_come_and_go_only_the_latest_are_remembered(world: World, log: Path) -> None:
    told = OnALog(world, log)
    for number in range(40):
        told.change_over(Device("gpu0", "gpu", uuid=f"GPU-{number}", model=f"board {number}"))
    pipeline = told.engine.pipeline
    assert list(pipeline.ledger.absent) == [f"GPU-{number}" for number in range(7, 39)]
    learned = pipeline.servers["chat"].snapshot()["learned_elsewhere"]
    assert list(learned) == [f"gpu board {number} measured" for number in (36, 37, 38)]


def test_a_state_of_before_there_were_absent_devices_can_be_gone_on_from(world: World, log: Path) -> None:
    told = OnALog(world, log)
    before = told.live(20.0)
    whole = json.loads(told.engine.pipeline.checkpoint(set())["pipeline"] or b"")
    del whole["ledger"]["absent"], whole["servers"]["chat"]["learned_on"], whole["servers"]["chat"]["learned_elsewhere"]
    again = open_pipeline(told.settings, [CPU], Instant(world.wall), None)
    again.restore({"pipeline": json.dumps(whole).encode()})
    assert again.snapshot(Instant(world.wall)).devices[0].metered_joules == before.devices[0].metered_joules


def test_a_restart_after_the_change_goes_on_with_the_books_of_the_new_devices(
    world: World, log: Path, state: Path
) -> None:
    told = OnALog(world, log, state)
    told.live(5.0)
    write(log, "a", world.wall - 2.0, world.wall - 1.0)
    told.live(1.0)
    told.change_over()
    before = told.live(12.0)
    told.engine.close()  # no last checkpoint: as good as killed

    again = OnALog(world, log, state, GPU)
    assert again.engine.snapshot.devices[0].metered_joules == before.devices[0].metered_joules > 0.0
    assert served(again.live(8.0)) == served(before) == 1
    again.engine.close()
