"""What is sent to a process to make it end, met at moments when it can."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Deferral:
    """Turns a signal into an exception: at once, or at the end of what is `deferred`.

    SIGINT becomes KeyboardInterrupt, the others SystemExit with the code that a shell shows (128 + number).
    """

    def __init__(self) -> None:
        self._depth = 0
        self._pending: int | None = None

    def receive(self, number: int) -> None:
        """A signal has come."""
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
    """Meet signals while this lasts; within itself it is one and the same, so that no part interrupts another.

    What we were started to ignore stays ignored: SIGHUP under nohup, SIGINT in the background of a script. Only a
    program's main thread can meet signals: in another thread nothing is changed.
    """
    met = next((handler for handler in map(signal.getsignal, SIGNALS) if isinstance(handler, _Handler)), None)
    if threading.current_thread() is not threading.main_thread():
        yield Deferral()
    elif met is not None:
        yield met.deferral
    else:
        with _handled(Deferral()) as deferral:
            yield deferral


@dataclass(frozen=True, slots=True)
class _Handler:
    """A signal's handler."""

    deferral: Deferral

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.deferral.receive(number)


@contextmanager
def _handled(deferral: Deferral) -> Iterator[Deferral]:
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _Handler(deferral)) for number in heeded}
    try:
        yield deferral
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
