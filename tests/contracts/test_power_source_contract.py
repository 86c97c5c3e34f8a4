"""What every power source promises, run for each one in the registry.

A new source adds one stage: a fake machine on which it works, and how to make that machine fail.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.domain.settings import CpuEstimate, DcgmSettings, PlayedRecording, PowerSettings
from exporter.domain.units import Instant, Joules, Watts, later
from exporter.metering.opening import sources_for
from exporter.power.cpu import CpuEstimateSource
from exporter.power.dcgm import DcgmSource
from exporter.power.nvml import NvmlSource
from exporter.power.rapl import RaplSource
from exporter.power.source import PowerSource
from exporter.recording.source import RecordedSource
from tests.fakes.dcgm import FakeBoard, FakeDcgm, serving
from tests.fakes.nvml import UNKNOWN, FakeGpu, FakeNvml, Fault, build
from tests.properties.tales import BEGIN
from tests.recording.recorded import recorded


class Time:
    """An instant that moves a little whenever somebody looks, as the world's does."""

    def __init__(self) -> None:
        self.t = 1_000.0

    def now(self) -> Instant:
        self.t += 1e-5
        return Instant(self.t)


@dataclass(frozen=True)
class Stage:
    """An open source on a fake machine that can be made to fail. `tells_later`: readings are older than their call."""

    source: PowerSource
    time: Time
    break_machine: Callable[[], None]
    tells_later: bool = False
    pace: float = 0.2
    stack: ExitStack = field(default_factory=ExitStack)

    def read_later(self, seconds: float | None = None) -> list[Reading]:
        self.time.t += self.pace if seconds is None else seconds
        return list(self.source.read())


def stage_nvml(tmp_path: Path, cache: Path) -> Stage:
    if shutil.which("gcc") is None:
        pytest.skip("the fake NVML is C and there is no gcc")
    time = Time()
    fake = FakeNvml(build(cache), tmp_path, [FakeGpu(), FakeGpu(uuid="GPU-2")])
    fake.attach()

    def break_machine() -> None:
        for index in range(2):
            fake.break_down(Fault("error", value=UNKNOWN), index=index)

    return Stage(NvmlSource(PowerSettings(), time.now), time, break_machine)


def stage_rapl(tmp_path: Path, _cache: Path) -> Stage:
    time = Time()
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "name").write_text("package-0")
    (zone / "energy_uj").write_text("1000000")

    def break_machine() -> None:
        (zone / "energy_uj").write_text("")

    return Stage(RaplSource(time.now, tmp_path), time, break_machine)


def stage_cpu(_tmp_path: Path, _cache: Path) -> Stage:
    time = Time()
    broken: list[bool] = []

    def cpu_times() -> SimpleNamespace:
        if broken:
            raise OSError
        return SimpleNamespace(user=time.t / 4, nice=0.0, system=0.0, idle=time.t * 3 / 4)

    source = CpuEstimateSource(CpuEstimate(), time.now, cpu_times, cpus=2)
    return Stage(source, time, lambda: broken.append(True))


def stage_recording(tmp_path: Path, _cache: Path) -> Stage:
    devices = Device("gpu0", "gpu", has_counter=True), Device("gpu1", "gpu")
    with recorded(tmp_path / "r", devices=devices) as pipeline:
        for n in range(100):
            pipeline.receive_reading(CounterReading("gpu0", later(BEGIN, 0.1 * n), Joules(n)))
            pipeline.receive_reading(PowerReading("gpu1", later(BEGIN, 0.1 * n + 0.001), Watts(100.0)))
        pipeline.advance(later(BEGIN, 10.0))
    time = Time()
    source = RecordedSource(PowerSettings(recording=PlayedRecording(str(tmp_path / "r"))), time.now)

    def break_machine() -> None:
        source.read()
        time.t += 100.0
        source.read()

    return Stage(source, time, break_machine, tells_later=True)


