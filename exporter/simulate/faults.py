"""Faults that befall real fleets, one every so often, each told when it strikes. Metering must survive all of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Literal, get_args

from exporter.domain.units import Instant, later
from exporter.simulate.fleet import Fleet
from exporter.simulate.journal import Journal
from exporter.simulate.logfile import Rotation
from exporter.simulate.sensor import Sensor

FaultName = Literal["gpu-lost", "counter-reset", "counter-stuck", "log-rotation", "lost-lines", "server-restart"]
FAULTS: tuple[FaultName, ...] = get_args(FaultName)

LOST_SECONDS = 8.0
STUCK_SECONDS = 20.0
LOSING_SECONDS = 15.0
LOSS = 0.3
DOWN_SECONDS = 5.0

_ROTATIONS: tuple[Rotation, ...] = get_args(Rotation)


class Faults:
    """Strikes with each kind in turn, on each board or server in turn.

    Args:
        kinds: which, at least one. every_seconds: between two of them.
        fleet: what is struck. journals: its replicas' logs.
        begin: from when on.
        announce: told each strike in words.
    """

    def __init__(  # noqa: PLR0913 - what, how often, on whom, and who hears of it
        self,
        kinds: Sequence[FaultName],
        every_seconds: float,
        fleet: Fleet,
        journals: Sequence[Journal],
        *,
        begin: Instant,
        announce: Callable[[str], None],
    ) -> None:
        self._kinds = cycle(kinds)
        self._every = every_seconds
        self._fleet = fleet
        self._journals = journals
        self._next = later(begin, every_seconds)
        self._announce = announce
        self._struck: Counter[FaultName] = Counter()
        self._ends: list[tuple[Instant, Callable[[], None]]] = []
        self._strikes: dict[FaultName, Callable[[int, Instant], str]] = {
            "gpu-lost": self._lose_gpu,
            "counter-reset": self._reset_counter,
            "counter-stuck": self._stick_counter,
            "log-rotation": self._rotate,
            "lost-lines": self._lose_lines,
            "server-restart": self._restart,
        }

    def tick(self, now: Instant) -> None:
        """End what is over and begin what is due."""
        over = [end for end in self._ends if end[0] <= now]
        self._ends = [end for end in self._ends if end[0] > now]
        for _, undo in over:
            undo()
        if now >= self._next:
            self._next = later(now, self._every)
            self.strike(next(self._kinds), now)

    def strike(self, kind: FaultName, now: Instant) -> None:
        """Let one fault happen."""
        told = self._strikes[kind](self._struck[kind], now)
        self._struck[kind] += 1
        self._announce(f"fault {kind}: {told}")

    def _lose_gpu(self, number: int, now: Instant) -> str:
        board, at = self._board(number, now)
        self._sensors[board].lose(at, LOST_SECONDS)
        return f"SIMULATED-{board} does not answer for {LOST_SECONDS:g} s"

    def _reset_counter(self, number: int, now: Instant) -> str:
        board, at = self._board(number, now)
        self._sensors[board].reset(at)
        return f"the energy counter of SIMULATED-{board} begins anew"

    def _stick_counter(self, number: int, now: Instant) -> str:
        board, at = self._board(number, now)
        self._sensors[board].stick(at, STUCK_SECONDS)
        return f"the energy counter of SIMULATED-{board} stands still for {STUCK_SECONDS:g} s"

    def _rotate(self, number: int, _now: Instant) -> str:
        how = _ROTATIONS[number % len(_ROTATIONS)]
        for journal in self._journals:
            journal.rotate(how)
        return f"all logs are rotated by {how}"

    def _lose_lines(self, number: int, now: Instant) -> str:
        server = number % len(self._journals)
        self._journals[server].lose(LOSS)
        self._ends.append((later(now, LOSING_SECONDS), lambda: self._journals[server].lose(0.0)))
        return f"{LOSS:.0%} of the log lines of simulated-{server} are lost for {LOSING_SECONDS:g} s"

    def _restart(self, number: int, now: Instant) -> str:
        server = number % len(self._journals)
        self._fleet.crash(self._fleet.replicas[server], now, DOWN_SECONDS)
        back = later(now, DOWN_SECONDS)
        self._ends.append((back, lambda: self._journals[server].restarted(self._fleet.seconds(back))))
        return f"simulated-{server} dies with all its requests and is back in {DOWN_SECONDS:g} s"

    def _board(self, number: int, now: Instant) -> tuple[int, float]:
        return number % len(self._sensors), self._fleet.advance(now)

    @property
    def _sensors(self) -> Sequence[Sensor]:
        return [sensor for replica in self._fleet.replicas for sensor in replica.sensors]
