"""Telling the exporter, in a thread of its own, at no cost to the program.

Theory of operation. Whoever opens or closes a window puts a note on a queue and goes on. The queue's `put` takes no
lock of ours and may be interrupted by itself (signal handlers, finalisers). One thread, started with the first note,
lets notes gather for a moment and posts them as lines. A start whose window is over by then is not told: the whole
says it.

What fails for a while (nobody listens, 503) is tried again with growing pauses; what is refused for good is lost and
counted. While the exporter is away notes pile up to a bound; beyond it the oldest are lost and counted. A note that
was heard although its answer was lost is a duplicate for the exporter, by its id, and changes nothing.

A fork leaves the child a queue without a thread: the child begins with a sender of its own, and what its parent had
queued stays the parent's.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

from exporter.client.link import EVENTS, UNREACHABLE, Answer, Link

LINGER_SECONDS = 0.05
"""For so long notes gather before they are posted."""
MOST_LINES = 500
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
HURRIED_PAUSE_SECONDS = 0.1
"""Between tries while somebody waits in `flush`."""
_LAST_WORDS_SECONDS = 0.2
_TRY_AGAIN = frozenset({UNREACHABLE, 408, 429, 500, 502, 503, 504})


class Tellable(Protocol):
    """Something of which a start and, once it is over, the whole is told. `lost`: as `lose` was told."""

    lost: str

    def line(self, *, whole: bool) -> str | None:
        """The JSON to send; None where nothing needs to be said.

        Raises:
            ValueError: it holds what cannot be told; says what.
        """
        ...

    def lose(self, why: str) -> None:
        """The exporter will never know the whole of it."""
        ...


class Note(NamedTuple):
    """What is to be told of whom."""

    of: Tellable
    whole: bool


class _Mark:
    """Set when everything before it has been told or lost."""

    def __init__(self, *, stop: bool = False) -> None:
        self.reached = threading.Event()
        self.stop = stop


class Sender:
    """The queue and its thread.

    Attributes:
        dropped: windows, or pieces of one, that the exporter will never know of.
        problem: why the latest post failed; empty while all is well.
    """

    def __init__(self, link: Link | None, most: int, warn: Callable[[str, str], None]) -> None:
        """Begin with nothing to tell.

        Args:
            link: to the exporter; None: nothing is told.
            most: notes that wait at most.
            warn: called with a kind of trouble and a sentence; says each kind once.
        """
        self.dropped = 0
        self.problem = ""
        self._link = link
        self._most = most
        self._warn = warn
        self._queue: SimpleQueue[Note | _Mark] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        self._hurry = threading.Event()
        self._hurried = 0
        self._closed = self._abandoned = False
        self._in_hand: Sequence[Note] = ()

    # --- the program's side ----------------------------------------------------------------------------------------

    def put(self, note: Note) -> None:
        """Tell it some time soon. Never waits, never raises."""
        if self._link is None:
            return
        if self._closed:
            self._lose([note], "the client was closed before")
            return
        if self._queue.qsize() >= self._most:
            self._make_room()
        self._queue.put(note)
        if self._thread is None:
            self._start()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was put before has been told or lost; False where that takes longer."""
        if self._thread is None:
            return True
        mark = _Mark()
        return self._hurry_to(mark, timeout)

    def close(self, timeout: float) -> bool:
        """Tell what can be told in this time, and lose the rest."""
        self._closed = True
        thread = self._thread
        if thread is None:
            return True
        done = self._hurry_to(_Mark(stop=True), timeout)
        self._abandoned = True
        self._hurry.set()
        thread.join(_LAST_WORDS_SECONDS)
        if thread.is_alive():  # in the middle of a post, which may take longer than anybody waits
            self._lose([*self._in_hand, *self._left()], self.problem or "the client was closed before it was told")
            self._queue.put(_Mark(stop=True))
        return done

    def _left(self) -> Iterator[Note]:
        with suppress(Empty):
            while True:
                one = self._queue.get_nowait()
                if isinstance(one, Note):
                    yield one

    def _hurry_to(self, mark: _Mark, timeout: float) -> bool:
        with self._lock:
            self._hurried += 1
            self._hurry.set()
        try:
            self._queue.put(mark)
            return mark.reached.wait(max(timeout, 0.0))
        finally:
            with self._lock:
                self._hurried -= 1
                if not self._hurried:
                    self._hurry.clear()

    def _make_room(self) -> None:
        try:
            oldest = self._queue.get_nowait()
        except Empty:
            return
        if isinstance(oldest, _Mark):
            self._queue.put(oldest)
        else:
            self._lose([oldest], f"more than {self._most} notes were waiting for the exporter")

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, args=(self._link,), name="energy-windows", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is ending
                self._closed = True
                self._warn("thread", f"no window is told any more: {error}")
                return
            self._thread = thread

    def _lose(self, notes: Sequence[Note], why: str) -> None:
        lost = [note.of for note in notes if note.whole and not note.of.lost]
        if not lost:
            return
        for one in lost:
            one.lose(why)
        with self._lock:
            self.dropped += len(lost)
        self._warn("dropped", f"windows will not be known to the exporter, from now on they are only counted: {why}")

    # --- the thread's side -----------------------------------------------------------------------------------------

    def _run(self, link: Link) -> None:
        stop = False
        while not stop:
            notes, mark = self._gather()
            self._survive(notes, link)
            if mark is not None:
                mark.reached.set()
                stop = mark.stop
        link.close()

    def _gather(self) -> tuple[list[Note], _Mark | None]:
        """The next notes, at least one or a mark, which ends them."""
        one = self._queue.get()
        self._hurry.wait(LINGER_SECONDS)
        notes: list[Note] = []
        while isinstance(one, Note):
            notes.append(one)
            if len(notes) == MOST_LINES:
                return notes, None
            try:
                one = self._queue.get_nowait()
            except Empty:
                return notes, None
        return notes, one

    def _survive(self, notes: Sequence[Note], link: Link) -> None:
        self._in_hand = notes
        try:
            self._tell(notes, link)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not end metering, nor show in the program
            self._lose(notes, f"a bug of the client: {type(error).__name__}: {error}")
        self._in_hand = ()

    def _tell(self, notes: Sequence[Note], link: Link) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            told, lines = self._lines(notes)
            if not lines:
                return
            answer = link.post(EVENTS, "\n".join(lines).encode())
            if answer.status not in _TRY_AGAIN:
                self._settle(told, answer)
                return
            self._note_trouble(answer)
            if self._abandoned:
                self._lose(told, self.problem)
                return
            self._pause(max(pause, answer.retry_after_seconds))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _lines(self, notes: Sequence[Note]) -> tuple[list[Note], list[str]]:
        told: list[Note] = []
        lines: list[str] = []
        for note in notes:
            try:
                line = note.of.line(whole=note.whole)
            except (ValueError, TypeError) as error:
                self._lose([note], str(error))
                continue
            if line is not None:
                told.append(note)
                lines.append(line)
        return told, lines

    def _settle(self, told: Sequence[Note], answer: Answer) -> None:
        """What became of notes whose fate is known."""
        refused = _refused(answer)
        if refused is None:
            self.problem = _words(answer)
            self._lose(told, self.problem)
            return
        self.problem = ""
        for number, why in refused.items():
            if number <= len(told):
                self._lose([told[number - 1]], f"the exporter refused it: {why}")

    def _note_trouble(self, answer: Answer) -> None:
        self.problem = _words(answer)
        self._warn("trouble", f"windows cannot be told for now; the program goes on, and they are kept: {self.problem}")

    def _pause(self, seconds: float) -> None:
        if self._hurry.wait(min(seconds, LONGEST_PAUSE_SECONDS)):
            time.sleep(min(seconds, HURRIED_PAUSE_SECONDS))


def _refused(answer: Answer) -> dict[int, str] | None:
    """Lines that were refused and why, by number; None where this is no exporter's answer that took any."""
    import json  # noqa: PLC0415 - the program's own start need not wait for it

    try:
        said = json.loads(answer.text)
        return {int(one["line"]): str(one["error"]) for one in said["rejected"]}
    except (ValueError, TypeError, KeyError):
        return None


def _words(answer: Answer) -> str:
    return answer.words if answer.status == UNREACHABLE else f"it {answer.words}"
