from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.domain.errors import SourceError
from exporter.domain.readings import CounterReading, PowerReading, ReadFailure, Reading
from exporter.domain.settings import PowerSettings
from exporter.domain.units import Instant
from exporter.power.boards import REASONS
from exporter.power.nvml import NvmlSource
from tests.fakes.nvml import (
    ADA,
    AMPERE,
    GPU_IS_LOST,
    LIBRARY_NOT_FOUND,
    NOT_SUPPORTED,
    UNKNOWN,
    DriverGone,
    FakeGpu,
    FakeNvml,
    Fault,
    FaultKind,
    Sensor,
)
from tests.power.conftest import PlugIn

FIRST = FakeGpu()
SECOND = FakeGpu(uuid="GPU-aaaaaaaa-2222-3333-4444-555555555555", bus="00000000:3B:00.0", power=((0.0, 250.0),))
THIRD = FakeGpu(uuid="GPU-aaaabbbb-2222-3333-4444-555555555555", bus="00010000:3B:00.0")

EPOCH = 1_700_000_000.0


def open_nvml(fake: FakeNvml, *gpus: str) -> NvmlSource:
    settings = PowerSettings(gpus=gpus or "all")
    return NvmlSource(settings, lambda: Instant(EPOCH + fake.now()))


def read_at(fake: FakeNvml, source: NvmlSource, t: float) -> Sequence[Reading]:
    fake.set_time(t)
    return source.read()


def names(source: NvmlSource) -> list[str]:
    return [device.name for device in source.devices]


def reasons(readings: Sequence[Reading]) -> list[str]:
    return [reading.reason for reading in readings if isinstance(reading, ReadFailure)]


def kinds(readings: Sequence[Reading]) -> list[type]:
    return [type(reading) for reading in readings]


class TestWhatADeviceIs:
    def test_a_board_is_named_by_its_index_and_described_by_what_it_answers(self, plug_in: PlugIn) -> None:
        source = open_nvml(plug_in([FIRST, SECOND]))
        device = source.devices[1]
        assert (device.name, device.kind, device.uuid, device.model) == ("gpu1", "gpu", SECOND.uuid, "NVIDIA H200")
        assert device.has_counter
        assert device.method == "measured"
        assert device.limit_watts == 700.0

    def test_without_a_highest_limit_the_limit_in_force_counts(self, plug_in: PlugIn) -> None:
        source = open_nvml(plug_in([replace(FIRST, limit_watts=350.0, max_limit_watts=None)]))
        assert source.devices[0].limit_watts == 350.0

    def test_the_limit_in_force_and_the_driver_are_told_apart_from_what_it_could_draw(self, plug_in: PlugIn) -> None:
        (device,) = open_nvml(plug_in([replace(FIRST, limit_watts=350.0)])).devices
        assert (device.power_limit_watts, device.limit_watts, device.driver) == (350.0, 700.0, "570.86.15")

    def test_a_board_may_have_no_limit(self, plug_in: PlugIn) -> None:
        assert (
            open_nvml(plug_in([replace(FIRST, limit_watts=None, max_limit_watts=None)])).devices[0].limit_watts is None
        )

    @pytest.mark.parametrize(
        ("architecture", "name", "missing", "window"),
        [
            (9, "NVIDIA H100 80GB HBM3", "no_counter", 0.025),
            (9, "NVIDIA H100 80GB HBM3", "no_instant", 1.0),
            (8, "NVIDIA L40S", "no_counter", 0.1),
            (8, "NVIDIA L40S", "no_instant", 1.0),
            (7, "NVIDIA A100-SXM4-40GB", "no_instant", 0.025),
            (7, "NVIDIA A30", "no_instant", 0.025),
            (7, "NVIDIA A10", "no_instant", 1.0),
            (7, "NVIDIA RTX A3000", "no_instant", 1.0),
            (6, "Tesla T4", "no_instant", 0.1),
            (5, "Tesla V100-SXM2-16GB", "no_instant", 0.01),
            (4, "Tesla P100", "no_instant", 0.01),
            (10, "NVIDIA B200", "no_instant", 1.0),
            (0xFFFFFFFF, "NVIDIA Thing", "no_instant", 1.0),
        ],
    )
    def test_the_window_of_a_power_reading_follows_what_is_published(
        self, plug_in: PlugIn, architecture: int, name: str, missing: FaultKind, window: float
    ) -> None:
        source = open_nvml(plug_in([FakeGpu(architecture=architecture, name=name, faults=(Fault(missing),))]))
        assert source.devices[0].power_window_seconds == window


