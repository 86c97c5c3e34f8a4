"""What becomes of the books, and of what was learned, when other devices are metered from now on."""

import json
from pathlib import Path

import pytest

from exporter.app import assemble
from exporter.clock import SystemClock
from exporter.domain.events import Ended, Started
from exporter.domain.readings import Device, PowerReading
from exporter.domain.settings import BudgetSettings, RequestSettings, ServerSettings, Settings
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.domain.units import Instant, Joules, Watts
from exporter.metering.opening import open_pipeline
from exporter.pipeline.pipeline import Pipeline
from exporter.pipeline.proxying import Proxying
from exporter.pipeline.server import Server
from exporter.power.select import Opened
from tests.metering.steady import CPU, GPU, Steady
from tests.test_engine import FIELDS, World, served, write


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
