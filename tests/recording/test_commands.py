"""`record`, and `--record` of `run`, `demo`, `simulate`: what they refuse, and a real recording that ends cleanly."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter.cli import main
from exporter.recording.recording import Recording


@pytest.mark.parametrize(
    "command",
    [["record", "--output"], ["run", "--record"], ["demo", "--record"], ["simulate", "--record"]],
    ids=lambda words: words[0],
)
def test_a_recording_that_is_there_is_refused_before_anything_starts(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r").write_text("precious")
    assert main([*command, str(tmp_path / "r")]) == 2
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "r").read_text() == "precious"


@pytest.mark.parametrize(
    ("flag", "value", "meant"),
    [
        ("--duration", "10", "such as"),
        ("--duration", "0s", "from 1s"),
        ("--max-size", "10", "such as 200MB"),
        ("--max-size", "many GB", "such as 200MB"),
        ("--max-size", "-1GB", "such as 200MB"),
    ],
)
def test_a_wrong_limit_is_wrong_usage(
    flag: str, value: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", "--output", str(tmp_path / "r"), f"{flag}={value}"]) == 2
    said = capsys.readouterr().err
    assert flag in said
    assert meant in said
    assert not (tmp_path / "r").exists()


def test_a_folder_that_is_not_there_fails_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["record", "--output", str(tmp_path / "none" / "r"), "--listen", "127.0.0.1:0"]
    assert main(arguments) == 1
    assert "No such file or directory" in capsys.readouterr().err


@pytest.mark.e2e
@pytest.mark.parametrize("command", [["record", "--output"], ["run", "--record"]], ids=lambda words: words[0])
def test_ctrl_c_completes_the_recording(command: list[str], tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    arguments = [sys.executable, "-m", "exporter", *command, str(path), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "serving metrics" in line:
                break
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20.0) == 0
    with Recording(path) as recording:
        assert list(recording.entries())
        assert not recording.cut


@pytest.mark.e2e
def test_a_recording_ends_when_its_time_is_up_and_can_be_replayed(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    record = [sys.executable, "-m", "exporter", "record", "--output", str(path), "--duration", "2s"]
    subprocess.run([*record, "--listen", "127.0.0.1:0"], check=True, capture_output=True, timeout=30)
    replay = [sys.executable, "-m", "exporter", "replay", str(path)]
    said = subprocess.run(replay, check=True, capture_output=True, text=True, timeout=30).stdout
    assert "joules" in said
    assert "cut off" not in said


@pytest.mark.e2e
def test_a_full_disk_is_a_recording_that_failed(tmp_path: Path) -> None:
    record = [sys.executable, "-m", "exporter", "record", "--output", "/dev/full", "--force", "--duration", "30s"]
    ended = subprocess.run(
        [*record, "--listen", "127.0.0.1:0"], check=False, capture_output=True, text=True, timeout=30, cwd=tmp_path
    )
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert ended.stderr.splitlines()[-1].endswith("it ends where writing failed")
