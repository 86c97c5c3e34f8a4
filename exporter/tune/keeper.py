"""The keeper: a process whose only task is to put a device back when its tuner dies without doing so.

It is told what to put back, writes the undo file, and holds the reading end of a pipe as its standard input. A tuner
that has put everything back says goodbye there; a tuner that dies closes it, because the kernel does. Should some child
of the tuner have inherited the other end, the keeper sees that its own parent has changed. It lives in a session of its
own and ignores what is sent to make it end, so what strikes the tuner and its process group does not strike it.

Before it says that it is ready, and so before anything is changed, the undo file is on the disk, and all that it will
need is loaded and initialised: when the time comes, the disk may be full or gone.
"""

import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from exporter import undo
from exporter.domain.errors import TuneError
from exporter.tune import nvml

READY = "ready"
GOODBYE = b"goodbye\n"

PAUSES_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_LOOK_SECONDS = 1.0
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTSTP)


def main(arguments: Sequence[str]) -> int:
    """Write the undo file and wait for the tuner's end; then put back, unless it said goodbye.

    Args:
        arguments: the runtime directory, what to put back (Undo) as JSON, and the tuner's process id.
    """
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    directory, told, tuner = arguments
    try:
        session = nvml.Session()
        kept = undo.write(Path(directory), undo.Undo(**json.loads(told)))
    except TuneError as error:
        _say(str(error), sys.stdout)
        return 1
    os.chdir("/")
    _say(READY, sys.stdout)
    return 0 if _hears_goodbye(sys.stdin.fileno(), int(tuner)) else _put_back(kept, session)


def _hears_goodbye(pipe: int, tuner: int) -> bool:
    heard = b""
    while os.getppid() == tuner:
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
        _say(f"llm-energy-exporter: {error}", sys.stderr)
        return 1
    kept.remove()
    text = f"the tuner of {kept.undo.device} ended without putting back {kept.undo.words}; its keeper did"
    _say(f"llm-energy-exporter: {text}", sys.stderr)
    return 0


def _say(text: str, to: TextIO) -> None:
    with suppress(OSError):  # whoever reads our words may be gone, which must not keep us from our task
        os.write(to.fileno(), f"{text}\n".encode())
