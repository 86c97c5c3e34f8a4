"""Where NVIDIA's driver lies in containers whose loader was not told: NVML is found there, too.

Some runtimes mount the driver beside the system's own libraries and name the folder to those programs only that ask the
usual way. Here NVML is loaded from it, so that whoever asks for it by name in this process gets that one; and programs
that are started find it by LD_LIBRARY_PATH, which comes too late for a process that runs already.
"""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

NVML = "libnvidia-ml.so.1"
FOLDERS = ("/usr/local/nvidia/lib64", "/usr/local/nvidia/lib", "/usr/lib/wsl/lib", "/run/opengl-driver/lib")
"""Kubernetes' device plugins, others; WSL; NixOS."""


def find(folders: Sequence[str] = FOLDERS) -> str:
    """Make NVML known where the loader does not find it; the folder it was found in, or an empty word."""
    if _loads(NVML):
        return ""
    for folder in folders:
        if _loads(str(Path(folder) / NVML)):
            paths = [os.environ.get("LD_LIBRARY_PATH", ""), folder]
            os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
            return folder
    return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True
