"""The fake is held against arithmetic before anything is held against the fake."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pynvml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.nvml import (
    AMPERE,
    GPU_IS_LOST,
    Counter,
    DriverGone,
    FakeGpu,
    FakeNvml,
    Fault,
    PowerScript,
    RealTime,
    Sensor,
)
from tests.power.conftest import PlugIn

STEP = ((0.0, 100.0), (5.0, 400.0), (8.0, 50.0))


def millijoules() -> int:
    return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0)))


def instant_watts(scope: int = 0) -> float:
    value = pynvml.nvmlDeviceGetFieldValues(pynvml.nvmlDeviceGetHandleByIndex(0), [(186, scope)])[0]
    return float(value.value.uiVal) / 1e3 if not value.nvmlReturn else -1.0


def usage_watts() -> float:
    return float(pynvml.nvmlDeviceGetPowerUsage(pynvml.nvmlDeviceGetHandleByIndex(0))) / 1e3


def plug(plug_in: PlugIn, gpu: FakeGpu) -> FakeNvml:
    fake = plug_in([gpu])
    pynvml.nvmlInit()
    return fake


def test_the_counter_is_the_integral_seen_at_its_last_step(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu(STEP, counter=Counter(period=0.1, phase=0.03, base=7.0)))
    fake.set_time(6.15)
    assert millijoules() == 7_000 + round(1000 * PowerScript(STEP).joules(0.0, 6.13))
    fake.set_time(6.2299)
    assert millijoules() == 7_000 + round(1000 * PowerScript(STEP).joules(0.0, 6.13))


def test_the_usage_is_a_mean_over_its_window_and_the_instant_is_not(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu(STEP, average=Sensor(1.0), instant=Sensor(0.025)))
    fake.set_time(5.5)
    assert usage_watts() == pytest.approx(250.0)
    assert instant_watts() == pytest.approx(400.0)


def test_both_sides_agree_on_the_truth(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu(STEP))
    assert fake.library_joules(0, 1.0, 9.5) == pytest.approx(fake.true_joules(0, 1.0, 9.5)) == 400 + 1200 + 75


@given(
    st.lists(st.tuples(st.floats(0.001, 10), st.floats(0, 1000)), min_size=1, max_size=30),
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_energy_adds_up_over_adjoining_intervals(
    steps: list[tuple[float, float]], a: float, b: float, c: float
) -> None:
    t = 0.0
    points = [(t := t + width, watts) for width, watts in steps]
    script = PowerScript(points)
    assert script.joules(a, b) + script.joules(b, c) == pytest.approx(script.joules(a, c), abs=1e-6)


def test_a_gain_in_an_interval_counts_only_there(plug_in: PlugIn) -> None:
    fault = Fault("gain", 2.0, 4.0, 10.0)
    fake = plug(plug_in, FakeGpu(((0.0, 100.0),), counter=Counter(base=0.0), faults=(fault,)))
    fake.set_time(6.0)
    assert millijoules() == 1000 * (200 + 2000 + 200)


def test_a_stuck_counter_stands_and_then_catches_up(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu(((0.0, 100.0),), counter=Counter(base=0.0), faults=(Fault("stuck", 2.0, 4.0),)))
    seen = []
    for t in (2.0, 3.9, 4.1):
        fake.set_time(t)
        seen.append(millijoules())
    assert seen == [200_000, 200_000, 410_000]


def test_a_reset_counter_begins_at_zero(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu(((0.0, 100.0),), faults=(Fault("reset", 2.0),)))
    fake.set_time(3.0)
    assert millijoules() == 100_000


def test_an_error_that_happens_once_happens_once(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu())
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    fake.break_down(Fault("error", 0.0, value=GPU_IS_LOST, times=1))
    with pytest.raises(pynvml.NVMLError_GpuIsLost):
        pynvml.nvmlDeviceGetPowerUsage(handle)
    assert pynvml.nvmlDeviceGetPowerUsage(handle) == 100_000


def test_handles_die_with_the_driver(fake_library: Path, tmp_path: Path) -> None:
    fake = FakeNvml(fake_library, tmp_path, driver=[DriverGone(5.0, 10.0)])
    fake.attach()
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    fake.set_time(11.0)
    with pytest.raises(pynvml.NVMLError_Unknown):
        pynvml.nvmlDeviceGetPowerUsage(handle)
    pynvml.nvmlShutdown()
    pynvml.nvmlInit()
    assert pynvml.nvmlDeviceGetPowerUsage(pynvml.nvmlDeviceGetHandleByIndex(0)) == 100_000


def test_a_script_of_ten_minutes_at_100_hz_may_grow(plug_in: PlugIn) -> None:
    points = [(i / 100, 100.0 + i % 300) for i in range(60_000)]
    fake = plug(plug_in, FakeGpu(points))
    fake.append_power(0, [(600.0 + i / 100, 200.0) for i in range(100)])
    assert fake.library_joules(0, 0.0, 601.0) == pytest.approx(fake.true_joules(0, 0.0, 601.0), rel=1e-12)


def test_another_process_sees_the_boards_in_its_own_fast_time(fake_library: Path, tmp_path: Path) -> None:
    fake = FakeNvml(
        fake_library,
        tmp_path,
        [FakeGpu(STEP, name="NVIDIA A100-SXM4-80GB", architecture=AMPERE)],
        time=RealTime(epoch=time.time() - 10.0, speed=20.0),
    )
    program = (
        "import pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0);"
        "print(n.nvmlDeviceGetName(h), n.nvmlDeviceGetPowerUsage(h), n.nvmlDeviceGetTotalEnergyConsumption(h))"
    )
    environment = {**os.environ, **fake.environment()}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    *name, power, energy = told.stdout.split()
    assert (" ".join(name), power) == ("NVIDIA A100-SXM4-80GB", "50000")
    assert int(energy) >= 1_000_000 + 1000 * fake.true_joules(0, 0.0, 199.9)