@contextmanager
def _dcgm_exporter(time: Time) -> Iterator[tuple[FakeDcgm, str]]:
    fake = FakeDcgm(lambda: time.t, [FakeBoard(), FakeBoard(index=1, uuid="GPU-2")], collect=0.5)
    with serving(fake) as url:
        yield fake, url


def stage_dcgm(_tmp_path: Path, _cache: Path) -> Stage:
    time, stack = Time(), ExitStack()
    fake, url = stack.enter_context(_dcgm_exporter(time))
    source = DcgmSource(PowerSettings(dcgm=DcgmSettings(url=url)), time.now)

    def break_machine() -> None:
        fake.down = True

    return Stage(source, time, break_machine, pace=1.0, stack=stack)


STAGES: Mapping[str, Callable[[Path, Path], Stage]] = {
    "nvml": stage_nvml,
    "rapl": stage_rapl,
    "cpu": stage_cpu,
    "dcgm": stage_dcgm,
    "recording": stage_recording,
}
ALL = sources_for(PowerSettings(source=("dcgm", "recording")))


@pytest.fixture(params=list(ALL))
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    assert request.config.cache is not None
    stage = STAGES[request.param](tmp_path, request.config.cache.mkdir("fake-nvml"))
    yield stage
    stage.source.close()
    stage.stack.close()


def values(readings: list[Reading]) -> list[CounterReading | PowerReading]:
    return [reading for reading in readings if not isinstance(reading, ReadFailure)]


def test_every_source_has_a_stage() -> None:
    assert set(STAGES) == set(ALL)


def test_devices_have_names_of_their_own_and_stay_the_same(stage: Stage) -> None:
    before = list(stage.source.devices)
    stage.read_later()
    stage.break_machine()
    for _ in range(30):
        stage.read_later(1.0)
    stage.source.close()
    assert list(stage.source.devices) == before
    assert len({device.name for device in before}) == len(before) > 0
    assert all(device.name.startswith(device.kind) for device in before)


def test_a_working_device_gives_values(stage: Stage) -> None:
    stage.read_later()
    readings = stage.read_later()
    assert {reading.device for reading in values(readings)} == {device.name for device in stage.source.devices}
    assert len(values(readings)) == len(readings)


def test_only_devices_with_a_counter_count(stage: Stage) -> None:
    counting = {device.name for device in stage.source.devices if device.has_counter}
    readings = stage.read_later() + stage.read_later()
    assert {reading.device for reading in readings if isinstance(reading, CounterReading)} == counting


def test_instants_are_of_the_call_and_never_go_back(stage: Stage) -> None:
    last: dict[tuple[str, type], float] = {}
    for _ in range(20):
        began = stage.time.t
        for reading in stage.read_later(0.2):
            key = (reading.device, type(reading))
            assert began + (0.0 if stage.tells_later else 0.2) < reading.at < stage.time.t + 1e-9
            assert reading.at > last.get(key, 0.0)
            last[key] = reading.at


def test_a_device_that_fails_yields_a_failure_and_no_value(stage: Stage) -> None:
    stage.read_later()
    stage.break_machine()
    readings = stage.read_later()
    assert values(readings) == []
    assert {reading.device for reading in readings} == {device.name for device in stage.source.devices}
    reasons = {reading.reason for reading in readings if isinstance(reading, ReadFailure)}
    assert all(reason.isidentifier() and reason.islower() for reason in reasons)


def test_failing_for_long_never_raises(stage: Stage) -> None:
    stage.break_machine()
    assert not any(values(stage.read_later(1.0)) for _ in range(200))


def test_closing_twice_is_closing(stage: Stage) -> None:
    stage.source.close()
    stage.source.close()


def test_reading_after_close_gives_no_values_and_does_not_raise(stage: Stage) -> None:
    stage.read_later()
    stage.source.close()
    assert values(stage.read_later()) == []
