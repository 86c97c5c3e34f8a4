from dataclasses import replace

from tests.validation.stages import MACHINE, RESULT, validation
from validation.report import cell, markdown, table
from validation.results import StageResult

FAKE_MACHINE = replace(MACHINE, fake=True)


def test_a_report_names_machine_driver_date_and_command() -> None:
    text = markdown(validation(RESULT))
    for told in ("NVIDIA H200, 150 GiB, power limit 700 W", "580.1, CUDA 13.0", "2026-09-21 14:13 UTC", "--out x"):
        assert told in text


def test_a_fake_says_so_before_anything_else_and_at_every_stage() -> None:
    text = markdown(validation(RESULT, machine=FAKE_MACHINE))
    assert text.index("Nothing on this page is a measurement") < text.index("NVIDIA H200")
    assert "FAKE NVIDIA H200" in text
    assert "## sensor (FAKE)" in text
    assert "FAKE" not in markdown(validation(RESULT))


def test_checks_figures_tables_and_pictures_are_all_there() -> None:
    text = markdown(validation(RESULT))
    assert "| a | b | c | held |" in text
    assert "| g | h | i | **did not hold** |" in text
    assert "| d | e | f | not decided |" in text
    assert "| counter_step_seconds | 0.3 | s | 0.1 to - | 7 | so \\| so |" in text
    assert "| window | not known | s |" in text
    assert "### Rows\n\n| a | b | c |" in text
    assert "![sensor.png](sensor.png)" in text


def test_the_overview_says_how_every_stage_ended() -> None:
    failed = StageResult("serving", "failed", 3.0, "Traceback\nValueError: no")
    text = markdown(validation(RESULT, failed))
    assert "| sensor | done | 62 | 1 of 3 | 1 | - |" in text
    assert "| serving | **failed** | 3 | - | - | ValueError: no |" in text


def test_values_are_written_for_people() -> None:
    values = (None, True, 0.0, 1234.5678, 123456.7, 1e-7, 3, "a|b\nc")
    assert [cell(value) for value in values] == ["-", "yes", "0", "1235", "123457", "1e-07", "3", "a\\|b / c"]


def test_a_long_table_says_where_the_rest_is() -> None:
    text = table([{"n": number} for number in range(70)])
    assert "| 59 |" in text
    assert "| 60 |" not in text
    assert "10 more rows are in results.json" in text
