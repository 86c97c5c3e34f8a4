"""The command as a whole."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporter import doctor
from exporter.clock import SystemClock
from exporter.doctor.rendering import WIDTH
from exporter.domain.settings import ListenAddress, PowerSettings, RequestSettings, ServerSettings, Settings
from tests.doctor.conftest import PlugIn
from tests.fakes.nvml import FakeGpu

LOGS = Path(__file__).parents[1] / "requests/logs"
SOURCE_TREE = Path(__file__).parents[2]


def _settings(log: Path, source: str) -> Settings:
    requests = RequestSettings(source, path=(str(log),))
    return Settings((ServerSettings("chat", (requests,)),), ListenAddress("127.0.0.1", 0), PowerSettings(("cpu",)))


@pytest.mark.e2e
def test_a_machine_in_order_is_ready_and_everything_was_looked_at() -> None:
    settings = _settings(LOGS / "llama-server-b10434-default.log", "llamacpp")
    sections = list(doctor.examine(settings, SystemClock()))
    assert [section[0].section for section in sections] == ["This machine", "Power", "Servers", "State", "Listening"]
    assert all(finding.verdict != "fail" for section in sections for finding in section)


@pytest.mark.e2e
def test_a_problem_makes_the_exit_code_one(tmp_path: Path) -> None:
    out = io.StringIO()
    assert doctor.run(_settings(tmp_path / "none.log", "vllm"), out) == 1
    assert "\n1 problem: Servers (1)." in out.getvalue()


@pytest.mark.e2e
@pytest.mark.parametrize(("source", "code"), [("llamacpp", 0), ("vllm", 1)])
def test_the_command_says_what_is_to_be_done_on_a_machine_with_a_gpu(
    tmp_path: Path, plug_in: PlugIn, source: str, code: int
) -> None:
    log = Path(shutil.copy(LOGS / "llama-server-b10434-default.log", tmp_path / "server.log"))
    environment = {**os.environ, **plug_in([FakeGpu()]).environment()}
    before = sorted(tmp_path.iterdir())
    arguments = ["doctor", "--source", source, "--log", str(log), "--listen", "127.0.0.1:0"]
    command = [sys.executable, "-m", "exporter", *arguments]
    ended = subprocess.run(
        command, cwd=SOURCE_TREE, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == code, ended.stdout
    assert ended.stderr == ""
    assert "NVIDIA H200" in ended.stdout
    assert all(len(line) <= WIDTH for line in ended.stdout.splitlines() if str(log) not in line)
    assert sorted(tmp_path.iterdir()) == before