class TestWhatIsRead:
    def test_the_hot_loop_is_one_call_and_every_fourth_read_checks_power(self, plug_in: PlugIn) -> None:
        fake = plug_in([FIRST])
        source = open_nvml(fake)
        before = fake.calls("energy"), fake.calls("field"), fake.calls("lookup")
        read = [kinds(source.read()) for _ in range(8)]
        assert read == 2 * [[CounterReading, PowerReading], [CounterReading], [CounterReading], [CounterReading]]
        after = fake.calls("energy"), fake.calls("field"), fake.calls("lookup")
        assert [b - a for a, b in zip(before, after, strict=True)] == [8, 2, 0]

    def test_the_counter_is_in_joules(self, plug_in: PlugIn) -> None:
        fake = plug_in([FIRST])
        source = open_nvml(fake)
        assert read_at(fake, source, 10.0)[0] == CounterReading("gpu0", Instant(EPOCH + 10.0), 2000.0)  # type: ignore[arg-type]

    def test_without_a_counter_power_is_read_every_time(self, plug_in: PlugIn) -> None:
        fake = plug_in([replace(FIRST, faults=(Fault("no_counter"),))])
        source = open_nvml(fake)
        assert not source.devices[0].has_counter
        assert [kinds(source.read()) for _ in range(5)] == 5 * [[PowerReading]]

    def test_the_instant_is_preferred_to_a_mean_over_a_second(self, plug_in: PlugIn) -> None:
        step = ((0.0, 100.0), (5.0, 500.0))
        fake = plug_in([FakeGpu(step, architecture=ADA, average=Sensor(1.0), faults=(Fault("no_counter"),))])
        source = open_nvml(fake)
        reading = read_at(fake, source, 5.25)[0]
        assert isinstance(reading, PowerReading)
        assert reading.watts == 500.0

    def test_zero_watts_and_zero_joules_are_readings(self, plug_in: PlugIn) -> None:
        dark = FakeGpu(((0.0, 0.0),), counter=replace(FIRST.counter, base=0.0))
        counter, power = open_nvml(plug_in([dark])).read()
        assert isinstance(counter, CounterReading)
        assert counter.joules == 0.0
        assert isinstance(power, PowerReading)
        assert power.watts == 0.0

    def test_a_reading_carries_the_middle_of_its_call(self, plug_in: PlugIn) -> None:
        fake = plug_in([FIRST])
        source = open_nvml(fake)
        fake.break_down(Fault("slow", value=40.0))
        counter, power = read_at(fake, source, 5.0)
        assert [counter.at - EPOCH, power.at - EPOCH] == pytest.approx([5.02, 5.06])

    def test_on_grace_hopper_the_modules_power_is_held_against_the_modules_counter(self, plug_in: PlugIn) -> None:
        source = open_nvml(plug_in([FakeGpu(name="NVIDIA GH200 480GB", module=True)]))
        assert source.devices[0].limit_watts is None
        assert kinds(source.read()) == [CounterReading, PowerReading]

    def test_a_board_split_into_instances_is_metered_once(self, plug_in: PlugIn) -> None:
        split = replace(FIRST, mig=("MIG-1", "MIG-2", "MIG-3"))
        source = open_nvml(plug_in([split]))
        assert names(source) == ["gpu0"]
        assert len(source.read()) == 2


