"""What is sent to a process to make it end, met at moments when it can."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Deferral:
    """Turns a signal into an exception: at once, or at the end of what is `deferred`.

    SIGINT becomes KeyboardInterrupt, the others SystemExit with the code that a shell shows (128 + number).
    """

    def __init__(self) -> None:
        self._depth = 0
        self._pending: int | None = None

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """The handler."""
        if self._depth:
            self._pending = number
        else:
            _raise(number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, signals wait. They are raised at the end, unless that is an exception anyway."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._pending is not None and not self._depth:
            number, self._pending = self._pending, None
            _raise(number)


@contextmanager
def signals_met() -> Iterator[Deferral]:
    """Meet signals while this lasts. Only a program's main thread can; in another thread nothing is changed."""
    deferral = Deferral()
    if threading.current_thread() is not threading.main_thread():
        yield deferral
        return
    before = {number: signal.signal(number, deferral.receive) for number in SIGNALS}
    try:
        yield deferral
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
