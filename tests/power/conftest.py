"""Fake hardware for the power sources."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.fakes.nvml import FakeGpu, FakeNvml, build

PlugIn = Callable[[Sequence[FakeGpu]], FakeNvml]


@pytest.fixture(scope="session")
def fake_library(pytestconfig: pytest.Config) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("the fake NVML is C and there is no gcc")
    assert pytestconfig.cache is not None
    return build(pytestconfig.cache.mkdir("fake-nvml"))


@pytest.fixture
def plug_in(fake_library: Path, tmp_path: Path) -> PlugIn:
    """Put these boards into the machine, as the NVML that this process sees."""

    def attach(gpus: Sequence[FakeGpu]) -> FakeNvml:
        fake = FakeNvml(fake_library, tmp_path, gpus)
        fake.attach()
        return fake

    return attach
