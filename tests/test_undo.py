import json
import os
from pathlib import Path

import pytest

from exporter import undo
from exporter.domain.errors import TuneError
from exporter.undo import Undo

LIMIT = Undo("gpu0", "GPU-1", 650_500)
CLOCKS = Undo("gpu1", "GPU-2", None)


@pytest.mark.parametrize("kept", [LIMIT, CLOCKS])
def test_what_is_written_is_read_again(tmp_path: Path, kept: Undo) -> None:
    written = undo.write(tmp_path, kept)
    assert undo.read(written.path) == written
    written.remove()
    written.remove()
    assert list(tmp_path.iterdir()) == []


def test_it_names_the_command_that_does_the_same() -> None:
    assert LIMIT.command == "nvidia-smi -i GPU-1 -pl 650.5"
    assert CLOCKS.command == "nvidia-smi -i GPU-2 -rgc"
    assert LIMIT.words == "the power limit of gpu0 (650.5 W)"


def test_a_file_of_an_earlier_start_of_the_machine_is_known_by_it(tmp_path: Path) -> None:
    path = undo.write(tmp_path, LIMIT).path
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "boot": "another"}))
    assert undo.read(path).forgotten


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"device": "gpu0", "uuid": "GPU-1", "milliwatts": "700"}'])
def test_a_file_that_says_nothing_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / f"GPU-1{undo.SUFFIX}"
    path.write_text(text)
    with pytest.raises(TuneError, match=r"does not say what to put back .* remove the file"):
        undo.read(path)


def test_a_file_that_cannot_be_written_forbids_the_change(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="nothing is changed"):
        undo.write(tmp_path / "missing", LIMIT)


def test_what_is_left_over_is_found_in_every_place(tmp_path: Path) -> None:
    environment = {"RUNTIME_DIRECTORY": str(tmp_path / "run")}
    assert list(undo.left_over(environment)) == []
    path = undo.write(undo.runtime_directory(environment), LIMIT).path
    assert list(undo.left_over(environment)) == [path]


def test_without_a_word_of_systemd_there_are_three_places() -> None:
    places = undo.places({"XDG_RUNTIME_DIR": "/run/user/7"})
    assert places[:2] == [Path("/run/llm-energy-exporter"), Path("/run/user/7/llm-energy-exporter")]
    assert places[2].name == f"llm-energy-exporter-{os.geteuid()}"


def test_a_directory_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    shared = tmp_path / "run"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(TuneError, match="no runtime directory"):
        undo.runtime_directory({"RUNTIME_DIRECTORY": str(shared)})


def test_a_link_is_not_a_directory_of_ours(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TuneError, match="no runtime directory"):
        undo.runtime_directory({"RUNTIME_DIRECTORY": str(tmp_path / "run")})
