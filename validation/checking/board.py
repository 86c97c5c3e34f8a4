"""What NVML answers here. Opens no CUDA context."""

from collections.abc import Iterator

import pynvml

from validation.checking import Answer
from validation.machine import first_board
from validation.options import Options
from validation.sensor.sensors import COUNTER, Sensors, sensors
from validation.stage import Room

_WATCHED_SECONDS = 0.6
"""Longer than the step of a common counter."""


def answers(room: Room, _: Options) -> Iterator[Answer]:
    """The board, each of its sensors, its counter over a while, and who else is there."""
    pynvml.nvmlInit()
    try:
        handle = first_board()
        here = room.machine
        limit = f"{here.power_limit_watts:g} W" if here.power_limit_watts else "unknown"
        words = f"{here.gpu}, driver {here.driver}, CUDA {here.cuda or 'unknown'}, power limit {limit}"
        yield Answer("NVML", bool(here.gpu), words)
        answering = sensors(handle)
        yield from _sensors(answering)
        if COUNTER in answering.answered:
            yield _counted(answering, room)
        yield _others(handle)
    finally:
        pynvml.nvmlShutdown()


def _sensors(found: Sensors) -> Iterator[Answer]:
    said = ", ".join(f"{name} {question.ask() / 1e3:.1f}" for name, question in found.answered.items())
    refused = "; ".join(f"{name}: {why}" for name, why in found.refused.items())
    good = COUNTER in found.answered and found.power() is not None
    yield Answer("sensors (J, W)", good, "; refused: ".join(filter(None, [said or "none", refused])))


def _counted(found: Sensors, room: Room) -> Answer:
    """A counter that stands still tells nothing."""
    counter = found.answered[COUNTER]
    began, before = room.now(), counter.ask()
    room.wait(_WATCHED_SECONDS)
    joules, seconds = (counter.ask() - before) / 1e3, room.now() - began
    return Answer("energy counter moves", joules > 0.0, f"{joules:.1f} J in {seconds:.2f} s: {joules / seconds:.0f} W")


def _others(handle: object) -> Answer:
    try:
        others = len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
        used = pynvml.nvmlDeviceGetMemoryInfo(handle).used
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as error:
        return Answer("the GPU is free", None, f"NVML does not say: {str(error)[:80]}")
    return Answer("the GPU is free", not others, f"{others} other programs on it, {used / 1e9:.1f} GB in use")
