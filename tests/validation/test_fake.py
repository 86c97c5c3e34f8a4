import os
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest

from validation.fake import IDLE_WATTS, LOAD_WATTS, FakeUnavailableError, Family, plugged_in, watts_of

US = os.getpid()


class Processes:
    """Who there is, and how much CPU time each has used."""

    def __init__(self) -> None:
        self.used = {US: 1.0}

    def family(self) -> Family:
        return Family(self.used.get, lambda: set(self.used) - {US})


def test_watts_follow_the_use_of_all_cores() -> None:
    assert watts_of(0.0, 0.05, 4) == IDLE_WATTS
    assert watts_of(0.1, 0.05, 4) == pytest.approx(IDLE_WATTS + LOAD_WATTS / 2)
    assert watts_of(9.0, 0.05, 4) == IDLE_WATTS + LOAD_WATTS


def test_what_a_child_uses_counts_from_its_birth_to_its_death() -> None:
    processes = Processes()
    family = processes.family()
    assert family.used(0.0) == 1.0
    processes.used[7] = 0.2
    assert family.used(0.1) == pytest.approx(0.0), "children are looked for now and then only"
    assert family.used(0.6) == pytest.approx(0.2)
    processes.used |= {US: 1.5, 7: 0.3}
    assert family.used(0.7) == pytest.approx(0.6)
    del processes.used[7]
    assert family.used(0.8) == pytest.approx(0.0)


def test_this_process_has_used_some_cpu_time() -> None:
    assert Family().used(0.0) > 0.0


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FakeUnavailableError, match="apt-get install gcc"), plugged_in(tmp_path):
        pass


def test_this_process_and_those_it_starts_see_the_same_board(fake_library: Path) -> None:
    directory = fake_library.parents[1]
    program = "import pynvml as n; n.nvmlInit(); print(n.nvmlDeviceGetName(n.nvmlDeviceGetHandleByIndex(0)))"
    with plugged_in(directory) as fake:
        pynvml.nvmlInit()
        here = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))
        there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        assert fake.library == fake_library
    assert here == there.strip() == "FAKE H200 (made-up watts)"
    assert os.environ.get("FAKE_NVML_CONFIG") != str(fake.config)
