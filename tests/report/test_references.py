"""Published figures."""

import math

import pytest

from exporter.report.references import ecologits, measured


def test_every_published_figure_says_who_measured_it_with_what() -> None:
    assert len(measured()) == 9
    assert all("ML.ENERGY" in one.source and "vLLM 0.11.1" in one.source and not one.modelled for one in measured())


def test_energy_per_token_falls_with_the_batch() -> None:
    by_model: dict[str, list[float]] = {}
    for one in sorted(measured(), key=lambda one: one.batch):
        by_model.setdefault(one.model, []).append(one.joules_per_output_token)
    assert all(figures == sorted(figures, reverse=True) for figures in by_model.values())


def test_the_formula_says_what_it_was_published_to_say() -> None:
    by_hand = 3600.0 * (1.17e-6 * math.exp(-0.0112 * 64) * 8 + 4.05e-5)
    one = ecologits(8e9)
    assert one.joules_per_output_token == pytest.approx(by_hand)
    assert one.joules_per_output_token == pytest.approx(0.162, abs=5e-4)
    assert one.modelled
    assert "no measurement but a formula" in one.source


@pytest.mark.parametrize(("parameters", "gpus"), [(8e9, 1), (33e9, 1), (34e9, 2), (70e9, 4), (117e9, 4), (405e9, 16)])
def test_a_model_takes_as_many_gpus_as_hold_it(parameters: float, gpus: int) -> None:
    assert ecologits(8e9, parameters).hardware == f"{gpus} x NVIDIA H100"
