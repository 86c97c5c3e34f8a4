"""The source, and its pace."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from exporter.domain.errors import SourceError
from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.domain.settings import PowerSettings
from exporter.domain.units import Instant, Joules, Watts, later
from exporter.power.dcgm.asking import Asker, AskError
from exporter.power.dcgm.choosing import choose
from exporter.power.dcgm.page import Board, BoardKey, boards, is_of_dcgm_exporter

SLOWEST_POLL_SECONDS = 1.0
FASTEST_POLL_SECONDS = 0.25
"""Each question makes dcgm-exporter write its whole page, and with pods ask the kubelet."""
_POLLS_A_PERIOD = 4.0
_EARLY = 0.9
"""A question this share of a pause after the last is on time: the sampler looks in on its own grid."""

POWER_WINDOW_SECONDS = 1.0
"""DCGM reads NVML's power usage, a mean over the last second on most boards of today; on which, it does not say."""

_FROZEN_PERIODS = 4.0
_FROZEN_SECONDS = 120.0
"""No board draws nothing: a page on which nothing changes for so long is of a dcgm-exporter whose DCGM hangs."""
_STILL_PERIODS = 1.5
"""A power that has not changed for so long is the same anew."""

CLOSED = "closed"
"""Reason of a reading asked for after `close`."""

FIELDS_HINT = (
    "its CSV of counters must have `DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION, counter, ...` and "
    "`DCGM_FI_DEV_POWER_USAGE, gauge, ...`, as the one that comes with it has; after a start its first values take a "
    "while: see power.dcgm.wait"
)

_log = logging.getLogger(__name__)


