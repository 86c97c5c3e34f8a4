import sys
from pathlib import Path
from typing import get_args

import pytest

from tests.validation.stages import MACHINE
from validation.__main__ import MINUTES
from validation.options import Options
from validation.results import StageName
from validation.sensor.probing import Plan
from validation.stages import gather

PLACES = {"sensor": "made_up_sensor", "serving": "made_up_serving"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in PLACES.values():
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_stage_that_does_not_exist_is_there_as_one_that_cannot_run(folder: Path) -> None:
    assert folder.exists()
    stages = gather(["sensor"], Options(), PLACES)  # type: ignore[arg-type]
    assert "No module named 'made_up_sensor'" in stages[0].unable(MACHINE)


def test_a_stage_whose_needs_are_missing_says_which(folder: Path) -> None:
    (folder / "made_up_serving.py").write_text("import no_such_package")
    (stage,) = gather(["serving"], Options(), PLACES)  # type: ignore[arg-type]
    assert "no_such_package" in stage.unable(MACHINE)


def test_a_module_without_a_stage_is_skipped(folder: Path) -> None:
    (folder / "made_up_serving.py").write_text("")
    (stage,) = gather(["serving"], Options(), PLACES)  # type: ignore[arg-type]
    assert "has no stage yet" in stage.unable(MACHINE)


def test_stages_come_in_the_order_of_the_list_with_the_options(folder: Path) -> None:
    for name in PLACES.values():
        (folder / f"{name}.py").write_text(f"def stage(options): return ('{name}', options)")
    options = Options(fake=True)
    made: list[object] = [*gather(["serving", "sensor"], options, PLACES)]  # type: ignore[arg-type]
    assert made == [("made_up_sensor", options), ("made_up_serving", options)]


def test_a_stage_whose_library_is_broken_costs_itself_only(folder: Path) -> None:
    (folder / "made_up_serving.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')")
    (stage,) = gather(["serving"], Options(), PLACES)  # type: ignore[arg-type]
    assert "OSError: libcudart.so.13" in stage.unable(MACHINE)


def test_stages_share_nine_minutes_in_the_same_unit() -> None:
    stages = gather([*get_args(StageName)], Options())
    shares = {stage.name: stage.share for stage in stages}
    assert sum(shares.values()) == pytest.approx(60.0 * MINUTES, rel=0.05)
    assert shares["sensor"] >= Plan().seconds


def test_the_sensor_stage_is_there() -> None:
    (stage,) = gather(["sensor"], Options())
    assert (stage.name, stage.unable(MACHINE)) == ("sensor", "")
