"""The GPU that servers run on, as NVML knows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pynvml

from exporter.power.boards import text
from validation.machine import first_board


def uuid() -> str | None:
    """By which the exporter is told which one to meter; None where NVML does not say."""
    try:
        with _board() as board:
            return text(pynvml.nvmlDeviceGetUUID(board))
    except pynvml.NVMLError:
        return None


def memory_used() -> float | None:
    """Bytes in use; None where NVML does not say."""
    try:
        with _board() as board:
            return float(pynvml.nvmlDeviceGetMemoryInfo(board).used)
    except pynvml.NVMLError:
        return None


@contextmanager
def _board() -> Iterator[Any]:
    pynvml.nvmlInit()
    try:
        yield first_board()
    finally:
        pynvml.nvmlShutdown()
