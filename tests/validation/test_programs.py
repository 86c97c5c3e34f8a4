"""Programs are watched through their log and stopped for certain."""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.validation.stages import MACHINE
from validation.programs import Program, ProgramError, answers, free_port
from validation.stage import Room


def python(text: str, log: Path) -> Program:
    return Program([sys.executable, "-c", text], log)


def room(folder: Path, seconds: float = 20.0) -> Room:
    return Room(folder, folder, time.monotonic() + seconds, time.monotonic, time.sleep, MACHINE, lambda _: None)


def test_one_that_ends_when_asked_ended_gently(tmp_path: Path) -> None:
    program = python("import time; print('up', flush=True); time.sleep(60)", tmp_path / "log")
    program.await_ready(lambda: "up" in (tmp_path / "log").read_text(), room(tmp_path), 20.0)
    assert program.alive()
    assert program.stop()
    assert not program.alive()
    assert program.stop(), "it may be stopped again"


def test_one_that_is_deaf_is_killed_with_what_it_started(tmp_path: Path) -> None:
    deaf = (
        "import signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(subprocess.Popen(['sleep', '60']).pid, 'up', flush=True); time.sleep(60)"
    )
    program = python(deaf, tmp_path / "log")
    program.await_ready(lambda: "up" in (tmp_path / "log").read_text(), room(tmp_path), 20.0)
    child = int((tmp_path / "log").read_text().split()[0])
    assert not program.stop(0.1)
    assert _gone(child)


def _gone(pid: int) -> bool:
    """Within some time: whoever adopted it must reap it first."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_one_that_ends_too_early_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    program = python("print('no such model'); raise SystemExit(3)", tmp_path / "log")
    with pytest.raises(ProgramError, match=r"(?s)ended with status 3.*no such model"):
        program.await_ready(lambda: False, room(tmp_path), 20.0)


def test_one_that_is_never_ready_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    program = python("import time; time.sleep(60)", tmp_path / "log")
    with pytest.raises(ProgramError, match="not ready in time"):
        program.await_ready(lambda: False, room(tmp_path, 0.2), 20.0)
    program.stop()


def test_one_that_cannot_be_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="no-such-program cannot be run: No such file"):
        Program([str(tmp_path / "no-such-program")], tmp_path / "log")


def test_nobody_answers_at_a_free_port() -> None:
    assert not answers(f"http://127.0.0.1:{free_port()}/health")
