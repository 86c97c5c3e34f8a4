"""What --check says, and that nothing that goes wrong keeps it from going on."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.fakes.nvml import FakeGpu
from tests.power.conftest import PlugIn
from tests.validation.stages import MACHINE, FakeTime
from tests.validation.test_command import needs_compiler, run
from validation import checking
from validation.checking import Answer, board, check, device, storage, verdict
from validation.cutting import Knife
from validation.options import Options
from validation.stage import Room

FAKE = Options(fake=True)


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def room(tmp_path: Path, time: FakeTime) -> Room:
    return Room(tmp_path, tmp_path, 60.0, time.now, time.wait, MACHINE, lambda _: None)


def test_a_part_that_breaks_keeps_what_it_had_said_and_the_next_is_asked(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> Iterator[Answer]:
        yield Answer("first", good=True, words="fine")
        raise OSError("libcuda.so.1: no such file")

    def works(*_: object) -> Iterator[Answer]:
        yield Answer("second", good=None, words="who knows")

    monkeypatch.setattr(checking, "PLACES", ("breaks", "nowhere", "works"))
    for name, answers in (("breaks", breaks), ("works", works)):
        module = ModuleType(name)
        module.answers = answers  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"validation.checking.{name}", module)
    with Knife().ready() as knife:
        found = {answer.name: answer for answer in check(room, FAKE, knife)}
    assert (found["first"].good, found["second"].good) == (True, None)
    assert "OSError: libcuda.so.1" in found["breaks"].words
    assert "No module named" in found["nowhere"].words
    assert verdict([*found.values()]).endswith("not good: breaks, nowhere; not known: second")


def test_what_there_is_no_time_for_is_not_known(room: Room, time: FakeTime) -> None:
    time.at = 60.0
    with Knife().ready() as knife:
        found = {answer.name: answer for answer in check(room, FAKE, knife)}
    assert {found[place].good for place in checking.PLACES} == {None}
    assert "no time was left" in found["batching"].words


@pytest.mark.parametrize("moves", [True, False])
def test_the_board_says_which_sensors_answer_and_whether_the_counter_moves(
    room: Room, plug_in: PlugIn, time: FakeTime, *, moves: bool
) -> None:
    fake = plug_in([FakeGpu()])

    def wait(seconds: float) -> None:
        time.wait(seconds)
        if moves:
            fake.set_time(time.at)

    watched = Room(room.out, room.scratch, 60.0, time.now, wait, MACHINE, room.say)
    found = {answer.name: answer for answer in board.answers(watched, FAKE)}
    assert found["NVML"].good
    assert "counter" in found["sensors (J, W)"].words
    assert found["energy counter moves"].good is moves


def test_a_disk_that_is_too_slow_or_too_small_is_told(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_written", lambda *_: 20e6)
    found = {answer.name: answer for answer in storage.answers(room, Options())}
    assert not found["writing weights"].good
    assert "410 s" in found["writing weights"].words


def test_lines_that_libraries_print_are_no_answers() -> None:
    text = 'Loading weights: 100%\n{"name": "matrices", "good": true, "words": "fast"}\n{"other": 1}\n'
    assert [*device._told(text)] == [Answer("matrices", good=True, words="fast")]


def test_an_answer_of_many_lines_is_one_item() -> None:
    assert Answer("a", good=False, words="b\nc").line() == "NO  a: b\n      c"


@pytest.mark.e2e
@needs_compiler
def test_everything_is_good_on_the_fake(tmp_path: Path) -> None:
    code, said = run(tmp_path / "out", "--check", "--fake", "--minutes", "2")
    assert code == 0, said
    text = (tmp_path / "out" / "check.txt").read_text()
    assert text.startswith("FAKE")
    for name in ("the exporter", "its recording", "llama-server answers", "continuous batching answers"):
        assert f"ok  {name}: " in text
    assert "ok  components, decode, eager: llama-3.1-8b-small" in text
    assert not list(tmp_path.glob("validation-*")), "scratch is deleted"
