"""What the fake boards can be set to, as the real `pynvml` sets it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pynvml
import pytest

from tests.fakes.nvml import NO_PERMISSION, Clocks, FakeGpu, FakeNvml, Fault, FaultKind, RealTime
from tests.power.conftest import PlugIn

POWER_CAP, CLOCKS_SETTING = 4, 2


def plug(plug_in: PlugIn, *gpus: FakeGpu) -> FakeNvml:
    fake = plug_in(gpus or [FakeGpu()])
    pynvml.nvmlInit()
    return fake


def board(index: int = 0) -> object:
    return pynvml.nvmlDeviceGetHandleByIndex(index)


def set_limit(watts: float, index: int = 0) -> None:
    pynvml.nvmlDeviceSetPowerManagementLimit(board(index), round(watts * 1e3))


def test_a_limit_that_was_set_is_read_back_and_the_default_stays(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu(limit_watts=650.0, default_limit_watts=700.0), FakeGpu(uuid="GPU-2"))
    set_limit(450.5)
    assert pynvml.nvmlDeviceGetPowerManagementLimit(board()) == 450_500
    assert pynvml.nvmlDeviceGetEnforcedPowerLimit(board()) == 450_500
    assert pynvml.nvmlDeviceGetPowerManagementDefaultLimit(board()) == 700_000
    assert pynvml.nvmlDeviceGetPowerManagementLimitConstraints(board()) == [200_000, 700_000]
    assert (fake.power_limit(0), fake.power_limit(1)) == (450.5, 700.0)


def test_a_limit_out_of_range_is_refused_and_nothing_changes(plug_in: PlugIn) -> None:
    fake = plug(plug_in)
    for watts in (199.0, 701.0):
        with pytest.raises(pynvml.NVMLError_InvalidArgument):
            set_limit(watts)
    assert fake.power_limit() == 700.0
    assert [(call.values, call.took) for call in fake.set_calls()] == [((199_000,), False), ((701_000,), False)]


def test_locked_clocks_hold_the_clock_until_they_are_reset(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu(clocks=Clocks(345, 1980, 15)))
    pynvml.nvmlDeviceSetGpuLockedClocks(board(), 345, 1207)
    assert fake.locked_clocks() == (345, 1207)
    assert pynvml.nvmlDeviceGetClockInfo(board(), pynvml.NVML_CLOCK_GRAPHICS) == 1200
    assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(board()) & CLOCKS_SETTING
    pynvml.nvmlDeviceResetGpuLockedClocks(board())
    assert fake.locked_clocks() is None
    assert pynvml.nvmlDeviceGetClockInfo(board(), pynvml.NVML_CLOCK_SM) == 1980


def test_a_board_tells_the_clocks_that_it_has(plug_in: PlugIn) -> None:
    plug(plug_in, FakeGpu(clocks=Clocks(300, 330, 15, memory=2600)))
    assert pynvml.nvmlDeviceGetSupportedMemoryClocks(board()) == [2600]
    assert pynvml.nvmlDeviceGetSupportedGraphicsClocks(board(), 2600) == [330, 315, 300]
    assert pynvml.nvmlDeviceGetMaxClockInfo(board(), pynvml.NVML_CLOCK_GRAPHICS) == 330
    assert pynvml.nvmlDeviceGetMaxClockInfo(board(), pynvml.NVML_CLOCK_MEM) == 2600


def test_a_board_at_its_limit_says_that_the_cap_holds_it(plug_in: PlugIn) -> None:
    plug(plug_in, FakeGpu(((0.0, 400.0),)))
    assert not pynvml.nvmlDeviceGetCurrentClocksEventReasons(board()) & POWER_CAP
    set_limit(400.0)
    assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(board()) & POWER_CAP


def test_without_permission_every_setter_refuses_and_every_getter_answers(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu(faults=(Fault("set_error", value=NO_PERMISSION),)))
    for refused in (
        lambda: set_limit(300.0),
        lambda: pynvml.nvmlDeviceSetGpuLockedClocks(board(), 345, 900),
        lambda: pynvml.nvmlDeviceResetGpuLockedClocks(board()),
    ):
        with pytest.raises(pynvml.NVMLError_NoPermission):
            refused()
    assert (pynvml.nvmlDeviceGetPowerManagementLimit(board()), fake.locked_clocks()) == (700_000, None)


def test_a_driver_may_refuse_a_few_times_and_then_obey(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu(faults=(Fault("set_error", value=999, times=2),)))
    for _ in range(2):
        with pytest.raises(pynvml.NVMLError_Unknown):
            set_limit(300.0)
    set_limit(300.0)
    assert fake.power_limit() == 300.0


def test_a_setter_may_say_yes_and_do_nothing(plug_in: PlugIn) -> None:
    fake = plug(plug_in, FakeGpu(faults=(Fault("set_ignored"),)))
    set_limit(300.0)
    assert pynvml.nvmlDeviceGetPowerManagementLimit(board()) == 700_000
    assert [(call.code, call.took) for call in fake.set_calls()] == [(0, False)]


@pytest.mark.parametrize(
    ("kind", "ask"),
    [
        ("no_limits", lambda: pynvml.nvmlDeviceGetPowerManagementLimitConstraints(board())),
        ("no_limits", lambda: set_limit(300.0)),
        ("no_clocks", lambda: pynvml.nvmlDeviceGetSupportedMemoryClocks(board())),
        ("no_clocks", lambda: pynvml.nvmlDeviceSetGpuLockedClocks(board(), 345, 900)),
    ],
)
def test_what_a_board_does_not_support_it_says(plug_in: PlugIn, kind: FaultKind, ask: object) -> None:
    plug(plug_in, FakeGpu(faults=(Fault(kind),)))
    assert callable(ask)
    with pytest.raises(pynvml.NVMLError_NotSupported):
        ask()


def test_what_a_process_sets_stays_set_when_it_is_gone_and_the_journal_names_it(
    fake_library: Path, tmp_path: Path
) -> None:
    fake = FakeNvml(fake_library, tmp_path, time=RealTime(epoch=time.time()))
    fake.attach()
    pynvml.nvmlInit()
    program = (
        "import os, signal, pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0);"
        "n.nvmlDeviceSetPowerManagementLimit(h, 250000); n.nvmlDeviceSetGpuLockedClocks(h, 345, 990);"
        "print(os.getpid(), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, **fake.environment()}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert pynvml.nvmlDeviceGetPowerManagementLimit(board()) == 250_000
    assert (fake.power_limit(), fake.locked_clocks()) == (250.0, (345, 990))
    assert {call.pid for call in fake.set_calls()} == {int(told.stdout)}
