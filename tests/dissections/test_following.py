import logging
import os
from pathlib import Path

import pytest

from exporter.dissections import files, following
from exporter.dissections.following import Results
from tests.dissections.examples import dissection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files.write(tmp_path / "a.json", [dissection("model-a")])
    return tmp_path


def models(results: Results) -> list[str]:
    return [one.model for one in results.view().dissections]


def looked(*patterns: Path) -> Results:
    results = Results(map(str, patterns))
    results.look()
    return results


def touched(path: Path) -> None:
    """Its time is moved on, whatever this file system's grain is."""
    told = path.stat()
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns + 1_000_000_000))


def test_what_a_file_says_is_shown(folder: Path) -> None:
    results = looked(folder / "a.json")
    assert models(results) == ["model-a"]
    assert results.view().files == 1
    assert results.view().problems == {}


def test_a_glob_finds_files_that_come_later(folder: Path) -> None:
    results = looked(folder / "*.json")
    files.write(folder / "b.json", [dissection("model-b")])
    results.look()
    assert models(results) == ["model-a", "model-b"]


def test_a_file_that_two_patterns_name_counts_once(folder: Path) -> None:
    assert looked(folder / "*.json", folder / "a.json").view().files == 1


def test_a_file_that_changes_is_read_again(folder: Path) -> None:
    results = looked(folder / "a.json")
    files.write(folder / "a.json", [dissection("model-c")])
    touched(folder / "a.json")
    results.look()
    assert models(results) == ["model-c"]


def test_a_file_that_has_not_changed_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = looked(folder / "a.json")
    view = results.view()

    def forbidden(path: Path) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(files, "read", forbidden)
    results.look()
    assert results.view() is view


def test_a_file_that_goes_is_shown_no_more(folder: Path) -> None:
    results = looked(folder / "*.json")
    (folder / "a.json").unlink()
    results.look()
    assert models(results) == []
    assert results.view().problems == {}, "a glob may find nothing"


def test_a_broken_file_is_a_problem_said_once_and_the_others_are_shown(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "b.json").write_text("{")
    results = looked(folder / "*.json")
    results.look()
    assert models(results) == ["model-a"]
    assert list(results.view().problems) == [str(folder / "b.json")]
    assert sum("b.json" in record.message for record in caplog.records if record.levelno == logging.WARNING) == 1


def test_a_file_that_breaks_is_shown_no_more_and_comes_back_when_it_is_mended(folder: Path) -> None:
    results = looked(folder / "a.json")
    (folder / "a.json").write_text("{}")
    touched(folder / "a.json")
    results.look()
    assert models(results) == []
    assert len(results.view().problems) == 1
    files.write(folder / "a.json", [dissection("model-a")])
    results.look()
    assert models(results) == ["model-a"]
    assert results.view().problems == {}


def test_a_path_without_a_file_is_a_problem_until_the_file_comes(tmp_path: Path) -> None:
    results = looked(tmp_path / "later.json")
    assert "No such file" in results.view().problems[str(tmp_path / "later.json")]
    files.write(tmp_path / "later.json", [dissection()])
    results.look()
    assert results.view().problems == {}
    assert len(results.view().dissections) == 1


def test_what_finds_no_room_is_counted_and_said_once(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "that_fit", lambda those: (tuple(those)[:1], 3))
    results = looked(folder / "*.json")
    files.write(folder / "b.json", [dissection("model-b")])
    results.look()
    assert results.view().left_out == 3
    assert sum("no room for 3 cases" in record.message for record in caplog.records) == 1


async def test_it_is_looked_at_before_the_first_scrape_and_a_bug_of_ours_is_counted(folder: Path) -> None:
    results = Results([str(folder / "*.json")])
    async with following.following(results, lambda _: None):
        assert models(results) == ["model-a"]
    faults: list[str] = []
    results.look = _broken  # type: ignore[method-assign]  # a bug of ours
    async with following.following(results, faults.append):
        assert faults == ["dissections"]


def _broken() -> None:
    raise ZeroDivisionError


def test_every_look_gives_a_whole_view(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    results = looked(folder / "*.json")
    for number in range(3):
        files.write(folder / f"{number}.json", [dissection(f"model-{number}")])
        results.look()
        view = results.view()
        seen.append((view.files, len(view.dissections)))
    assert seen == [(2, 2), (3, 3), (4, 4)]
