"""Programs that are started, watched through their log, and stopped for certain.

For certain: whoever starts one stops its whole process group; and should this process be killed outright, Linux kills
the program (PR_SET_PDEATHSIG), which ties it to the thread that started it: start programs in the main thread.
"""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from validation.stage import Room

STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.1
_SHOWN_LINES = 12
_PR_SET_PDEATHSIG = 1


class ProgramError(Exception):
    """It cannot be started, or ended too early, or is not ready in time; with the end of its log."""


class Program:
    """A process of its own, in a group of its own, whose output goes to `log`.

    Args:
        command: what to run. log: where its output goes. environment: its own; None: ours. folder: where it runs.

    Raises:
        ProgramError: it cannot be run.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name, self.log = Path(command[0]).name, log
        with log.open("ab") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - what is run was found or named by whoever started us
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd=folder,
                    start_new_session=True,
                    preexec_fn=dying_with_us(),  # noqa: PLW1509 - one system call, prepared before the fork
                )
            except OSError as error:
                raise ProgramError(f"{command[0]} cannot be run: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def how_it_ended(self) -> str:
        """In words, with the end of its log."""
        status = self._process.poll()
        if status is None:
            return f"{self.name} runs{self.end_of_log()}"
        if status < 0:
            return f"{self.name} was ended by {signal.Signals(-status).name}{self.end_of_log()}"
        return f"{self.name} ended with status {status}{self.end_of_log()}"

    def end_of_log(self) -> str:
        """Its last lines, to be put after a sentence."""
        lines = self.log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:] if self.log.is_file() else []
        return "; the end of its log:\n" + "\n".join(f"    {line[:240]}" for line in lines) if lines else ""

    def await_ready(self, ready: Callable[[], bool], room: Room, seconds: float) -> None:
        """Wait until it is ready.

        Raises:
            ProgramError: it ended first, or is not ready in so many seconds or by the room's deadline.
        """
        until = min(room.now() + seconds, room.deadline)
        while not ready():
            if not self.alive():
                raise ProgramError(self.how_it_ended())
            if room.now() >= until:
                raise ProgramError(f"{self.name} was not ready in time{self.end_of_log()}")
            room.wait(_LOOK_SECONDS)

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Ask it to end, and kill it where it has not in so many seconds; whether it ended by itself."""
        gently = self._signalled(signal.SIGTERM, seconds)
        if not gently:  # not yet reaped, so the group's number is still its own
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        return gently

    def _signalled(self, number: signal.Signals, seconds: float) -> bool:
        if self._process.poll() is None:
            os.kill(self._process.pid, number)
        try:
            return self._process.wait(seconds) is not None
        except subprocess.TimeoutExpired:
            return False


def dying_with_us() -> Callable[[], None]:
    """To be called in a child before it becomes a program: Linux kills it when the thread that started it ends."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """One of this machine's own, for now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Whether a GET of it is answered with 200."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=2)  # knows no proxy, unlike urllib
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
