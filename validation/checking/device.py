"""PyTorch and the `components` command on the device, in a process of its own: its CUDA context ends with it.

    python3 -m validation.checking.device [--fake]

prints an answer a line, as JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from validation.checking import Answer, said_by
from validation.options import Options
from validation.programs import Program
from validation.serving import board
from validation.stage import Room

_ROOT = Path(__file__).parents[2]
_MODEL = "llama-3.1-8b-small"
_MOST_SECONDS = 60.0
_SHARE = 0.7
"""Of the time that is left: what comes after it finds PyTorch in the disk's cache."""
_LOOK_SECONDS = 0.1


def answers(room: Room, options: Options) -> Iterator[Answer]:
    """What the process said, and how it ended where that was no good end."""
    log = room.scratch / "device.log"
    command = [sys.executable, "-u", "-m", "validation.checking.device", *(["--fake"] if options.fake else [])]
    program = Program(command, log, folder=_ROOT)
    until = room.now() + min(_MOST_SECONDS, room.left() * _SHARE)
    try:
        while program.alive() and room.now() < until:
            room.wait(_LOOK_SECONDS)
        late, ended = program.alive(), program.how_it_ended()
    finally:
        program.stop()
    yield from _told(log.read_text(encoding="utf-8", errors="replace"))
    if late or "ended with status 0" not in ended:
        yield Answer("device", good=False, words=f"{'not done in time: ' if late else ''}{ended}")


def _told(text: str) -> Iterator[Answer]:
    return (Answer(**json.loads(line)) for line in text.splitlines() if line.startswith('{"name"'))


# The process itself


def main() -> None:
    """Try each, one after the other."""
    parser = argparse.ArgumentParser(prog="python3 -m validation.checking.device")
    parser.add_argument("--fake", action="store_true", help="on the CPU")
    fake = parser.parse_args().fake
    tries: dict[str, Callable[[], str]] = {} if fake else {"PyTorch on the GPU": _context, "matrices": _matrices}
    device = "cpu" if fake else "cuda"
    tries["components find their meter"] = lambda: _meter(device)
    for phase in ("prefill", "decode"):
        for launch in ("eager",) if fake else ("eager", "graph"):
            tries[f"components, {phase}, {launch}"] = _component(phase, launch, device)
    for name, ask in tries.items():
        print(json.dumps(asdict(_tried(name, ask))), flush=True)


def _tried(name: str, ask: Callable[[], str]) -> Answer:
    began = time.monotonic()
    try:
        words = ask()
    except Exception as error:  # noqa: BLE001 - as everywhere here
        return Answer(name, good=False, words=said_by(error))
    return Answer(name, good=True, words=f"{words} ({time.monotonic() - began:.1f} s)")


def _context() -> str:
    from validation.sensor.load import open_context  # noqa: PLC0415 - this process's own needs

    context, measured = open_context(), board.uuid()
    if context.uuid and measured and context.uuid != measured:
        raise RuntimeError(f"cuda:0 is {context.uuid}, and {measured} is metered: set CUDA_VISIBLE_DEVICES={measured}")
    import torch  # noqa: PLC0415

    free, total = torch.cuda.mem_get_info()
    return f"PyTorch {torch.__version__}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free, {context.uuid or 'no UUID'}"


def _matrices() -> str:
    from validation.sensor.load import gpu_load  # noqa: PLC0415

    load = gpu_load(time.monotonic)
    try:
        return f"{load.name}: {1e3 * load.one_seconds:.2f} ms each, {load.teraflops:.0f} TFLOP/s"
    finally:
        load.close()


def _meter(device: str) -> str:
    """On the CPU there may be no sensor at all; the fake board is one of a GPU."""
    from exporter.components.actions.measuring import place_of  # noqa: PLC0415
    from exporter.components.metering import metering  # noqa: PLC0415
    from validation.components.measuring import FAKE_BOARD  # noqa: PLC0415

    place = place_of(device)
    with metering(FAKE_BOARD if device == "cpu" else place, "nvml") as meter:
        return f"{place.torch_device} is {meter.device.name}, {meter.device.model}"


def _component(phase: Any, launch: Any, device: str) -> Callable[[], str]:
    def ask() -> str:
        from exporter.components.models import prepare  # noqa: PLC0415
        from exporter.domain.dissection import Case  # noqa: PLC0415

        case = Case(phase=phase, sequence=32, dtype="float32" if device == "cpu" else "bfloat16")
        subject = prepare(_MODEL, case, device=device, launch=launch)
        for part in subject.parts:
            part.run(2)
        subject.synchronise()
        return f"{_MODEL}: {len(subject.parts)} parts"

    return ask


if __name__ == "__main__":
    main()
