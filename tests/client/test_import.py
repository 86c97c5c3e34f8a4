"""A program that opens windows loads next to nothing for it."""

import json
import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "numpy", "yaml", "pynvml", "prometheus_client", "asyncio", "dataclasses", "inspect", "logging"}
LATER = {"http.client", "json", "ssl", "email"}


def loaded_by(program: str) -> frozenset[str]:
    program += "\nimport sys; found = sorted(sys.modules); import json; print(json.dumps(found))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return frozenset(json.loads(done.stdout))


@pytest.fixture(scope="module")
def loaded() -> frozenset[str]:
    return loaded_by("import exporter.client") - loaded_by("")


def test_it_loads_nothing_heavy(loaded: frozenset[str]) -> None:
    assert loaded & (HEAVY | LATER) == set()


def test_it_loads_nothing_else_of_this_package(loaded: frozenset[str]) -> None:
    ours = {name for name in loaded if name.startswith("exporter.")}
    assert all(name.startswith("exporter.client") for name in ours)
