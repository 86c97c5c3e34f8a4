"""What this machine is, for those who read the recording elsewhere. No name of it, and nobody's."""

import os
import platform
from pathlib import Path

import numpy as np

from exporter.recording.entries import Machine

_CPUINFO = Path("/proc/cpuinfo")


def this_machine(cpuinfo: Path = _CPUINFO) -> Machine:
    """What it is."""
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(cpuinfo),
        cores=os.cpu_count() or 0,
        python=platform.python_version(),
        numpy=np.__version__,
    )


def _processor(cpuinfo: Path) -> str:
    """As the kernel calls it; empty where it does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
