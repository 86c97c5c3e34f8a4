"""Programs that tests start, and that end with them: however a test ends, and if it is killed itself."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.web import wait_until

STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


@contextmanager
def running_program(
    command: Sequence[str],
    ready: Callable[[], bool],
    *,
    log: Path,
    errors: Path | None = None,
    env: Mapping[str, str] | None = None,
    seconds: float = 20.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a program in the main thread, and yields it when it is `ready`; its whole process group ends with it.

    Args:
        command: the program and its arguments.
        ready: whether it is.
        log: where its standard output goes. errors: where its standard error goes; None: into the same file.
        env: its environment; None: ours.
        seconds: how long it may take to become ready.
    """
    errors = errors or log
    with log.open("ab") as out, errors.open("ab") as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=env,
            start_new_session=True,
            preexec_fn=_dying_with_us(),  # noqa: PLW1509 - a single system call, prepared before the fork
        )
    try:
        wait_until(lambda: process.poll() is not None or ready(), seconds, f"{command[0]} is ready")
        assert process.poll() is None, f"{command[0]} ended with status {process.returncode}: {_end_of(errors)}"
        yield process
    finally:
        _stop(process)


def _dying_with_us() -> Callable[[], None]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:  # not yet reaped, so the group id is still its own
            os.killpg(process.pid, kind)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def _end_of(file: Path) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-15:])
