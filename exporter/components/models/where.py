"""Where a model will run, and how large it will be, before it is built."""

import torch

from exporter.components.models.hardware import device_by_name
from exporter.components.models.loading import load, quiet
from exporter.domain.dissection import Case


def torch_device(name: str) -> tuple[str, str]:
    """PyTorch's name of a device (`cpu`, `cuda:0`), and a GPU's UUID as NVML writes it; empty where it is not told."""
    device = device_by_name(name)
    if device.type == "cpu":
        return "cpu", ""
    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    return str(device), f"GPU-{uuid}" if uuid and not uuid.startswith("GPU-") else uuid


def parameters_of(name: str) -> int:
    """How many a model of the catalogue has. It is built without memory for them.

    Raises:
        ComponentsError: there is no such model.
    """
    with quiet():
        return load(name, Case(), {}, None, torch.device("meta")).parameters
