import json
from pathlib import Path

import pytest

from exporter import undo
from exporter.doctor.tuning import examine
from exporter.tune.lock import locked
from exporter.undo import Undo

LIMIT = Undo("gpu0", "GPU-1", 700_000)


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "runtime"
    directory.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(directory))
    return directory


def test_where_nothing_was_left_nothing_is_said(runtime: Path) -> None:
    assert examine() == ()
    assert list(runtime.iterdir()) == []


def test_a_change_that_was_left_is_told_with_both_ways_to_undo_it(runtime: Path) -> None:
    undo.write(runtime, LIMIT)
    (found,) = examine()
    assert found.verdict == "warn"
    assert "the power limit of gpu0 (700 W) was not put back" in found.text
    assert found.fix == "llm-energy-exporter tune --restore, or nvidia-smi -i GPU-1 -pl 700"
    assert len(list(runtime.iterdir())) == 1


def test_a_tuner_at_work_is_no_trouble(runtime: Path) -> None:
    with locked("GPU-1", "gpu0"):
        undo.write(runtime, LIMIT)
        (found,) = examine()
    assert (found.verdict, "is being tuned now" in found.text) == ("note", True)


def test_what_a_start_of_the_machine_undid_is_only_noted(runtime: Path) -> None:
    path = undo.write(runtime, LIMIT).path
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "before"}))
    (found,) = examine()
    assert found.verdict == "note"


def test_a_file_that_says_nothing_is_named(runtime: Path) -> None:
    path = undo.write(runtime, LIMIT).path
    path.write_text("{")
    (found,) = examine()
    assert (found.verdict, str(path) in found.fix) == ("warn", True)
