from pathlib import Path

import pytest

from exporter.dissections import files
from exporter.domain.errors import ComponentsError
from tests.dissections.examples import dissection


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "results.json"
    files.write(path, [dissection()])
    assert files.read(path) == (dissection(),)
    assert [one.name for one in path.parent.iterdir()] == ["results.json"]


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ComponentsError, match=r"taken/results\.json cannot be written"):
        files.write(tmp_path / "taken" / "results.json", [])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ComponentsError, match=r"nowhere\.json cannot be read: No such file"):
        files.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{}", b"[[[[", b'{"kind": "llm-energy-exporter components"}'])
def test_a_foreign_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.json"
    path.write_bytes(content)
    with pytest.raises(ComponentsError, match=r"foreign\.json"):
        files.read(path)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    files.write(path, [dissection()])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ComponentsError, match="no JSON in line"):
        files.read(path)


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(files.LARGEST_BYTES + 10)
    with pytest.raises(ComponentsError, match="larger than"):
        files.read(path)
