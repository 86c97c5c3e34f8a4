"""Fake boards for what tunes them, and a runtime directory of their own."""

from pathlib import Path

import pytest

from tests.power.conftest import fake_library, plug_in

__all__ = ["fake_library", "plug_in"]


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where locks and undo files of this test are."""
    directory = tmp_path / "runtime"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(directory))
    return directory
