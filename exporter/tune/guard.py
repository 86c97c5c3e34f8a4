"""Whoever changes a device puts it back: on exit, on a crash, on a signal, and when killed.

Theory of operation. Four layers, each for what the one before cannot meet:

    normal end, exception         the tuner restores, on leaving `guarded`
    SIGINT, SIGTERM, SIGHUP       become exceptions, so the same; a change or a restore under way is finished first
    SIGKILL, a fault of memory    the keeper, a process of its own session that was started before the first change,
                                  notices that its pipe is closed and puts back (see keeper)
    both killed at once           the undo file, written through to the disk before the first change, is found by the
                                  next tuner, which puts back before it begins (see exporter/undo.py)

The order is always: lock, keeper, undo file (the keeper writes it), change. And at the end: put back, remove the undo
file, say goodbye to the keeper, unlock. The keeper inherits the lock, so nobody takes a changed setting for the one to
go back to. A tuner without its keeper does not go on: it notices before its next change, puts back and stops.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from typing import Protocol

from exporter import undo
from exporter.domain.errors import TuneError
from exporter.tune import keeper, nvml
from exporter.tune.knob import Knob, KnobName, KnobRange
from exporter.tune.lock import DeviceLock, locked
from exporter.tune.signals import Deferral, signals_met

_LEFT_ALONE: list["_Keeper"] = []
"""Keepers that go on without us: nobody waits for them, and none of them is taken for forgotten."""

_READY_SECONDS = 30.0
_GOODBYE_SECONDS = 10.0
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from exporter.tune import keeper; "
_START += "sys.exit(keeper.main(sys.argv[2:]))"


class Restorable(Knob, Protocol):
    """A knob that also says what a process without it must do to put it back."""

    @property
    def undo(self) -> undo.Undo:
        """How it was when the knob was opened."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a user should know before it is turned, a sentence each."""
        ...


@contextmanager
def tuned(name: KnobName, gpu: str) -> Iterator["Guarded"]:
    """A guarded knob of a device, all in order: the device is locked, what an earlier tuner left is put back.

    Raises:
        TuneError: another tuner holds the device, or something cannot be put back.
        KnobError: the device cannot be set.
    """
    device, uuid = nvml.find_board(gpu)
    with locked(uuid, device) as lock:
        put_back_left_over(lock)
        knob = nvml.open_knob(name, uuid)
        try:
            knob.check()
            with guarded(knob, lock) as guard:
                yield guard
        finally:
            knob.close()


@contextmanager
def guarded(knob: Restorable, lock: DeviceLock) -> Iterator["Guarded"]:
    """The knob, in such a way that it is put back however this ends.

    Raises:
        TuneError: it could not be put back: says which command does it.
    """
    with signals_met() as signals:
        guard = Guarded(knob, lock, signals)
        try:
            yield guard
        finally:
            guard.release()


def put_back_first(uuid: str, device: str) -> Sequence[str]:
    """Before a device is even looked at: put back what killed tuners left on it; a sentence for each.

    Raises:
        TuneError: it cannot be put back, or a tuner is at work on it.
    """
    if not any(path.name == f"{uuid}{undo.SUFFIX}" for path in undo.left_over()):
        return ()
    with locked(uuid, device) as lock:
        return put_back_left_over(lock)


def put_back_left_over(lock: DeviceLock) -> Sequence[str]:
    """Put back what tuners of the locked device left that were killed with their keepers; a sentence for each.

    Raises:
        TuneError: it cannot be put back.
    """
    paths = [path for path in undo.left_over() if path.name == f"{lock.uuid}{undo.SUFFIX}"]
    return [_put_back(undo.read(path)) for path in paths]


def restore_all() -> Iterator[str]:
    """Put back whatever killed tuners have left, on every device, and leave those that run alone.

    Yields:
        A sentence for each.

    Raises:
        TuneError: some could not be put back; the others were.
    """
    problems = []
    for path in undo.left_over():
        try:
            yield _restore(undo.read(path))
        except TuneError as error:
            problems.append(str(error))
    if problems:
        raise TuneError("; ".join(problems))


