"""The probe as a process of its own: what it writes when things go wrong, and how its stage takes that."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from tests.validation.stages import MACHINE, RESULT, FakeTime
from validation.cutting import Knife, OvertimeError
from validation.files import stage_from_json, stage_to_json
from validation.options import Options
from validation.results import StageResult
from validation.sensor.__main__ import SAMPLES, _write
from validation.sensor.checks import Assumed
from validation.sensor.polling import Samples
from validation.sensor.probing import Phase, Probed
from validation.sensor.sensors import Question, Sensors
from validation.sensor.stage import RESULT as FILE
from validation.sensor.stage import SensorStage
from validation.stage import Room


class Scripted(SensorStage):
    """A stage whose probe is a line of shell; `$1` is where the result belongs."""

    def __init__(self, script: str) -> None:
        super().__init__(Options(fake=True))
        self._script = script

    def _command(self, room: Room, result: Path) -> list[str]:
        assert room.scratch == result.parent
        return ["sh", "-c", self._script, "sh", str(result)]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def room(tmp_path: Path, said: list[str]) -> Room:
    time = FakeTime()
    (tmp_path / "ready.json").write_text(stage_to_json(RESULT))
    return Room(tmp_path, tmp_path, 60.0, time.now, time.wait, MACHINE, said.append)


def test_what_the_probe_says_is_passed_on_and_its_result_is_taken(room: Room, said: list[str]) -> None:
    assert Scripted('echo halfway; cp "$(dirname $1)/ready.json" $1').run(room) == RESULT
    assert said == ["halfway"]


def test_a_probe_without_a_result_is_a_failure_with_its_last_words(room: Room) -> None:
    with pytest.raises(RuntimeError, match="status 3 and no result: no such device"):
        Scripted("echo no such device >&2; exit 3").run(room)


def test_a_result_survives_what_goes_wrong_after_it(room: Room, said: list[str]) -> None:
    assert Scripted('cp "$(dirname $1)/ready.json" $1; echo no fonts >&2; exit 1').run(room) == RESULT
    assert said == ["the probe ended with status 1 after its result: no fonts"]


def test_a_probe_that_is_cut_may_still_write_what_it_has(room: Room) -> None:
    script = "trap 'cp \"$(dirname $1)/ready.json\" $1; exit' TERM; while :; do sleep 0.02; done"
    with Knife().ready() as knife, knife.after(0.3):
        result = Scripted(script).run(room)
    assert (result.ending, result.why, result.figures) == ("cut", "far past its time", RESULT.figures)


def test_a_probe_that_is_cut_and_has_nothing_is_cut(room: Room) -> None:
    with Knife().ready() as knife, pytest.raises(OvertimeError), knife.after(0.2):
        Scripted("exec sleep 60").run(room)
    assert not (room.scratch / FILE).exists()


def test_samples_that_nobody_can_make_sense_of_are_kept(tmp_path: Path) -> None:
    odd = Samples(np.arange(3.0), np.arange(5.0), np.arange(3.0))
    probed = Probed(Sensors({"usage": Question("usage", "nvmlDeviceGetPowerUsage", float)}, {}))
    probed.phases["idle"] = Phase({"usage": odd}, ((1.0, 2.0),))
    asked = argparse.Namespace(out=tmp_path, result=tmp_path / "result.json", fake=False)
    _write(asked, probed, Assumed(), "", plotting=True)
    result: StageResult = stage_from_json((tmp_path / "result.json").read_text())
    assert (result.ending, result.files) == ("failed", (SAMPLES,))
    assert "Error" in result.why
    kept = np.load(tmp_path / SAMPLES)
    assert kept["idle/usage/value"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert kept["idle/edges"].tolist() == [[1.0, 2.0]]
