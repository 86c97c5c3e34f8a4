from dataclasses import replace

import pynvml
import pytest

from tests.fakes.nvml import DriverGone, FakeGpu, FakeNvml
from tests.power.conftest import PlugIn
from tests.validation.stages import MACHINE
from validation import machine

SECOND = FakeGpu(name="NVIDIA L4", uuid="GPU-22222222-2222-3333-4444-555555555555", limit_watts=72.0)


def test_the_board_the_driver_and_the_packages_are_named(plug_in: PlugIn) -> None:
    plug_in([FakeGpu()])
    found = machine.look(fake=True)
    assert (found.gpu, found.driver, found.power_limit_watts) == ("NVIDIA H200", "570.86.15", 700.0)
    assert found.fake
    assert found.cores >= 1
    assert found.system.startswith("Linux")
    assert found.torch == machine.version("torch")


@pytest.mark.parametrize("chosen", ["1", f"{SECOND.uuid},0"])
def test_the_board_is_the_one_that_cuda_takes_first(
    plug_in: PlugIn, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    plug_in([FakeGpu(), SECOND])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    found = machine.look(fake=False)
    assert (found.gpu, found.power_limit_watts) == ("NVIDIA L4", 72.0)


def test_without_a_driver_there_is_no_gpu_and_it_says_why(plug_in: PlugIn) -> None:
    fake: FakeNvml = plug_in([FakeGpu()])
    fake._driver = (DriverGone(0.0),)
    fake.change([FakeGpu()])
    found = machine.look(fake=False)
    assert (found.gpu, found.driver, found.memory_bytes, found.power_limit_watts) == ("", "", 0, None)
    assert "NVML cannot start (driver_not_loaded)" in machine.missing(found)[0]


def test_looking_leaves_nvml_as_it_was(plug_in: PlugIn) -> None:
    fake = plug_in([FakeGpu()])
    machine.look(fake=True)
    assert fake.references() == 0
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetCount()


def test_what_is_missing_is_said_in_words() -> None:
    assert not [words for words in machine.missing(MACHINE) if "GPU:" in words or "PyTorch:" in words]
    bare = replace(MACHINE, torch="", transformers="")
    assert [words.split(":")[0] for words in machine.missing(bare)][:2] == ["no PyTorch", "no Transformers"]
