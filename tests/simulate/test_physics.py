"""What the published fits say stays what a simulated step costs."""

import pytest

from exporter.simulate.physics import FITS, TDP_WATTS, Fit, served


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.model)
@pytest.mark.parametrize("batch", [1, 16, 64])
def test_a_step_at_a_thousand_tokens_of_context_costs_what_the_fit_says(fit: Fit, batch: int) -> None:
    assert served(fit).cost.of(0, batch, 1000 * batch) == pytest.approx(fit.step_joules + batch * fit.decode_joules)


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.model)
def test_steps_take_plausible_time_and_never_more_than_the_boards_can_draw(fit: Fit) -> None:
    physics = served(fit)
    assert 0.008 < physics.seconds.of(0, 1, 1000) < 0.021
    for work in [(0, 1, 1000), (0, 64, 64_000), (2048, 0, 0), (1984, 64, 64_000)]:
        assert physics.idle_watts < physics.cost.of(*work) / physics.seconds.of(*work) < TDP_WATTS * fit.gpus
    assert min(physics.seconds.decode, physics.joules.decode, physics.joules.prefill_token) > 0.0


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.model)
def test_boards_share_the_energy_nearly_evenly(fit: Fit) -> None:
    shares = served(fit).gpu_shares
    assert sum(shares) == pytest.approx(1.0)
    assert len(shares) == fit.gpus
    assert max(shares) / min(shares) < 1.07
