"""Servers of their own virtual environments: `make servers` installs them, and without them these tests are skipped."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.web import free_port

_ROOT = Path(__file__).parents[3]

Installed = Callable[[str], Path]


@pytest.fixture(scope="session")
def installed() -> Installed:
    """The virtual environment of a server by its name, if it is there."""
    folder = Path(os.environ.get("SERVERS", _ROOT / "build" / "servers"))

    def find(name: str) -> Path:
        venv = folder / name
        if not (venv / "bin").is_dir():
            pytest.skip(f"{name} is not installed: make servers")
        return venv

    return find


@pytest.fixture(scope="module")
def exporter_address() -> str:
    """Where the exporter will listen, for servers that must know before they start."""
    return f"127.0.0.1:{free_port()}"
