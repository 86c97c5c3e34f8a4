"""Whether the books can be kept."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.doctor.finding import Finding
from exporter.doctor.state import examine
from exporter.state import StateStore


def _found(state_dir: Path | None) -> Finding:
    (finding,) = examine(None if state_dir is None else str(state_dir))
    return finding


def test_without_a_directory_what_a_restart_loses_is_said() -> None:
    assert _found(None).verdict == "warn"


def test_a_writable_directory_is_fine_and_left_as_it_was(tmp_path: Path) -> None:
    assert _found(tmp_path).verdict == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_a_problem_and_not_made(tmp_path: Path) -> None:
    found = _found(tmp_path / "state")
    assert found.verdict == "fail"
    assert "mkdir -p" in found.fix
    assert not (tmp_path / "state").exists()


def test_a_file_in_its_place_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    assert _found(tmp_path / "state").verdict == "fail"


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory that we may not write, even where the tests run as root, who may do anything."""
    (tmp_path / "state").mkdir(mode=0o555)
    user = os.geteuid()
    os.seteuid(user or 65534)
    yield tmp_path / "state"
    os.seteuid(user)


def test_a_directory_that_may_not_be_written_is_a_problem(read_only: Path) -> None:
    assert _found(read_only).verdict == "fail"


def test_a_running_exporter_is_noticed_and_not_disturbed(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path)
    found = _found(tmp_path)
    store.save({"a": b"1"})
    store.close()
    assert found.verdict == "warn"
    assert _found(tmp_path).verdict == "ok"
