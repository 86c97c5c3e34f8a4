"""The knobs of NVIDIA GPUs: the power limit and locked graphics clocks, through NVML.

Theory of operation. A setting is believed when it is read back. A power limit can be: NVML tells what was asked for
and what is enforced, which may be less (a limit that the machine's own controller sets out of band). Locked clocks
cannot: NVML has no call that tells whether or to what clocks are locked. So after locking, the clock that runs must
not be above the lock, and before, clocks are taken to be unlocked; `notes` says so, and the driver's own hint if it
gives one. Putting clocks back means to unlock them.

Nothing above what was there is ever tried: a limit below the board's highest is somebody's decision about a power
supply or about heat. The setting `default` is that of before, to the milliwatt; for clocks it is: not locked.

Whether one may set anything is only known by setting. `PowerLimit.check` sets the limit that is there; for clocks
there is no call that changes nothing, and the first setting shows it.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

import pynvml

from exporter.domain.errors import KnobError, SourceError, TuneError
from exporter.power.boards import Found, reason, text, the_one, visible
from exporter.tune.choices import clock_settings, watt_settings
from exporter.tune.knob import KnobName, KnobRange
from exporter.undo import Undo

PAUSES_SECONDS = (0.1, 0.3, 1.0, 2.0)
"""Between tries to put a setting back: a driver may refuse for a moment."""

_TOLERANCE_MILLIWATTS = 1000
_LOOKS, _LOOK_SECONDS = 20, 0.05
"""How often to look whether a setting took effect, and how long to wait in between."""

_GRAPHICS = 0
_VGPU_GUEST = 2
_CLOCKS_SETTING = 2
"""Bit of the clocks event reasons: a setting of clocks holds them."""

_NO_PERMISSION, _NOT_SUPPORTED, _INVALID_ARGUMENT = 4, 3, 2
_REFUSALS = frozenset({_NO_PERMISSION, _NOT_SUPPORTED, _INVALID_ARGUMENT})
"""A clear no, before which nothing was changed."""

_HINTS = {
    _NO_PERMISSION: "run this as root (sudo), in a container as root with the capability SYS_ADMIN",
    _NOT_SUPPORTED: "this board or its driver does not offer it (many consumer and laptop boards do not): "
    "try the other knob",
    _INVALID_ARGUMENT: "out of the range that the driver permits now: see nvidia-smi -q -d POWER,CLOCK",
}
_HINT = "see whether nvidia-smi works, and dmesg"

Pause = Callable[[float], None]


class Session:
    """NVML, initialised, and one board of it, looked up anew for every call: handles die with the driver.

    Raises:
        KnobError: NVML does not start (also from `start_over`).
    """

    def __init__(self) -> None:
        self._initialised = False
        self._initialise()

    def board(self, uuid: str) -> Any:
        """The handle of a board. May raise pynvml.NVMLError."""
        return pynvml.nvmlDeviceGetHandleByUUID(uuid)

    def start_over(self) -> None:
        """Shut down and initialise again: after a reload of the driver nothing else helps."""
        self.close()
        self._initialise()

    def close(self) -> None:
        """Shut NVML down, as far as we use it."""
        if self._initialised:
            self._initialised = False
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _initialise(self) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise KnobError(f"NVML cannot start: {reason(error)}: {_HINT}") from error
        self._initialised = True


# ---- putting back ----


def put_back(undo: Undo, session: Session, pauses: Sequence[float] | None = None, pause: Pause = time.sleep) -> None:
    """Set a device to what it was, and see that it is; try again after each pause (PAUSES_SECONDS).

    Raises:
        TuneError: it cannot be; says which command does it.
    """
    problem = ""
    for wait in (*(PAUSES_SECONDS if pauses is None else pauses), None):
        try:
            return _put_back_once(undo, session, pause)
        except pynvml.NVMLError as error:
            problem = reason(error)
        except KnobError as error:
            problem = str(error)
        if wait is not None:
            pause(wait)
            with suppress(KnobError):
                session.start_over()
    raise TuneError(f"{undo.words} could not be put back ({problem}); do it by hand: {undo.command}")


def _put_back_once(undo: Undo, session: Session, pause: Pause) -> None:
    handle = session.board(undo.uuid)
    if undo.milliwatts is None:
        pynvml.nvmlDeviceResetGpuLockedClocks(handle)
    elif int(pynvml.nvmlDeviceGetPowerManagementLimit(handle)) != undo.milliwatts:
        pynvml.nvmlDeviceSetPowerManagementLimit(handle, undo.milliwatts)
        _see_limit(handle, undo.device, undo.milliwatts, pause)


# ---- opening ----


def find_board(gpu: str) -> tuple[str, str]:
    """Name and UUID of the board that a selector means (index, UUID, bus id).

    Raises:
        KnobError: there is none such, or NVML does not start.
    """
    session = Session()
    try:
        found = _find(gpu)
        return f"gpu{found.index}", found.uuid
    finally:
        session.close()


def open_knob(name: KnobName, gpu: str, pause: Pause = time.sleep) -> "PowerLimit | LockedClocks":
    """The knob of a board, chosen by index, UUID or bus id; nothing is changed. Close it.

    Raises:
        KnobError: no such board, or it cannot be set: says why and what to do.
    """
    session = Session()
    try:
        found = _find(gpu)
        _refuse_parts(found)
        return _KNOBS[name](found, session, pause)
    except pynvml.NVMLError as error:
        session.close()
        raise KnobError(f"{gpu}: its {name} cannot be read: {reason(error)}: {_hint(error)}") from error
    except KnobError:
        session.close()
        raise


def _find(gpu: str) -> Found:
    try:
        return the_one(visible(), gpu.strip(), "--gpu")
    except SourceError as error:
        raise KnobError(str(error)) from error


def _refuse_parts(found: Found) -> None:
    """A part of a board cannot be tuned: the knob turns for all the others on it."""
    if _ask_or(lambda: pynvml.nvmlDeviceGetMigMode(found.handle)[0], 0):
        raise KnobError(
            f"gpu{found.index} is split into MIG instances, and what is set holds for all of them while requests of "
            "one are measured: tune it without MIG (nvidia-smi -mig 0)"
        )
    if _ask_or(lambda: pynvml.nvmlDeviceGetVirtualizationMode(found.handle), 0) == _VGPU_GUEST:
        raise KnobError(f"gpu{found.index} is a virtual GPU, which cannot be set from within: tune it on its host")


def _ask_or(ask: Callable[[], Any], otherwise: int) -> int:
    try:
        return int(ask())
    except pynvml.NVMLError:
        return otherwise


# ---- the knobs ----


class _NvmlKnob:
    """What both knobs have in common: a board, and how it was."""

    def __init__(self, found: Found, session: Session, pause: Pause) -> None:
        self._session = session
        self._pause = pause
        self._turned = False
        self.device = f"gpu{found.index}"
        self.uuid = text(found.uuid)

    @property
    def undo(self) -> Undo:
        """What puts back how it was when the knob was opened."""
        raise NotImplementedError

    def restore(self) -> None:
        """Put back how it was, with patience.

        Raises:
            TuneError: it cannot be; says which command does it.
        """
        if self._turned:
            put_back(self.undo, self._session, pause=self._pause)

    def close(self) -> None:
        """Done with NVML; puts nothing back."""
        self._session.close()

    def _turn(self, what: str, turn: Callable[[Any], None]) -> None:
        before, self._turned = self._turned, True
        try:
            turn(self._session.board(self.uuid))
        except pynvml.NVMLError as error:
            self._turned = before or error.value not in _REFUSALS
            raise KnobError(f"{self.device}: {what} is refused: {reason(error)}: {_hint(error)}") from error


class PowerLimit(_NvmlKnob):
    """The power limit of a board. Settings in W, from the lowest permitted to the one that was there."""

    name: Literal["power_limit"] = "power_limit"

    def __init__(self, found: Found, session: Session, pause: Pause) -> None:
        super().__init__(found, session, pause)
        limit = int(pynvml.nvmlDeviceGetPowerManagementLimit(found.handle))
        enforced = _ask_or(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(found.handle), limit)
        least, self._most = pynvml.nvmlDeviceGetPowerManagementLimitConstraints(found.handle)
        self._undo = Undo(self.device, self.uuid, limit)
        highest = int(min(limit, enforced) / 1e3)
        self._enforced = enforced
        self._range = KnobRange("W", watt_settings(math.ceil(least / 1e3), highest), highest)

    @property
    def undo(self) -> Undo:
        """The limit that was there, to the milliwatt."""
        return self._undo

    @property
    def notes(self) -> Sequence[str]:
        """What a user should know before it is turned."""
        limit = self.undo.milliwatts or 0
        told = []
        if limit < self._most:
            told.append(
                f"{self.device} is limited to {limit / 1e3:g} W of {self._most / 1e3:g} W: no higher limit is tried"
            )
        if self._enforced < limit:
            told.append(
                f"{self.device} enforces {self._enforced / 1e3:g} W, less than its limit of {limit / 1e3:g} W: "
                "something else limits it (its machine's controller?), and no higher limit is tried"
            )
        return told

    def range(self) -> KnobRange:
        """Lowest permitted limit to the one that was there."""
        return self._range

    def check(self) -> None:
        """Set the limit that is there, to see whether that is permitted."""
        self._turn("its power limit", lambda board: pynvml.nvmlDeviceSetPowerManagementLimit(board, self._now(board)))

    def set(self, setting: int) -> None:
        """Limit power to so many W and see that it is enforced; the default sets exactly what was there."""
        exact = self.undo.milliwatts
        milliwatts = exact if setting == self._range.default and exact is not None else setting * 1000
        self._turn(f"a power limit of {setting} W", lambda board: self._set(board, milliwatts))

    def _set(self, board: Any, milliwatts: int) -> None:
        pynvml.nvmlDeviceSetPowerManagementLimit(board, milliwatts)
        _see_limit(board, self.device, milliwatts, self._pause)

    def _now(self, board: Any) -> int:
        return int(pynvml.nvmlDeviceGetPowerManagementLimit(board))


class LockedClocks(_NvmlKnob):
    """The upper end of a range of locked graphics clocks, in MHz; the highest means: not locked."""

    name: Literal["clocks"] = "clocks"

    def __init__(self, found: Found, session: Session, pause: Pause) -> None:
        super().__init__(found, session, pause)
        self._clocks = _supported_clocks(found.handle)
        if len(self._clocks) < 2:
            raise KnobError(f"{self.device} names no clocks to choose from: try the power limit")
        self._range = KnobRange("MHz", clock_settings(self._clocks), self._clocks[-1])
        reasons = _ask_or(lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(found.handle), 0)
        self._held = bool(reasons & _CLOCKS_SETTING)

    @property
    def undo(self) -> Undo:
        """Clocks that are not locked."""
        return Undo(self.device, self.uuid, None)

    @property
    def notes(self) -> Sequence[str]:
        """What a user should know before it is turned."""
        taken = (
            f"NVML does not tell whether clocks are locked: those of {self.device} are taken not to be, and are "
            "unlocked at the end"
        )
        held = (
            f"the driver says that a setting holds the clocks of {self.device} right now: if you locked them, lock "
            "them again afterwards (nvidia-smi -lgc)"
        )
        return [taken, held] if self._held else [taken]

    def range(self) -> KnobRange:
        """A quarter of the highest clock to the highest."""
        return self._range

    def check(self) -> None:
        """Nothing: no call would show the right to set clocks without changing them."""

    def set(self, setting: int) -> None:
        """Hold graphics clocks at or below so many MHz and see that they are; the default unlocks them."""
        if setting == self._range.default:
            self._turn("unlocking its clocks", pynvml.nvmlDeviceResetGpuLockedClocks)
        else:
            self._turn(f"a graphics clock of {setting} MHz", lambda board: self._lock(board, setting))

    def _lock(self, board: Any, setting: int) -> None:
        pynvml.nvmlDeviceSetGpuLockedClocks(board, self._clocks[0], setting)
        running = _look_until(
            lambda: int(pynvml.nvmlDeviceGetClockInfo(board, _GRAPHICS)), lambda mhz: mhz <= setting, self._pause
        )
        if running > setting:
            raise KnobError(
                f"{self.device}: clocks were locked to {setting} MHz and still run at {running} MHz: the driver took "
                "the setting and does not obey it; try the power limit"
            )


_KNOBS: dict[KnobName, type[PowerLimit | LockedClocks]] = {"power_limit": PowerLimit, "clocks": LockedClocks}


def _supported_clocks(board: Any) -> Sequence[int]:
    """Graphics clocks at the highest memory clock, ascending, in MHz."""
    memory = max(pynvml.nvmlDeviceGetSupportedMemoryClocks(board), default=None)
    return sorted(map(int, pynvml.nvmlDeviceGetSupportedGraphicsClocks(board, memory))) if memory else []


# ---- seeing that it took effect ----


def _see_limit(board: Any, device: str, milliwatts: int, pause: Pause) -> None:
    limit = int(pynvml.nvmlDeviceGetPowerManagementLimit(board))
    if abs(limit - milliwatts) > _TOLERANCE_MILLIWATTS:
        raise KnobError(
            f"{device}: the driver took a power limit of {milliwatts / 1e3:g} W and still says {limit / 1e3:g} W: "
            "something else manages it (nvidia-powerd, DCGM, a cluster's power manager?): stop that first"
        )
    most = milliwatts + _TOLERANCE_MILLIWATTS
    enforced = _look_until(lambda: int(pynvml.nvmlDeviceGetEnforcedPowerLimit(board)), lambda seen: seen <= most, pause)
    if enforced > most:
        raise KnobError(
            f"{device}: its power limit is {milliwatts / 1e3:g} W and {enforced / 1e3:g} W is enforced: the driver "
            "does not obey the setting; try the clocks"
        )


def _look_until(look: Callable[[], int], enough: Callable[[int], bool], pause: Pause) -> int:
    """Look until it is enough, or for about a second; what was seen last."""
    seen = look()
    for _ in range(_LOOKS):
        if enough(seen):
            break
        pause(_LOOK_SECONDS)
        seen = look()
    return seen


def _hint(error: pynvml.NVMLError) -> str:
    return _HINTS.get(error.value, _HINT)