def _restore(file: undo.UndoFile) -> str:
    with ExitStack() as held:
        try:
            held.enter_context(locked(file.undo.uuid, file.undo.device))
        except TuneError as error:
            return f"left alone: {error}"
        if not file.path.exists():
            return f"its keeper has just put back {file.undo.words}"
        return _put_back(file)


def _put_back(file: undo.UndoFile) -> str:
    if file.forgotten:
        file.remove()
        return f"{file.undo.device}: the machine was started anew since it was tuned, which put everything back"
    session = nvml.Session()
    try:
        nvml.put_back(file.undo, session)
    finally:
        session.close()
    file.remove()
    return f"put back: {file.undo.words}, as its tuner was killed"


class Guarded:
    """A knob that is put back. It is a knob itself."""

    def __init__(self, knob: Restorable, lock: DeviceLock, signals: Deferral) -> None:
        self._knob = knob
        self._lock = lock
        self._signals = signals
        self._keeper: _Keeper | None = None

    @property
    def name(self) -> KnobName:
        """What is turned."""
        return self._knob.name

    @property
    def device(self) -> str:
        """Whose."""
        return self._knob.device

    @property
    def uuid(self) -> str:
        """The vendor's identity of the device."""
        return self._knob.uuid

    @property
    def notes(self) -> Sequence[str]:
        """What a user should know before it is turned, a sentence each."""
        return self._knob.notes

    def range(self) -> KnobRange:
        """What it can be set to."""
        return self._knob.range()

    def set(self, setting: int) -> None:
        """Turn it; the first time an undo file and a keeper are there before.

        Raises:
            TuneError: the keeper is gone (the setting was put back), or cannot be had (nothing was changed).
        """
        with self._signals.deferred():
            if self._keeper is None:
                self._arm()
            elif not self._keeper.lives():
                self._stop(self._keeper)
            self._knob.set(setting)

    def restore(self) -> None:
        """Put it back, and stay on guard."""
        with self._signals.deferred():
            if self._keeper is not None:
                self._knob.restore()

    def release(self) -> None:
        """Put it back and send the keeper home. Where that fails the keeper goes on trying, and the undo file stays."""
        with self._signals.deferred():
            kept, self._keeper = self._keeper, None
            if kept is None:
                return
            try:
                self._knob.restore()
            except BaseException:
                kept.hang_up()
                _LEFT_ALONE.append(kept)
                raise
            self._forget()
            kept.dismiss()

    def _arm(self) -> None:
        try:
            self._keeper = _Keeper(self._knob.undo, self._lock)
        except TuneError:
            self._forget()
            raise

    def _stop(self, gone: "_Keeper") -> None:
        self.release()
        raise TuneError(
            f"the keeper of {self.device} (process {gone.pid}) was killed: {self._knob.undo.words} was put back, and "
            "nothing more is tried without one"
        )

    def _forget(self) -> None:
        undo.file_of(self._lock.directory, self._knob.undo).remove()


class _Keeper:
    """The keeper's process, as its tuner sees it.

    Raises:
        TuneError: it cannot start.
    """

    def __init__(self, kept: undo.Undo, lock: DeviceLock) -> None:
        told = [str(lock.directory), json.dumps(asdict(kept)), str(os.getpid())]
        command = [sys.executable, "-c", _START, json.dumps(sys.path), *told]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this very interpreter, and a path of ours
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                pass_fds=(lock.descriptor,),
            )
        except OSError as error:
            raise TuneError(f"no keeper can be started ({error.strerror}): nothing was changed") from error
        self.pid = self._process.pid
        self._wait_until_ready()

    def lives(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def dismiss(self) -> None:
        """Say goodbye, and see it go."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it is gone already
            self._process.stdin.write(keeper.GOODBYE)
            self._process.stdin.flush()
        self.hang_up()
        try:
            self._process.wait(_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def hang_up(self) -> None:
        """Close the pipe, which the keeper takes for our death unless we said goodbye."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def _wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _READY_SECONDS)
        said = self._process.stdout.readline().decode().strip() if ready else "it does not answer"
        self._process.stdout.close()
        if said != keeper.READY:
            self._process.kill()
            self._process.wait()
            self.hang_up()
            raise TuneError(f"no keeper can be started ({said or 'it died'}): nothing was changed")
