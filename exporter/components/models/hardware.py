"""What models run on: a device by name, how to wait for it, how much its caches hold, how much memory may be used."""

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
import transformers

from exporter.domain.errors import ComponentsError

_MEBIBYTE = 1024 * 1024
_CPU_CACHE_UNKNOWN = 32 * _MEBIBYTE
_GPU_CACHE_UNKNOWN = 64 * _MEBIBYTE
_CPU_BUDGET = 1024 * _MEBIBYTE
_GPU_BUDGET = 8192 * _MEBIBYTE
_GPU_BUDGET_SHARE = 0.2


def device_by_name(name: str) -> Any:
    """`auto`, `cpu`, `cuda` or `cuda:1` as PyTorch's own device, with its index."""
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise ComponentsError(f"device {name!r} is unknown: one of auto, cpu, cuda, cuda:N") from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ComponentsError(f"device {name!r} is not supported: one of auto, cpu, cuda, cuda:N")
    return _cuda_device(device)


def _cuda_device(device: Any) -> Any:
    if not torch.cuda.is_available():
        raise ComponentsError("device cuda: this PyTorch sees no GPU; use --device cpu, or install its CUDA build")
    index, count = device.index if device.index is not None else torch.cuda.current_device(), torch.cuda.device_count()
    if index >= count:
        raise ComponentsError(f"device cuda:{index}: PyTorch sees {count} GPU(s), numbered from 0")
    return torch.device("cuda", index)


def waiting_for(device: Any) -> Callable[[], None]:
    """What returns once the device has done all that was asked of it. A CPU has, whenever a call returns."""
    if device.type == "cpu":
        return lambda: None
    return lambda: torch.cuda.synchronize(device)


def last_level_cache_bytes(device: Any) -> int:
    """L2 of a GPU; L3 of a CPU (all that the first core sees)."""
    if device.type == "cuda":
        return int(getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0)) or _GPU_CACHE_UNKNOWN
    return _cpu_cache_bytes(Path("/sys/devices/system/cpu/cpu0/cache"))


def _cpu_cache_bytes(folder: Path) -> int:
    sizes = [_kibibytes(file) for file in folder.glob("index*/size")]
    if any(sizes):
        return max(sizes) * 1024
    try:
        return os.sysconf("SC_LEVEL3_CACHE_SIZE") or _CPU_CACHE_UNKNOWN
    except (ValueError, OSError):  # not a name that this system knows
        return _CPU_CACHE_UNKNOWN


def _kibibytes(file: Path) -> int:
    text = file.read_text().strip()
    return int(text[:-1]) if text.endswith("K") and text[:-1].isdigit() else 0


def free_bytes(device: Any) -> int:
    """How much memory the device has left: of a CPU, what can be had without pushing anybody else out."""
    if device.type == "cpu":
        return int(psutil.virtual_memory().available)
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def memory_budget_bytes(device: Any) -> int:
    """How much may be spent on captured inputs and on their copies."""
    if device.type == "cpu":
        return _CPU_BUDGET
    free, _ = torch.cuda.mem_get_info(device)
    return min(_GPU_BUDGET, int(free * _GPU_BUDGET_SHARE))


def gpu_uuid(device: Any) -> str | None:
    """What NVML calls a GPU, however the visible ones are numbered. None for a CPU."""
    if device.type != "cuda":
        return None
    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    return f"GPU-{uuid.removeprefix('GPU-')}" if uuid else None


def software(device: Any) -> dict[str, str]:
    """Versions of what runs the model."""
    versions = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
    }
    if device.type == "cuda" and torch.version.cuda:
        versions["cuda"] = torch.version.cuda
    return versions
