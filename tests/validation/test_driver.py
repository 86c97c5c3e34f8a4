"""A driver in a folder of its own; asked in a process of its own, since what is loaded stays loaded."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fakes.nvml import build

ASKING = """
import ctypes, json, os, sys
from validation.driver import NVML, find

def loads():
    try:
        return bool(ctypes.CDLL(NVML))
    except OSError:
        return False

before = loads()
found = find(sys.argv[1:])
print(json.dumps({"before": before, "found": found, "after": loads(), "paths": os.environ.get("LD_LIBRARY_PATH")}))
"""


def asked(*folders: Path) -> Mapping[str, object]:
    command = [sys.executable, "-c", ASKING, *map(str, folders)]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    said: Mapping[str, object] = json.loads(done.stdout)
    if said["before"]:
        pytest.skip("the loader knows a driver here")
    return said


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the fake NVML is C")
def test_nvml_is_found_in_the_drivers_own_folder_here_and_by_programs_started_from_here(tmp_path: Path) -> None:
    folder = build(tmp_path).parent
    said = asked(tmp_path / "nowhere", folder)
    assert said == {"before": False, "found": str(folder), "after": True, "paths": str(folder)}


def test_where_there_is_no_driver_nothing_changes(tmp_path: Path) -> None:
    assert asked(tmp_path) == {"before": False, "found": "", "after": False, "paths": None}
