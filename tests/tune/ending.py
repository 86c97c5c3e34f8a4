"""Tuners of another process on fake boards, and the ways in which they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from exporter.tune.knob import KnobName
from exporter.tune.lock import holder
from tests.fakes.nvml import FakeNvml

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0


@contextmanager
def tuner(fake: FakeNvml, name: KnobName = "power_limit", *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A tuner that turns this knob until it is ended; has begun when it is given."""
    command = [sys.executable, "-m", "tests.tune.victim", name, *arguments]
    environment: Mapping[str, str] = {**os.environ, **fake.environment()}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until_says(process, "begins")
        yield process
    finally:
        process.kill()
        process.communicate()


def until_says(process: subprocess.Popen[str], word: str) -> None:
    """Read until it says this."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


def keeper_of(process: subprocess.Popen[str]) -> int | None:
    """The process id of a tuner's keeper, where it has one."""
    with suppress(OSError):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        return int(children[0]) if children else None
    return None


def kill(pid: int | None) -> None:
    """End a process at once, if it is there."""
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def until(holds: Callable[[], bool], what: str) -> None:
    """Look until it is so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, f"it never came: {what}"
        time.sleep(0.005)


def until_free(fake: FakeNvml) -> None:
    """Wait until neither tuner nor keeper holds the board."""
    until(lambda: holder(fake.gpus[0].uuid) is None, "a board that nobody holds")