class TestWhichBoards:
    @pytest.mark.parametrize(
        ("selector", "name"),
        [
            ("0", "gpu0"),
            (" 1 ", "gpu1"),
            ("gpu1", "gpu1"),
            (SECOND.uuid, "gpu1"),
            (SECOND.uuid.upper(), "gpu1"),
            ("GPU-1111", "gpu0"),
            ("GPU-aaaab", "gpu2"),
            ("00000000:3B:00.0", "gpu1"),
            ("0000:3b:00.0", "gpu1"),
            ("3b:00.0", "gpu1"),
            ("3B:00", "gpu1"),
            ("10000:3b:00.0", "gpu2"),
        ],
    )
    def test_a_board_is_chosen_by_index_uuid_or_bus_id(self, plug_in: PlugIn, selector: str, name: str) -> None:
        assert names(open_nvml(plug_in([FIRST, SECOND, THIRD]), selector)) == [name]

    def test_an_instance_chosen_by_its_uuid_means_its_board(self, plug_in: PlugIn) -> None:
        fake = plug_in([FIRST, replace(SECOND, mig=("MIG-7", "MIG-8"))])
        assert names(open_nvml(fake, "MIG-7", "MIG-8")) == ["gpu1"]

    def test_a_board_chosen_twice_is_metered_once(self, plug_in: PlugIn) -> None:
        assert names(open_nvml(plug_in([FIRST, SECOND, THIRD]), "2", THIRD.uuid, "0")) == ["gpu0", "gpu2"]

    @pytest.mark.parametrize("selector", ["7", "GPU-ffff", "MIG-1", "ff:00.0", "", "all of them"])
    def test_an_unknown_selector_is_named_with_what_there_is(self, plug_in: PlugIn, selector: str) -> None:
        fake = plug_in([FIRST, SECOND])
        with pytest.raises(SourceError, match="fits no GPU") as refused:
            open_nvml(fake, selector)
        assert repr(selector) in str(refused.value)
        assert SECOND.uuid in str(refused.value)
        assert fake.references() == 0

    def test_a_prefix_of_several_uuids_is_refused(self, plug_in: PlugIn) -> None:
        with pytest.raises(SourceError, match="fits several GPUs"):
            open_nvml(plug_in([FIRST, SECOND, THIRD]), "GPU-aaaa")


