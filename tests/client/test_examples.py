"""The examples, run as their users run them, and what docs/CLIENT.md shows."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.exporter_process import RunningExporter, running_exporter
from tests.e2e.web import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIG = {"power": {"source": "cpu"}, "servers": [{"name": "train", "requests": {"source": "push"}}]}
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningExporter]:
    with running_exporter(CONFIG, tmp_path_factory.mktemp("exporter")) as running:
        yield running


def run_example(name: str, url: str) -> "subprocess.CompletedProcess[str]":
    repository = str(EXAMPLES.parent)
    environment = {
        **os.environ,
        "ENERGY_EXPORTER_URL": url,
        "STEPS": "4",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": repository,
    }
    command = [sys.executable, str(EXAMPLES / name)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.e2e
@needs_torch
def test_the_training_loop_prints_joules_a_step_and_how_they_are_known(exporter: RunningExporter) -> None:
    done = run_example("train_with_windows.py", exporter.url)
    assert (done.returncode, done.stderr) == (0, "")
    *steps, epoch, mean = done.stdout.splitlines()
    assert len(steps) == 4
    known = [float(re.fullmatch(r"step \d: (\S+) J in \S+ s, estimated", step)[1]) for step in steps]  # type: ignore[index]
    found = re.fullmatch(r"epoch, steps and the time between them: (\S+) J in \S+ s, estimated", epoch)
    assert found is not None
    assert float(found[1]) >= sum(known) - 0.01 * len(known)
    assert mean.endswith(" J a step")


@pytest.mark.e2e
def test_threads_share_the_energy_of_the_time_they_share(exporter: RunningExporter) -> None:
    done = run_example("windows_in_threads.py", exporter.url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all(re.fullmatch(r"\S+ J \(estimated\) in \S+ s, one of [1-4]\.\d", line) for line in lines), lines


def test_threads_go_on_without_an_exporter() -> None:
    done = run_example("windows_in_threads.py", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 0
    assert "the program goes on" in done.stderr
    assert done.stdout.count("not known: ") == 4
