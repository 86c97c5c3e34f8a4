"""What this machine is, and what of a validation is missing on it. Opens no CUDA context: one would draw power."""

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvml

from exporter.power.boards import reason, text
from validation.results import MachineFacts


def look(*, fake: bool) -> MachineFacts:
    """Ask NVML, the installed packages and the operating system. `fake`: whether NVML is the fake one."""
    gpu = _gpu()
    return MachineFacts(
        gpu=str(gpu.get("gpu", "")),
        fake=fake,
        driver=str(gpu.get("driver", "")),
        cuda=str(gpu.get("cuda", "")),
        python=platform.python_version(),
        torch=version("torch"),
        transformers=version("transformers"),
        system=platform.platform(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=int(gpu.get("memory", 0)),
        power_limit_watts=gpu.get("limit"),
    )


def first_board() -> Any:
    """NVML's handle of the GPU that CUDA would take first, as far as CUDA_VISIBLE_DEVICES says; else of the first.

    Raises:
        NVMLError: NVML was not initialised, or knows no such board.
    """
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if first.startswith("GPU-"):
        return pynvml.nvmlDeviceGetHandleByUUID(first)
    return pynvml.nvmlDeviceGetHandleByIndex(int(first) if first.isdecimal() else 0)


def missing(machine: MachineFacts) -> tuple[str, ...]:
    """What cannot be done here for want of something, in words."""
    return tuple(_missing(machine))


def version(package: str) -> str:
    """Of an installed package, which is not imported; empty where it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _missing(machine: MachineFacts) -> Iterator[str]:
    if not machine.gpu:
        yield f"no NVIDIA GPU: {_nvml_refusal()}; nothing can be measured here (--fake shows that it runs)"
    if not machine.torch:
        yield "no PyTorch: nothing can load the GPU, and no server of Transformers can run; pip install torch"
    if not machine.transformers:
        yield "no Transformers: no server around it, no components; pip install transformers accelerate"
    if importlib.util.find_spec("matplotlib") is None:
        yield "no matplotlib: results come without plots; pip install matplotlib"


def _gpu() -> dict[str, Any]:
    """Of the first board; empty where NVML does not answer."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return {}
    try:
        handle = first_board()
        return {
            "gpu": text(pynvml.nvmlDeviceGetName(handle)),
            "driver": text(_told(pynvml.nvmlSystemGetDriverVersion, "")),
            "cuda": _cuda(),
            "memory": _told(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).total, 0),
            "limit": _told(lambda: pynvml.nvmlDeviceGetPowerManagementLimit(handle) / 1e3, None),
        }
    except pynvml.NVMLError:
        return {}
    finally:
        pynvml.nvmlShutdown()


def _told(ask: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return ask()
    except pynvml.NVMLError:
        return otherwise


def _cuda() -> str:
    """The newest that the driver knows; NVML writes 13.0 as 13000."""
    number = int(_told(pynvml.nvmlSystemGetCudaDriverVersion, 0))
    return f"{number // 1000}.{number % 1000 // 10}" if number else ""


def _nvml_refusal() -> str:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return f"NVML cannot start ({reason(error)})"
    pynvml.nvmlShutdown()
    return "NVML sees no GPU"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
