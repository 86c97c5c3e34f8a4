"""The probe as a process: measures, writes the stage's result as JSON, and a figure.

    python3 -m validation.sensor --seconds 70 --result sensor.json --out DIR [--fake]

A SIGTERM ends the measuring; what was measured is still written.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pynvml

from exporter.clock import SystemClock
from exporter.domain.errors import SourceError
from exporter.domain.settings import PowerSettings
from exporter.power.boards import text
from exporter.power.nvml import NvmlSource
from validation import files
from validation.cutting import CutError, Knife
from validation.machine import first_board
from validation.results import StageResult
from validation.schedule import last_lines
from validation.sensor import plot
from validation.sensor.checks import Assumed
from validation.sensor.findings import stage_result
from validation.sensor.load import Load, NoLoadError, NumpyLoad, gpu_load, open_context, prepare
from validation.sensor.probing import Plan, Probed, Rig, probe
from validation.sensor.sensors import Sensors, sensors
from validation.sensor.views import phases, views

PICTURE = "sensor.png"
SAMPLES = "sensor-samples.npz"
_THINKING_SECONDS, _WARMING_SECONDS = 3.0, 4.0
"""For making sense of it all, and for a context and the first multiplication: what the plan does not count."""


def main() -> None:
    """Measure and write."""
    began = time.monotonic()
    asked = _parser().parse_args()
    pynvml.nvmlInit()
    handle = first_board()
    plotting = _prepare(fake=asked.fake)
    rest = asked.seconds - (time.monotonic() - began)
    plan = Plan().within(max(rest - _THINKING_SECONDS - (0.0 if asked.fake else _WARMING_SECONDS), 1.0))
    probed = Probed(sensors(handle), shortened=plan.seconds / Plan().seconds)
    assumed = _assumed(handle, probed.sensors)
    cut = ""
    with Knife().ready() as knife:
        try:
            with knife.after(max(rest, 1.0)):
                probe(_rig(handle, plan, fake=asked.fake), probed)
        except CutError as error:
            cut = str(error)
    _write(asked, probed, assumed, cut, plotting=plotting)


def _prepare(*, fake: bool) -> bool:
    """Import what is slow to import, before anything is measured; whether there will be plots."""
    if not fake:
        print("importing PyTorch")
        prepare()
    return plot.figures() is not None


def _write(asked: argparse.Namespace, probed: Probed, assumed: Assumed, cut: str, *, plotting: bool) -> None:
    """The result first, then the plot, and then the result that names it: neither can cost the other."""
    try:
        seen = views(probed)
        result = stage_result(probed, seen, assumed, fake=asked.fake)
    except Exception:  # noqa: BLE001 - what a real board told and nobody foresaw must not be lost
        _keep_samples(asked.out / SAMPLES, probed)
        result, seen = StageResult("sensor", "failed", 0.0, last_lines(), files=(SAMPLES,)), {}
    if cut:
        result = replace(result, ending="cut", why=f"{cut}\n{result.why}".strip())
    files.write(asked.result, files.stage_to_json(result))
    if plotting and probed.squares and seen:
        plot.draw(asked.out / PICTURE, probed, seen, _name(), fake=asked.fake)
        files.write(asked.result, files.stage_to_json(replace(result, files=(PICTURE,))))


def _keep_samples(path: Path, probed: Probed) -> None:
    """All that was sampled, to be made sense of later: arrays named `phase/sensor/at` and so on."""
    arrays = {
        f"{title}/{name}/{kind}": getattr(samples, kind)
        for title, phase in phases(probed).items()
        for name, samples in phase.samples.items()
        for kind in ("at", "value", "call")
    }
    edges = {f"{title}/edges": np.array(phase.edges) for title, phase in phases(probed).items()}
    np.savez_compressed(path, **arrays, **edges)  # type: ignore[arg-type]


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
