"""NVIDIA GPUs, through NVML.

Theory of operation. Each board is asked once at the start what it answers; architectures are no guide, since boards
behind a vGPU refuse what their bare siblings give. Where the energy counter answers, a read is that one call, because
NVML calls hold the driver's lock and steal time from the very server we measure; power is then read only every few
reads, for the cross-check and the gauge. Where it does not answer, power is read every time.

What the power reading means differs. `nvmlDeviceGetPowerUsage` is a mean over the last second on Ada, Hopper and most
of Ampere, so the field POWER_INSTANT is preferred wherever it answers, and `Device.power_window_seconds` says which
window the reading has (Yang, Adamek, Armour, SC24, arXiv 2312.02741).

MIG: NVML counts boards, and their instances share the board's power; an instance chosen by its UUID means its board.

A call may fail once, for a while or for good, so a failure changes nothing. When all boards have been silent for some
seconds NVML is shut down and initialised again, with back-off: after a driver reload nothing else helps.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import pynvml

from exporter.domain.errors import SourceError
from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.domain.settings import PowerSettings
from exporter.domain.units import Instant, Joules, Watts, later
from exporter.power.boards import Found, reason, refusal, select, text, visible

SILENCE_SECONDS = 10.0
"""How long every board must be silent before NVML itself is suspected."""

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0

CLOSED = "closed"
"""Reason of a reading asked for after `close`."""

_REFUSALS = frozenset({2, 3, 4, 13, 26})
"""A clear no: this board will never answer this question. Any other error may pass."""

_POWER_INSTANT = 186
_SCOPE_GPU, _SCOPE_MODULE = 0, 1
_PASCAL, _VOLTA, _TURING, _HOPPER = 4, 5, 6, 9
_UNKNOWN_ARCHITECTURE = 0xFFFFFFFF
_GA100 = re.compile(r"\bA100|\bA(?:800|30)\b")

_log = logging.getLogger(__name__)

Meter = Literal["usage", "instant", "module"]


def _instant_watts(handle: Any, scope: int) -> float:
    value = pynvml.nvmlDeviceGetFieldValues(handle, [(_POWER_INSTANT, scope)])[0]
    if value.nvmlReturn:
        raise pynvml.NVMLError(value.nvmlReturn)
    return float(value.value.uiVal) / 1e3


_METERS: Mapping[Meter, Callable[[Any], float]] = {
    "usage": lambda handle: float(pynvml.nvmlDeviceGetPowerUsage(handle)) / 1e3,
    "instant": lambda handle: _instant_watts(handle, _SCOPE_GPU),
    "module": lambda handle: _instant_watts(handle, _SCOPE_MODULE),
}


@dataclass(slots=True, eq=False)
class _Board:
    """One board. `handle` is None while it cannot be found, and `absent` says why."""

    device: Device
    meter: Meter | None
    handle: Any
    absent: str = ""
    counts: bool = field(init=False)
    metered: bool = field(init=False)

    def __post_init__(self) -> None:
        self._expect_answers()

    def find_again(self) -> None:
        """Look the handle up anew: those from before NVML was shut down are dead."""
        try:
            self.handle = pynvml.nvmlDeviceGetHandleByUUID(self.device.uuid)
        except pynvml.NVMLError as error:
            self.lose(reason(error))
        self._expect_answers()

    def lose(self, reason: str) -> None:
        """Without a handle, and why."""
        self.handle = None
        self.absent = reason

    def _expect_answers(self) -> None:
        self.counts = self.device.has_counter
        self.metered = self.meter is not None


class _Patience:
    """When to suspect NVML itself, and how soon again. Silence begins with a read that no board answered."""

    def __init__(self) -> None:
        self.answered()

    def answered(self) -> None:
        """Some board answered."""
        self._next_try: Instant | None = None
        self._back_off = FIRST_RETRY_SECONDS

    def is_over(self, at: Instant) -> bool:
        """No board answered at this instant: whether to start over now. If so, the next time is further off."""
        if self._next_try is None:
            self._next_try = later(at, SILENCE_SECONDS)
        if at < self._next_try:
            return False
        self._next_try = later(at, self._back_off)
        self._back_off = min(2 * self._back_off, LAST_RETRY_SECONDS)
        return True


class NvmlSource:
    """The selected boards of this machine. Not thread-safe: one thread reads and closes.

    Args:
        settings: which boards (`settings.gpus`).
        now: the present instant.
        power_every: with a counter, read power at every so many reads.

    Raises:
        SourceError: no driver, no board, or a selector that fits none.
    """

    def __init__(self, settings: PowerSettings, now: Callable[[], Instant], *, power_every: int = 4) -> None:
        self._now = now
        self._power_every = power_every
        self._reads = 0
        self._closed = False
        self._initialised = False
        self._initialise_or_explain()
        try:
            self._boards = [_open(found) for found in select(visible(), settings.gpus)]
            self._boards = _with_answers(self._boards)
        except SourceError:
            self._shut_down()
            raise
        self._devices = tuple(board.device for board in self._boards)
        self._patience = _Patience()

    @property
    def devices(self) -> Sequence[Device]:
        """The selected boards, by NVML index."""
        return self._devices

    def read(self) -> Sequence[Reading]:
        """Ask every board once. A failed cross-check of power is told beside the counter, whose reading stands."""
        if self._closed:
            return [ReadFailure(device.name, self._now(), CLOSED) for device in self._devices]
        cross_check = self._reads % self._power_every == 0
        self._reads += 1
        readings: list[Reading] = []
        for board in self._boards:
            self._ask(board, readings, cross_check=cross_check)
        if any(not isinstance(reading, ReadFailure) for reading in readings):
            self._patience.answered()
        elif self._patience.is_over(self._now()):
            self._start_over()
        return readings

    def close(self) -> None:
        """Shut NVML down."""
        self._closed = True
        self._shut_down()

    def _ask(self, board: _Board, into: list[Reading], *, cross_check: bool) -> None:
        if board.handle is None:
            into.append(ReadFailure(board.device.name, self._now(), board.absent))
        elif not board.counts:
            into.append(self._power(board))
        else:
            counted = self._count(board)
            into.append(counted)
            if cross_check and board.metered and isinstance(counted, CounterReading):
                into.append(self._power(board))

    def _count(self, board: _Board) -> CounterReading | ReadFailure:
        before = self._now()
        try:
            millijoules = pynvml.nvmlDeviceGetTotalEnergyConsumption(board.handle)
        except pynvml.NVMLError as error:
            board.counts = not (error.value in _REFUSALS and board.metered)
            return ReadFailure(board.device.name, before, reason(error))
        return CounterReading(board.device.name, _middle(before, self._now()), Joules(millijoules / 1e3))

    def _power(self, board: _Board) -> PowerReading | ReadFailure:
        assert board.meter is not None, "a board is only kept if it answers something"
        before = self._now()
        try:
            watts = _METERS[board.meter](board.handle)
        except pynvml.NVMLError as error:
            board.metered = not (error.value in _REFUSALS and board.counts)
            return ReadFailure(board.device.name, before, reason(error))
        return PowerReading(board.device.name, _middle(before, self._now()), Watts(watts))

    def _initialise_or_explain(self) -> None:
        try:
            self._initialise()
        except pynvml.NVMLError as error:
            raise refusal("NVML cannot start", error) from error

    def _initialise(self) -> None:
        pynvml.nvmlInit()
        self._initialised = True

    def _shut_down(self) -> None:
        if self._initialised:  # NVML counts its users: only give back what is ours
            self._initialised = False
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _start_over(self) -> None:
        self._shut_down()
        try:
            self._initialise()
        except pynvml.NVMLError as error:
            for board in self._boards:
                board.lose(reason(error))
            return
        for board in self._boards:
            board.find_again()
        _log.warning("no GPU answered for a while: NVML was initialised again")


# ---- what a board can tell ----


def _open(found: Found) -> _Board:
    handle = found.handle
    model = text(_ask_or(pynvml.nvmlDeviceGetName, handle, "")) or "NVIDIA GPU"
    architecture = int(_ask_or(pynvml.nvmlDeviceGetArchitecture, handle, _UNKNOWN_ARCHITECTURE))
    has_counter = _answers(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
    meter = _best_meter(handle, model, has_counter=has_counter)
    device = Device(
        name=f"gpu{found.index}",
        kind="gpu",
        uuid=found.uuid,
        model=model,
        has_counter=has_counter,
        power_window_seconds=_window_seconds(meter, architecture, model),
        limit_watts=None if meter == "module" else _limit_watts(handle),
        driver=_driver(),
        power_limit_watts=_watts_or_none(_ask_or(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle, 0)),
    )
    return _Board(device, meter, handle)


def _best_meter(handle: Any, model: str, *, has_counter: bool) -> Meter | None:
    """On Grace Hopper the counter covers the whole module: only the module's power can be held against it."""
    wanted: list[Meter] = ["instant", "usage"]
    if has_counter and "GH200" in model:
        wanted.insert(0, "module")
    return next((meter for meter in wanted if _answers(_METERS[meter], handle)), None)


