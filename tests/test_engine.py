"""The engine: logs and readings in, durable books out, on a clock that tests move."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter.app import assemble
from exporter.clock import SystemClock
from exporter.domain.readings import Device, PowerReading, Reading
from exporter.domain.settings import AttributionSettings, RequestSettings, ServerSettings, Settings
from exporter.domain.snapshot import Snapshot
from exporter.domain.units import Instant, Watts
from exporter.engine import Engine
from exporter.power.select import Opened

EPOCH = 1_790_000_000.0


class World:
    """A wall and a steady clock that tests move together or apart."""

    def __init__(self) -> None:
        self.steady = 100.0
        self.wall = EPOCH

    def pass_(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds


class ConstantPower:
    """A fake sensor that reads 100 W; read by hand, as the engine's thread never starts here."""

    devices: Sequence[Device] = (Device("gpu0", "gpu", uuid="GPU-1"),)

    def read(self) -> Sequence[Reading]:
        return ()

    def close(self) -> None:
        pass


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.touch()
    return path


FIELDS = {"fields": {"id": "id", "start": "start", "end": "end", "output_tokens": "tokens"}, "where": {}}


def engine_on(world: World, log: Path, state: Path | None) -> Engine:
    clock = SystemClock(wall=lambda: world.wall, steady=lambda: world.steady)
    requests = RequestSettings("jsonl", path=(str(log),), start_at="beginning", options=FIELDS)
    settings = Settings(
        servers=(ServerSettings("chat", (requests,)),),
        attribution=AttributionSettings(horizon_seconds=30.0),
        state_dir=str(state) if state is not None else None,
    )
    engine = assemble(settings, [Opened(ConstantPower(), "fake")], clock)
    engine.resume()
    return engine


def live(engine: Engine, world: World, seconds: float) -> Snapshot:
    """Let time pass as `Engine.run` does, with readings given by hand."""
    for _ in range(round(seconds / 0.1)):
        world.pass_(0.1)
        engine.pipeline.receive_reading(PowerReading("gpu0", Instant(world.wall), Watts(100.0)))
        engine.turn()
    return engine.snapshot


def write(log: Path, id_: str, start: float, end: float) -> None:
    with log.open("a") as file:
        file.write(json.dumps({"id": id_, "start": start, "end": end, "tokens": 10}) + "\n")


def served(snapshot: Snapshot) -> int:
    return sum(sum(model.requests.values()) for model in snapshot.models)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


def test_a_request_in_the_log_gets_the_energy_of_its_time(world: World, log: Path) -> None:
    engine = engine_on(world, log, None)
    live(engine, world, 60.0)  # long enough to know the idle power: the rest of a slice that it only grazes is idle
    write(log, "a", world.wall - 2.0, world.wall)
    snapshot = live(engine, world, 8.0)
    assert [round(one.joules) for one in snapshot.recent] == [200]


def test_what_is_published_is_what_is_durable(world: World, log: Path, state: Path) -> None:
    engine = engine_on(world, log, state)
    live(engine, world, 5.2)
    write(log, "a", world.wall - 1.0, world.wall)
    assert served(live(engine, world, 4.2)) == 0  # settled by now, but the next checkpoint is at ten seconds
    assert served(live(engine, world, 1.0)) == 1
    engine.close()


def test_after_a_crash_everything_is_counted_once_and_nothing_goes_back(world: World, log: Path, state: Path) -> None:
    engine = engine_on(world, log, state)
    live(engine, world, 5.0)
    write(log, "a", world.wall - 1.0, world.wall)
    before = live(engine, world, 8.0)
    write(log, "b", world.wall - 1.0, world.wall)
    live(engine, world, 1.0)
    engine.close()  # no last checkpoint: as good as killed

    engine = engine_on(world, log, state)
    assert engine.snapshot.devices[0].metered_joules == before.devices[0].metered_joules
    after = live(engine, world, 12.0)
    assert served(before) == 1
    assert served(after) == 2
    assert after.servers[0].duplicates == 0
    engine.close()


def test_a_bug_costs_one_round_and_is_counted(world: World, log: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = engine_on(world, log, None)
    live(engine, world, 1.0)
    engine.pipeline.receive_reading(PowerReading("gpu0", Instant(world.wall), Watts(100.0)))
    broken, engine.pipeline.servers = engine.pipeline.servers, {}
    live(engine, world, 0.1)
    engine.pipeline.servers = broken
    assert sum(engine.published().health.faults.values()) >= 1
    assert "a bug in" in caplog.text
    write(log, "a", world.wall - 1.0, world.wall)
    assert served(live(engine, world, 8.0)) == 1


def test_a_wall_clock_set_back_an_hour_loses_no_request(world: World, log: Path) -> None:
    engine = engine_on(world, log, None)
    live(engine, world, 5.0)
    world.wall -= 3600.0
    steady = world.steady
    for _ in range(20):
        world.pass_(0.1)
        now = Instant(EPOCH + world.steady - 100.0)
        engine.pipeline.receive_reading(PowerReading("gpu0", now, Watts(100.0)))
        engine.turn()
    write(log, "a", world.wall - 1.0, world.wall)
    for _ in range(80):
        world.pass_(0.1)
        now = Instant(EPOCH + world.steady - 100.0)
        engine.pipeline.receive_reading(PowerReading("gpu0", now, Watts(100.0)))
        engine.turn()
    assert world.steady > steady
    assert [one.joules for one in engine.snapshot.recent] == [pytest.approx(100.0, abs=15.0)]
    assert engine.published().health.clock_steps == 1


async def test_an_engine_that_is_cancelled_winds_up_and_goes_round_no_more(
    world: World, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.engine.POLL_SECONDS", 0.0)
    engine = engine_on(world, log, None)
    running = asyncio.create_task(engine.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    turns: list[bool] = []
    monkeypatch.setattr(engine, "turn", lambda: turns.append(True))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not turns


async def test_an_engine_stops_when_asked(world: World, log: Path) -> None:
    engine = engine_on(world, log, None)
    running = asyncio.create_task(engine.run())
    await asyncio.sleep(0)
    engine.stop()
    await asyncio.wait_for(running, 10.0)
