"""How a stage is ended from outside: somebody stops the program, or the stage is far past its time.

Both arrive as signals and become exceptions in the main thread, which no `except Exception` swallows. A stage that is
inside a library that never returns to Python cannot be ended so: what was found before it is on disk by then.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class CutError(BaseException):
    """Not an `Exception`: what a stage catches must not keep it alive."""


class StoppedError(CutError):
    """SIGTERM or Ctrl-C: all of it is to end now."""


class OvertimeError(CutError):
    """This stage is to end now, for others need the time."""


class Knife:
    """Turns signals into exceptions.

    Attributes:
        stopped: why all of it is to end; empty while it is not.
    """

    def __init__(self) -> None:
        self.stopped = ""

    @contextmanager
    def ready(self) -> Iterator["Knife"]:
        """While this lasts, signals of the process are ours."""
        ours = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGALRM: self._overtime}
        before = {number: signal.signal(number, handler) for number, handler in ours.items()}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        """Cut what runs in here once so much real time has passed."""
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _stop(self, number: int, _: FrameType | None) -> None:
        """The second of them finds nothing left to cut: results are being written."""
        if not self.stopped:
            self.stopped = f"stopped by {signal.Signals(number).name}"
            raise StoppedError(self.stopped)

    def _overtime(self, _: int, __: FrameType | None) -> NoReturn:
        raise OvertimeError("far past its time")
