"""Which boards NVML shows, how they are named, and what its errors mean.

A board is chosen by its index (`0`, `gpu0`), its PCI bus id, the beginning of its UUID, or the UUID of a MIG instance,
which means the board that the instance is part of.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pynvml

from exporter.domain.errors import SourceError

REASONS: Mapping[int, str] = {
    1: "uninitialized",
    2: "invalid_argument",
    3: "not_supported",
    4: "no_permission",
    6: "not_found",
    8: "insufficient_power",
    9: "driver_not_loaded",
    10: "timeout",
    11: "irq_issue",
    12: "library_not_found",
    13: "function_not_found",
    14: "corrupted_inforom",
    15: "gpu_is_lost",
    16: "reset_required",
    17: "operating_system",
    18: "library_version_mismatch",
    19: "in_use",
    20: "out_of_memory",
    21: "no_data",
    23: "insufficient_resources",
    25: "argument_version_mismatch",
    26: "deprecated",
    27: "not_ready",
    28: "gpu_not_found",
    29: "invalid_state",
}
"""NVML's error codes as reasons; every other code, and NVML's own 999, is `unknown`."""

_CONTAINER_HINT = (
    "in a container set runtimeClassName: nvidia, NVIDIA_VISIBLE_DEVICES=all and "
    "NVIDIA_DRIVER_CAPABILITIES=utility; no GPU need be allocated"
)
_HINTS: Mapping[int, str] = {
    4: "the device files /dev/nvidia* must be readable by this user",
    9: f"install or load the NVIDIA driver (nvidia-smi must work); {_CONTAINER_HINT}",
    12: f"libnvidia-ml.so.1 comes with the NVIDIA driver; {_CONTAINER_HINT}",
    18: "the driver was updated under the running kernel module: reload it or reboot",
}

_BUS_ID = re.compile(r"(?:([0-9a-f]+):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.[0-9a-f])?", re.IGNORECASE)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A board that NVML shows."""

    index: int
    uuid: str
    bus: str
    handle: Any

    def __str__(self) -> str:
        return f"{self.index} ({self.uuid}, {self.bus})"

    def answers_to(self, selector: str) -> bool:
        """Whether the selector is this board's index, bus id, or the beginning of its UUID."""
        number = selector.casefold().removeprefix("gpu")
        if number.isdecimal():
            return int(number) == self.index
        bus = _bus_address(selector)
        return bus == _bus_address(self.bus) if bus else self.uuid.casefold().startswith(selector.casefold())


def _bus_address(text: str) -> tuple[int, int, int] | None:
    """Domain, bus and device: NVML writes 00000000:1B:00.0, lspci 1b:00.0, the kernel 0000:1b:00.0."""
    match = _BUS_ID.fullmatch(text)
    if match is None:
        return None
    domain, bus, device = match.groups(default="0")
    return int(domain, 16), int(bus, 16), int(device, 16)


def visible() -> Sequence[Found]:
    """Every board that can be opened, by index. NVML must be initialised.

    Raises:
        SourceError: NVML does not answer, or shows none.
    """
    try:
        found = list(_enumerate(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError as error:
        raise refusal("NVML cannot list the GPUs", error) from error
    if not found:
        hint = f"see whether nvidia-smi -L lists any; {_CONTAINER_HINT}"
        raise SourceError("NVML shows no GPU", hint, kind="no_gpu")
    return found


def _enumerate(count: int) -> Iterator[Found]:
    """The boards that can be opened. One that cannot, fallen off the bus say, does not hide the others."""
    for index in range(count):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = text(pynvml.nvmlDeviceGetUUID(handle))
            yield Found(index, uuid, text(pynvml.nvmlDeviceGetPciInfo(handle).busId), handle)
        except pynvml.NVMLError as error:
            _log.warning("gpu%d cannot be opened and is left out: %s", index, reason(error))


def select(found: Sequence[Found], gpus: Literal["all"] | Sequence[str]) -> Sequence[Found]:
    """Those that are chosen, each once.

    Raises:
        SourceError: a selector fits none, or several.
    """
    if gpus == "all":
        return found
    chosen = {the_one(found, selector.strip()).index for selector in gpus}
    return [board for board in found if board.index in chosen]


def the_one(found: Sequence[Found], selector: str, where: str = "power.gpus") -> Found:
    """The board that a selector means; `where` is the setting that it stands in, for the error.

    Raises:
        SourceError: it fits none, or several.
    """
    wanted = _board_of_instance(selector) if selector.upper().startswith("MIG-") else selector
    matches = [board for board in found if wanted and board.answers_to(wanted)]
    if len(matches) == 1:
        return matches[0]
    problem = "fits several GPUs" if matches else "fits no GPU"
    hint = f"there are {', '.join(map(str, found))}"
    raise SourceError(f"{where}: {selector!r} {problem}", hint, kind="no_such_gpu")


def _board_of_instance(uuid: str) -> str:
    """UUID of the board that a MIG instance is part of; empty where NVML knows no such instance."""
    try:
        instance = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return text(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance)))
    except pynvml.NVMLError:
        return ""


def text(value: str | bytes) -> str:
    """Older releases of pynvml give bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def reason(error: pynvml.NVMLError) -> str:
    """An error of NVML in a word."""
    return REASONS.get(error.value, "unknown")


def refusal(problem: str, error: pynvml.NVMLError) -> SourceError:
    """Why a power source cannot start, and what to do."""
    why = reason(error)
    return SourceError(f"{problem}: {why}", _HINTS.get(error.value, "see whether nvidia-smi works"), kind=why)