class DcgmSource:
    """The chosen boards of one host's dcgm-exporter. Not thread-safe: one thread reads and closes.

    Args:
        settings: where it is asked and which boards are meant (`settings.dcgm`, `settings.gpus`).
        now: the present instant.
        wait: lets so many seconds pass.

    Raises:
        SourceError: there is no page, or it does not tell of the boards that are meant.
    """

    def __init__(
        self, settings: PowerSettings, now: Callable[[], Instant], wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._now = now
        self._asker = Asker(settings.dcgm)
        try:
            chosen = self._found(settings, wait)
        except SourceError:
            self._asker.close()
            raise
        self._devices = {board.key: _device(board, settings.dcgm.collect_seconds) for board in chosen}
        self._watch = _Watch(settings.dcgm.collect_seconds)
        self._due = now()
        self._trouble = ""
        self._closed = False

    @property
    def devices(self) -> Sequence[Device]:
        """The chosen boards, by index."""
        return tuple(self._devices.values())

    def read(self) -> Sequence[Reading]:
        """What the page says, if it is time to ask; else nothing."""
        before = self._now()
        if self._closed:
            return self._failures(before, CLOSED)
        if before < self._due:
            return []
        self._due = later(before, _EARLY * self._watch.pause_seconds(before))
        try:
            there = _told(self._asker)
        except AskError as error:
            self._complain(error.reason, f"{error}{f' ({error.hint})' if error.hint else ''}")
            return self._failures(before, error.reason)
        return self._readings(there, Instant((before + self._now()) / 2))

    def close(self) -> None:
        """Let the connection go."""
        self._closed = True
        self._asker.close()

    def _found(self, settings: PowerSettings, wait: Callable[[float], None]) -> list[Board]:
        """The boards that are meant, as soon as all of them tell their energy, or when waiting is over."""
        until = later(self._now(), settings.dcgm.wait_seconds)
        while True:
            try:
                chosen = _metered(choose(_told(self._asker).values(), settings.dcgm, settings.gpus, self._asker.url))
                if all(board.joules is not None for board in chosen) or self._now() >= until:
                    return chosen
            except AskError as error:
                if self._now() >= until:
                    raise SourceError(str(error), error.hint) from error
            except SourceError:
                if self._now() >= until:
                    raise
            wait(SLOWEST_POLL_SECONDS)

    def _readings(self, there: Mapping[BoardKey, Board], at: Instant) -> list[Reading]:
        mine = {key: there[key] for key in self._devices if key in there}
        self._watch.look(at, {key: (board.joules, board.watts) for key, board in mine.items()})
        if not mine:
            hosts = ", ".join(sorted({board.host for board in there.values()} - {""}))
            other = f"; it tells of host {hosts}: a Service must lead to its own node's dcgm-exporter" if hosts else ""
            self._complain("not_listed", f"{self._asker.url} tells of none of our GPUs{other}")
            return self._failures(at, "not_listed")
        if self._watch.frozen(at):
            self._complain("frozen", f"{self._asker.url} has told the same for minutes: does its DCGM hang?")
            return self._failures(at, "frozen")
        self._complain("", f"{self._asker.url} answers again")
        return [reading for key, device in self._devices.items() for reading in self._of(device, mine.get(key), at)]

    def _of(self, device: Device, board: Board | None, at: Instant) -> list[Reading]:
        """Power first: the meter bridges with it where the counter was reset."""
        if board is None:
            return [ReadFailure(device.name, at, "not_listed")]
        readings: list[Reading] = []
        if board.watts is not None and self._watch.is_new(at):
            readings.append(PowerReading(device.name, at, Watts(board.watts)))
        if device.has_counter and board.joules is not None:
            readings.append(CounterReading(device.name, at, Joules(board.joules)))
        elif device.has_counter or board.watts is None:
            readings.append(ReadFailure(device.name, at, "no_value"))
        return readings

    def _failures(self, at: Instant, reason: str) -> list[Reading]:
        return [ReadFailure(device.name, at, reason) for device in self._devices.values()]

    def _complain(self, trouble: str, text: str) -> None:
        """Say once what is wrong, and once that it is not any more."""
        if trouble != self._trouble:
            (_log.warning if trouble else _log.info)("%s", text)
        self._trouble = trouble


class _Watch:
    """When dcgm-exporter collected, as its page shows."""

    def __init__(self, expected_seconds: float) -> None:
        self._expected = expected_seconds
        self._page: Mapping[BoardKey, tuple[float | None, float | None]] = {}
        self._changed: Instant | None = None
        self._told: Instant | None = None
        self._gap = 0.0
        self._warned = False

    def pause_seconds(self, now: Instant) -> float:
        """Until the next question: a fraction of the time between collections, as far as it is known."""
        since = now - self._changed if self._changed is not None else 0.0
        return min(max(max(self._gap, since) / _POLLS_A_PERIOD, FASTEST_POLL_SECONDS), SLOWEST_POLL_SECONDS)

    def look(self, at: Instant, page: Mapping[BoardKey, tuple[float | None, float | None]]) -> None:
        """The page as it was found."""
        new = any(self._page.get(key) != told for key, told in page.items())
        if new:
            self._note_gap(at)
            self._changed = at
        if new or self._told is None or at - self._told >= _STILL_PERIODS * max(self._gap, self._expected):
            self._told = at
        self._page = {**self._page, **page}

    def is_new(self, at: Instant) -> bool:
        """Whether what was found at this look is a collection that was not told before."""
        return self._told == at

    def frozen(self, at: Instant) -> bool:
        """Whether no energy counter has moved for longer than can be; power alone may stay the same for long."""
        if all(joules is None for joules, _ in self._page.values()):
            return False
        longest = max(_FROZEN_SECONDS, _FROZEN_PERIODS * max(self._gap, self._expected))
        return self._changed is not None and at - self._changed > longest

    def _note_gap(self, at: Instant) -> None:
        if self._changed is None:
            return
        before, self._gap = self._gap, at - self._changed
        if min(before, self._gap) > 1.2 * self._expected and not self._warned:
            self._warned = True
            _log.warning(
                "dcgm-exporter collects every %.0f s: set power.dcgm.collect_interval to that, or have it collect more "
                "often (--collect-interval, in ms)",
                self._gap,
            )


def _told(asker: Asker) -> dict[BoardKey, Board]:
    """Every board that the page tells of.

    Raises:
        AskError: there is no page, or it tells of none.
    """
    page = asker.ask()
    there = boards(page)
    if not there and not is_of_dcgm_exporter(page):
        raise AskError("unreadable", f"{asker.url} is no page of dcgm-exporter", "its page is at port 9400, /metrics")
    if not there:
        raise AskError("no_fields", f"{asker.url} tells neither energy nor power of any GPU", FIELDS_HINT)
    return there


def _metered(chosen: Sequence[Board]) -> list[Board]:
    telling = [board for board in chosen if board.joules is not None or board.watts is not None]
    if not telling:
        raise SourceError("the page tells neither energy nor power of the chosen GPUs: all is blank", FIELDS_HINT)
    return telling


def _device(board: Board, period_seconds: float) -> Device:
    return Device(
        name=f"gpu{board.index}",
        kind="gpu",
        uuid=board.uuid,
        model=board.model or "NVIDIA GPU",
        has_counter=board.joules is not None,
        power_window_seconds=POWER_WINDOW_SECONDS,
        limit_watts=board.most_watts,
        driver=board.driver,
        power_limit_watts=board.let_watts,
        period_seconds=period_seconds,
    )
