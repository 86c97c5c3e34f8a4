"""The whole command, on the fake board."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.validation.stages import RESULT
from validation.__main__ import status
from validation.files import read
from validation.results import StageResult

ROOT = Path(__file__).parents[2]

needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="the fake NVML is C")


def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "validation", "--out", str(out), "--scratch", str(out.parent), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def run(out: Path, *arguments: str) -> tuple[int, str]:
    with start(out, *arguments) as process:
        _, said = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.e2e
@needs_compiler
def test_the_sensor_stage_runs_from_end_to_end_on_the_fake(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said = run(out, "--fake", "--only", "sensor", "--minutes", "0.3")
    assert code == 0, said
    assert "FAKE" in said
    validation = read(out / "results.json")
    (stage,) = validation.stages
    value = {figure.name: figure.value for figure in stage.figures}
    assert (stage.stage, stage.ending, stage.why) == ("sensor", "done", "")
    assert value["counter_step_seconds"] == pytest.approx(0.1, rel=0.1)
    assert value["counter_over_instant"] == pytest.approx(1.0, abs=0.15)
    assert value["idle_with_context_watts"] is not None
    assert value["idle_with_context_watts"] >= 69.0
    report = (out / "report.md").read_text()
    assert "Nothing on this page is a measurement" in report
    assert "FAKE H200" in report
    assert (out / "sensor.png").stat().st_size > 10_000
    assert {path.name for path in out.iterdir()} == {"results.json", "report.md", "sensor.png"}
    assert not list(tmp_path.glob("validation-*")), "scratch is deleted"


@pytest.mark.e2e
@needs_compiler
def test_a_run_that_is_stopped_keeps_what_it_has_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with start(out, "--fake", "--only", "sensor", "--minutes", "2") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "idle, context open" in line:
                process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1
    (stage,) = read(out / "results.json").stages
    assert (stage.ending, stage.why.splitlines()[0]) == ("cut", "stopped by SIGTERM")
    value = {figure.name: figure.value for figure in stage.figures}
    assert value["idle_without_context_watts"] is not None
    assert value["idle_with_context_watts"] is None


def test_on_a_machine_without_a_gpu_nothing_is_measured_and_it_says_what_to_do(tmp_path: Path) -> None:
    empty = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "validation", "--out", str(tmp_path), "--only", "sensor"]
    done = subprocess.run(command, cwd=ROOT, env=empty, capture_output=True, text=True, check=False)
    if "skipped" not in done.stderr:
        pytest.skip("there is a GPU here")
    assert done.returncode == 1
    assert "--fake shows that it runs" in done.stderr
    assert read(tmp_path / "results.json").stages[0].ending == "skipped"


@pytest.mark.parametrize(
    "arguments", [["--only", "sensors"], ["--servers", "llama,vllm"], ["--minutes", "0"], ["--minutes", "soon"], []]
)
def test_wrong_usage_is_told_before_anything_is_done(tmp_path: Path, arguments: list[str]) -> None:
    out = ["--out", str(tmp_path / "out")] if arguments else []
    command = [sys.executable, "-m", "validation", *out, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("endings", "code"),
    [(["done", "skipped"], 0), (["done", "failed"], 1), (["done", "cut"], 1), (["skipped"], 1), ([], 1)],
)
def test_the_status_says_whether_all_that_could_run_did(endings: list[str], code: int) -> None:
    results = [StageResult(RESULT.stage, ending, 0.0) for ending in endings]  # type: ignore[arg-type]
    assert status(results) == code
