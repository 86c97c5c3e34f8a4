"""The probe as a process: measures, writes the stage's result as JSON, and a figure.

    python3 -m validation.sensor --seconds 70 --result sensor.json --out DIR [--fake]

A SIGTERM ends the measuring; what was measured is still written.
"""

import argparse
import importlib.util
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pynvml

from exporter.clock import SystemClock
from exporter.domain.errors import SourceError
from exporter.domain.settings import PowerSettings
from exporter.power.boards import text
from exporter.power.nvml import NvmlSource
from validation import files
from validation.cutting import CutError, Knife
from validation.machine import first_board
from validation.sensor import plot
from validation.sensor.checks import Assumed
from validation.sensor.findings import stage_result
from validation.sensor.load import Load, NoLoadError, NumpyLoad, gpu_load, open_context
from validation.sensor.probing import Plan, Probed, Rig, probe
from validation.sensor.sensors import Sensors, sensors
from validation.sensor.views import views

PICTURE = "sensor.png"
_THINKING_SECONDS = 6.0
"""For importing PyTorch, warming the load up, and making sense of it all: what the plan does not count."""


def main() -> None:
    """Measure and write."""
    asked = _parser().parse_args()
    pynvml.nvmlInit()
    handle = first_board()
    plan = Plan().within(max(asked.seconds - _thinking(fake=asked.fake), 1.0))
    probed = Probed(sensors(handle), shortened=plan.seconds / Plan().seconds)
    assumed = _assumed(handle, probed.sensors)
    cut = ""
    with Knife().ready() as knife:
        try:
            with knife.after(asked.seconds):
                probe(_rig(handle, plan, fake=asked.fake), probed)
        except CutError as error:
            cut = str(error)
    _write(asked, probed, assumed, cut)


def _write(asked: argparse.Namespace, probed: Probed, assumed: Assumed, cut: str) -> None:
    seen = views(probed)
    result = stage_result(probed, seen, assumed, fake=asked.fake)
    if cut:
        result = replace(result, ending="cut", why=f"{cut}\n{result.why}".strip())
    if importlib.util.find_spec("matplotlib") is not None and probed.squares:
        plot.draw(asked.out / PICTURE, probed, seen, _name(), fake=asked.fake)
        result = replace(result, files=(PICTURE,))
    files.write(asked.result, files.stage_to_json(result))


def _rig(handle: Any, plan: Plan, *, fake: bool) -> Rig:
    return Rig(
        handle=handle,
        plan=plan,
        now=time.monotonic,
        wait=time.sleep,
        say=print,
        open_context=(lambda: None) if fake else lambda: _context_on(handle),
        make_load=_numpy if fake else _torch,
    )


def _numpy() -> Load:
    return NumpyLoad()


def _torch() -> Load:
    return gpu_load(time.monotonic)


def _context_on(handle: Any) -> object:
    """Open a context, and make sure that it is on the board that is measured."""
    context, measured = open_context(), text(pynvml.nvmlDeviceGetUUID(handle))
    if context.uuid and context.uuid != measured:
        raise NoLoadError(f"PyTorch's cuda:0 is {context.uuid}, not {measured}: set CUDA_VISIBLE_DEVICES={measured}")
    return context


def _assumed(handle: Any, answered: Sensors) -> Assumed:
    """What the exporter's own source says of this board."""
    power = answered.power()
    try:
        source = NvmlSource(PowerSettings(gpus=(text(pynvml.nvmlDeviceGetUUID(handle)),)), SystemClock().now)
    except SourceError as error:
        return Assumed(why=str(error))
    (device,) = source.devices
    source.close()
    return Assumed(device.power_window_seconds, device.has_counter, power.name if power else "")


def _thinking(*, fake: bool) -> float:
    return _THINKING_SECONDS / 2 if fake else 2 * _THINKING_SECONDS


def _name() -> str:
    handle = first_board()
    return f"{text(pynvml.nvmlDeviceGetName(handle))}, driver {text(pynvml.nvmlSystemGetDriverVersion())}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m validation.sensor", description=__doc__)
    parser.add_argument("--seconds", type=float, required=True, help="for all of it")
    parser.add_argument("--result", type=Path, required=True, help="where the result goes, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="where the figure goes")
    parser.add_argument("--fake", action="store_true", help="the load runs on the CPU")
    return parser


if __name__ == "__main__":
    main()