def _window_seconds(meter: Meter | None, architecture: int, model: str) -> float:
    """Over how long the reading is a mean. Newer boards are not published; they are taken to average like Hopper."""
    if _GA100.search(model):
        return 0.025
    if meter != "usage":
        return 0.025 if architecture == _HOPPER else 0.1
    if architecture in (_PASCAL, _VOLTA):
        return 0.01
    return 0.1 if architecture <= _TURING else 1.0


def _limit_watts(handle: Any) -> float | None:
    """The highest limit the board accepts, or the one in force: somebody may raise that one while we run."""
    most = _ask_or(lambda h: pynvml.nvmlDeviceGetPowerManagementLimitConstraints(h)[1], handle, 0)
    return _watts_or_none(most or _ask_or(pynvml.nvmlDeviceGetPowerManagementLimit, handle, 0))


def _watts_or_none(milliwatts: float) -> float | None:
    return milliwatts / 1e3 if milliwatts else None


def _driver() -> str:
    return text(_ask_or(lambda _: pynvml.nvmlSystemGetDriverVersion(), None, ""))


def _with_answers(boards: Sequence[_Board]) -> list[_Board]:
    answering = [board for board in boards if board.device.has_counter or board.meter]
    for board in boards:
        if board not in answering:
            _log.warning("%s reports neither energy nor power and is left out", board.device.name)
    if not answering:
        names = ", ".join(board.device.model for board in boards)
        reason = f"no selected GPU reports energy or power: {names}"
        raise SourceError(reason, "a vGPU guest sees neither: run on its host", kind="not_supported")
    return answering


def _answers(ask: Callable[[Any], object], handle: Any) -> bool:
    """Only a clear no is a no: what fails otherwise is supported and may answer later."""
    try:
        ask(handle)
    except pynvml.NVMLError as error:
        return error.value not in _REFUSALS
    return True


def _ask_or(ask: Callable[[Any], Any], handle: Any, default: Any) -> Any:
    try:
        return ask(handle)
    except pynvml.NVMLError:
        return default


def _middle(before: Instant, after: Instant) -> Instant:
    return Instant((before + after) / 2)