class TestStarting:
    def test_no_visible_board_is_a_failed_start(self, plug_in: PlugIn) -> None:
        fake = plug_in([])
        with pytest.raises(SourceError, match=r"NVML shows no GPU.*NVIDIA_VISIBLE_DEVICES"):
            open_nvml(fake)
        assert fake.references() == 0

    @pytest.mark.parametrize("code", [9, LIBRARY_NOT_FOUND])
    def test_a_missing_driver_says_what_to_do(self, fake_library: Path, tmp_path: Path, code: int) -> None:
        fake = FakeNvml(fake_library, tmp_path, driver=[DriverGone(0.0, code=code)])
        fake.attach()
        with pytest.raises(SourceError) as refused:
            open_nvml(fake)
        assert REASONS[code] in refused.value.reason
        for word in ("runtimeClassName: nvidia", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES=utility"):
            assert word in refused.value.hint

    def test_a_board_that_cannot_be_opened_does_not_hide_the_others(self, plug_in: PlugIn) -> None:
        lost = replace(FIRST, faults=(Fault("error", value=GPU_IS_LOST),))
        assert names(open_nvml(plug_in([lost, SECOND]))) == ["gpu1"]

    def test_a_board_that_tells_nothing_is_left_out(self, plug_in: PlugIn) -> None:
        mute = replace(FIRST, faults=(Fault("no_counter"), Fault("no_power")))
        assert names(open_nvml(plug_in([mute, SECOND]))) == ["gpu1"]

    def test_only_boards_that_tell_nothing_are_a_failed_start(self, plug_in: PlugIn) -> None:
        mute = replace(FIRST, faults=(Fault("no_counter"), Fault("no_power")))
        with pytest.raises(SourceError, match="no selected GPU reports energy or power"):
            open_nvml(plug_in([mute]))

    def test_a_counter_without_power_is_enough(self, plug_in: PlugIn) -> None:
        source = open_nvml(plug_in([replace(FIRST, faults=(Fault("no_power"),))]))
        assert [kinds(source.read()) for _ in range(5)] == 5 * [[CounterReading]]


class TestFailing:
    @pytest.mark.parametrize("code", [*REASONS, UNKNOWN, 4711])
    def test_every_error_has_a_reason(self, plug_in: PlugIn, code: int) -> None:
        fake = plug_in([FIRST])
        source = open_nvml(fake)
        fake.break_down(Fault("error", value=code))
        assert reasons(source.read()) == [REASONS.get(code, "unknown")]

    def test_a_lost_board_yields_a_failure_and_nothing_else_and_may_come_back(self, plug_in: PlugIn) -> None:
        fake = plug_in([FIRST, SECOND])
        source = open_nvml(fake)
        fake.break_down(Fault("error", 1.0, 3.0, GPU_IS_LOST))
        lost = read_at(fake, source, 2.0)
        assert [(r.device, r.reason) for r in lost if isinstance(r, ReadFailure)] == [("gpu0", "gpu_is_lost")]
        assert {r.device for r in lost if not isinstance(r, ReadFailure)} == {"gpu1"}
        assert reasons(read_at(fake, source, 3.0)) == []

    def test_a_failed_cross_check_is_told_beside_the_counter(self, plug_in: PlugIn) -> None:
        fake = plug_in([FIRST])
        source = open_nvml(fake)
        fake.break_down(Fault("no_instant"))
        assert kinds(source.read()) == [CounterReading, ReadFailure]
        assert [kinds(source.read()) for _ in range(4)] == 4 * [[CounterReading]]

    def test_a_counter_refused_later_gives_way_to_power(self, plug_in: PlugIn) -> None:
        fake = plug_in([FIRST])
        source = open_nvml(fake)
        fake.break_down(Fault("no_counter"))
        assert reasons(source.read()) == [REASONS[NOT_SUPPORTED]]
        assert [kinds(source.read()) for _ in range(3)] == 3 * [[PowerReading]]


class TestDriverReload:
    @pytest.fixture
    def fake(self, fake_library: Path, tmp_path: Path) -> FakeNvml:
        fake = FakeNvml(fake_library, tmp_path, [FIRST, SECOND], driver=[DriverGone(100.0, 130.0)])
        fake.attach()
        return fake

    def test_a_reload_heals_by_itself(self, fake: FakeNvml) -> None:
        source = open_nvml(fake)
        devices = source.devices
        seen = {t: reasons(read_at(fake, source, float(t))) for t in range(90, 160)}
        assert seen[99] == []
        assert seen[105] == ["unknown", "unknown"]
        assert seen[115] == ["driver_not_loaded", "driver_not_loaded"]
        assert seen[159] == []
        assert source.devices is devices
        assert fake.references() == 1

    def test_trying_again_becomes_rarer(self, fake: FakeNvml) -> None:
        source = open_nvml(fake)
        for tenth in range(900, 1300):
            read_at(fake, source, tenth / 10)
        assert fake.calls("init") == 1 + 5  # at 110, 111, 113, 117 and 125 s

    def test_a_board_that_did_not_come_back_is_looked_for_again(self, fake: FakeNvml) -> None:
        source = open_nvml(fake, "1")
        read_at(fake, source, 99.0)
        fake.change([FIRST])
        gone = [reasons(read_at(fake, source, float(t))) for t in range(131, 170)]
        assert gone[-1] == ["not_found"]
        fake.change([FIRST, SECOND])
        back = [reasons(read_at(fake, source, float(t))) for t in range(170, 240)]
        assert back[-1] == []

    def test_one_silent_board_of_two_is_no_reason_to_start_over(self, plug_in: PlugIn) -> None:
        fake = plug_in([FIRST, SECOND])
        source = open_nvml(fake)
        fake.break_down(Fault("error", value=GPU_IS_LOST))
        for t in range(60):
            read_at(fake, source, float(t))
        assert fake.calls("init") == 1


def test_closing_gives_back_only_what_is_ours(plug_in: PlugIn) -> None:
    fake = plug_in([FIRST])
    ours, theirs = open_nvml(fake), open_nvml(fake)
    ours.close()
    ours.close()
    assert fake.references() == 1
    assert reasons(ours.read()) == ["closed"]
    assert reasons(theirs.read()) == []


def test_the_counters_read_add_up_to_the_truth(plug_in: PlugIn) -> None:
    fake = plug_in([FakeGpu([(i / 10, 100.0 + 37 * (i % 13)) for i in range(600)], architecture=AMPERE)])
    source = open_nvml(fake)
    counted = [r.joules for t in (1.0, 50.0) for r in read_at(fake, source, t) if isinstance(r, CounterReading)]
    assert counted[1] - counted[0] == pytest.approx(fake.true_joules(0, 1.0, 50.0), abs=0.002)
