"""What the doctor looks at: a finding by its subject, and fake hardware that moves in real time."""

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from exporter.doctor.finding import Finding
from tests.fakes.nvml import FakeGpu, FakeNvml, RealTime, build

PlugIn = Callable[[Sequence[FakeGpu]], FakeNvml]


def the(findings: Iterable[Finding], subject: str) -> Finding:
    """The one finding about this subject."""
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


@pytest.fixture
def plug_in(pytestconfig: pytest.Config, tmp_path: Path) -> PlugIn:
    """Put these boards into the machine, as the NVML that this process and its children see."""
    if shutil.which("gcc") is None:
        pytest.skip("the fake NVML is C and there is no gcc")
    assert pytestconfig.cache is not None
    library = build(pytestconfig.cache.mkdir("fake-nvml"))

    def attach(gpus: Sequence[FakeGpu]) -> FakeNvml:
        fake = FakeNvml(library, tmp_path, gpus, time=RealTime(epoch=time.time() - 5.0))
        fake.attach()
        return fake

    return attach
