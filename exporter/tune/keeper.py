"""The keeper: a process whose only task is to put a device back when its tuner dies without doing so.

It is told which undo file, and holds the reading end of a pipe as its standard input. A tuner that has put everything
back says goodbye there; a tuner that dies closes it, because the kernel does. Should some child of the tuner have
inherited the other end, the keeper sees that its own parent has changed. It lives in a session of its own and ignores
what is sent to make it end, so whatever strikes the tuner and its process group does not strike it.

Before it says that it is ready it has loaded and initialised all that it will need: when the time comes, the disk may
be full or gone.
"""

import os
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from exporter import undo
from exporter.domain.errors import TuneError
from exporter.tune import nvml

READY = b"ready\n"
GOODBYE = b"goodbye\n"

PAUSES_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_LOOK_SECONDS = 1.0
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTSTP)


def main(arguments: Sequence[str]) -> int:
    """Wait for the tuner's end; then put back what the undo file says, unless it said goodbye.

    Args:
        arguments: the path of the undo file.
    """
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    try:
        (path,) = arguments
        kept = undo.read(Path(path))
        session = nvml.Session()
    except TuneError as error:
        os.write(sys.stdout.fileno(), f"{error}\n".encode())
        return 1
    os.chdir("/")
    os.write(sys.stdout.fileno(), READY)
    return 0 if _hears_goodbye(sys.stdin.fileno(), parent) else _put_back(kept, session)


def _hears_goodbye(pipe: int, parent: int) -> bool:
    heard = b""
    while os.getppid() == parent:
        if not select.select([pipe], [], [], _LOOK_SECONDS)[0]:
            continue
        piece = os.read(pipe, 64)
        heard += piece
        if not piece or heard.endswith(b"\n"):
            break
    return heard == GOODBYE


def _put_back(kept: undo.UndoFile, session: nvml.Session) -> int:
    try:
        nvml.put_back(kept.undo, session, PAUSES_SECONDS)
    except TuneError as error:
        _say(str(error))
        return 1
    kept.remove()
    _say(f"the tuner of {kept.undo.device} ended without putting back {kept.undo.words}; its keeper did")
    return 0


def _say(text: str) -> None:
    with suppress(OSError):  # whoever read our words may be gone too
        os.write(sys.stderr.fileno(), f"llm-energy-exporter: {text}\n".encode())
