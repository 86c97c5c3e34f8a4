import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.validation.stages import MACHINE, RESULT, validation
from validation.files import ResultsError, from_json, read, stage_from_json, stage_to_json, to_json, write
from validation.results import Figure, StageResult

WHOLE = validation(RESULT, StageResult("serving", "skipped", 0.0, "no server"))


def test_results_come_back_from_json_as_they_were() -> None:
    assert from_json(to_json(WHOLE)) == WHOLE
    assert stage_from_json(stage_to_json(RESULT)) == RESULT


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5), st.text(max_size=20))
def test_numbers_and_notes_survive_to_the_last_bit(values: list[float], note: str) -> None:
    figures = tuple(Figure("any", value, "s", note=note) for value in values)
    result = replace(RESULT, figures=figures, tables={note: tuple({"value": value} for value in values)})
    assert stage_from_json(stage_to_json(result)) == result


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("-inf")])
def test_what_is_no_number_is_not_known(value: float) -> None:
    told = stage_from_json(stage_to_json(replace(RESULT, figures=(Figure("any", value, "s"),))))
    assert told.figures[0].value is None


def test_numbers_of_numpy_become_plain_ones() -> None:
    rows = ({"count": np.int64(3), "held": np.bool_(True), "list": np.arange(2)},)  # noqa: FBT003
    told = json.loads(stage_to_json(replace(RESULT, tables={"Rows": rows})))
    assert told["tables"]["Rows"] == [{"count": 3, "held": True, "list": [0, 1]}]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"machine": 3}', json.dumps({"machine": {}})])
def test_what_was_not_written_here_is_refused(text: str) -> None:
    with pytest.raises(ResultsError, match="no results"):
        from_json(text)
    with pytest.raises(ResultsError, match="no result"):
        stage_from_json(text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"results\.json cannot be read"):
        read(tmp_path / "results.json")


def test_a_file_is_replaced_at_once_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write(path, "old")
    write(path, to_json(WHOLE))
    assert read(path) == WHOLE
    assert [each.name for each in tmp_path.iterdir()] == ["results.json"]


def test_the_machine_is_told_in_the_words_of_its_fields() -> None:
    assert json.loads(to_json(WHOLE))["machine"]["driver"] == MACHINE.driver
