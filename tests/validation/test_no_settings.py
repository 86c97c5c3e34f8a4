"""A validation looks at a device and never changes it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import validation

FORBIDDEN = re.compile(
    r"nvml\w*(?:Set|Reset|Clear|Freeze|Create|Destroy|Enable|Disable|Modify)[A-Z]\w*"
    r"|nvmlDeviceRemoveGpu|nvmlDeviceDiscover"
    r"|nvidia-smi|nvidia-settings|nvidia-persistenced|dcgmi"
    r"|--gpu-reset|--lock-gpu-clocks|--power-limit"
    r"|exporter\.tune|\btune\b.*--apply"
)


def sources() -> Iterator[Path]:
    return (path for path in Path(validation.__file__).parent.rglob("*") if path.suffix in {".py", ".sh", ".c"})


def forbidden(text: str) -> list[str]:
    return FORBIDDEN.findall(text)


def test_nothing_in_it_sets_or_resets_a_device() -> None:
    found = {path.name: forbidden(path.read_text(encoding="utf-8")) for path in sources()}
    assert len(found) > 10
    assert not {name: calls for name, calls in found.items() if calls}


@pytest.mark.parametrize(
    "text",
    [
        "pynvml.nvmlDeviceSetPowerManagementLimit(handle, 1)",
        "nvmlDeviceSetGpuLockedClocks",
        "nvmlDeviceResetGpuLockedClocks(handle)",
        "nvmlDeviceSetPersistenceMode",
        "nvmlDeviceSetComputeMode",
        "nvmlDeviceClearEccErrorCounts",
        "subprocess.run(['nvidia-smi', '-pl', '300'])",
        "nvidia-smi -lgc 900",
        "from exporter.tune.nvml import Knob",
        "['tune', '--apply']",
    ],
)
def test_this_test_would_see_one(text: str) -> None:
    assert forbidden(text)


@pytest.mark.parametrize("text", ["nvmlDeviceGetPowerManagementLimit(handle)", "nvmlInit", "a tuned load"])
def test_this_test_lets_questions_pass(text: str) -> None:
    assert not forbidden(text)
