from dataclasses import replace

import pytest

from exporter.report.sci import Boundary, sci
from tests.report.made import account, usage


def test_the_score_is_all_metered_energy_times_intensity_over_output_tokens() -> None:
    score = sci(account(), Boundary(360.0))
    assert score is not None
    assert score.joules_per_token == pytest.approx(15_000.0 / 10_000)
    assert score.grams_per_token == pytest.approx(1.5 / 3.6e6 * 360.0)
    assert score.embodied_grams == 0.0


def test_building_host_and_making_the_hardware_are_in_it_where_they_are_given() -> None:
    score = sci(account(), Boundary(360.0, pue=1.2, host_factor=1.5, embodied_grams=10.0))
    assert score is not None
    assert score.joules_per_token == pytest.approx(1.5 * 1.8)
    assert score.grams_per_token == pytest.approx(1.5 * 1.8 / 3.6e6 * 360.0 + 10.0 / 10_000)
    text = " ".join(score.notes)
    assert "x 1.2 (PUE), x 1.5 (host)" in text
    assert "M: 10 g" in text
    assert "the building" not in text


def test_the_notes_say_what_is_left_out() -> None:
    score = sci(account(), Boundary(360.0))
    assert score is not None
    text = " ".join(score.notes)
    assert "M, making the hardware, is left out" in text
    assert "Out: the building, the rest of the machine, networks" in text
    assert "idle included" in text
    assert "prompts included" in text
    assert "not all measured" not in text


def test_energy_that_is_not_measured_is_said_to_be_so() -> None:
    score = sci(account(method="simulated"), Boundary(360.0))
    assert score is not None
    assert "E is not all measured: simulated." in score.notes


def test_masses_in_its_notes_are_of_a_size_to_be_read() -> None:
    score = sci(account(), Boundary(360.0, embodied_grams=12_000.0))
    assert score is not None
    assert "M: 12 kg for this period, as given." in score.notes


def test_without_output_tokens_or_metered_energy_there_is_no_score() -> None:
    assert sci(account(usages=[replace(usage(), tokens={"input": 7})]), Boundary(360.0)) is None
    assert sci(replace(account(), books=()), Boundary(360.0)) is None
