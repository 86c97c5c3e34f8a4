"""Shares against known truth, on fixed seeds: what the benchmark of fairness shows, held."""

import numpy as np
import pytest

from exporter.domain.settings import PolicyName
from exporter.domain.units import later
from exporter.pipeline.pipeline import Pipeline
from exporter.simulate.batching import simulate
from exporter.simulate.load import Request
from exporter.simulate.physics import EIGHT_B
from tests.bench.fairness import SIGHTS, run_of, score
from tests.pipeline.telling import counters, gpus, hear, settings, tell
from tests.simulation.hearing import events

SECONDS = 400.0
SEEDS = (0, 1)


def errors(policy: PolicyName, batch: float, sight: str = "all") -> list[float]:
    return [score(run_of(seed, batch, SECONDS), policy, SIGHTS[sight]).error for seed in SEEDS]


@pytest.mark.parametrize(("batch", "bound"), [(1.6, 0.02), (8.0, 0.04), (16.0, 0.07)])
def test_steps_is_fair_and_fairer_than_time(batch: float, bound: float) -> None:
    steps, time = errors("steps", batch), errors("time", batch)
    assert max(steps) <= bound
    assert all(mine < 0.6 * other for mine, other in zip(steps, time, strict=True))


@pytest.mark.parametrize("sight", ["only ends", "no first token"])
def test_steps_is_fairer_than_time_even_where_the_log_is_poor(sight: str) -> None:
    assert max(errors("steps", 8.0, sight)) < 0.75 * min(errors("time", 8.0, sight))


def test_without_tokens_steps_falls_back_to_time_and_says_so() -> None:
    run = run_of(0, 8.0, SECONDS)
    blind = score(run, "steps", SIGHTS["no tokens"])
    assert blind.in_force == 0.0
    assert "too few output tokens" in blind.reason
    assert blind.error == score(run, "time", SIGHTS["no tokens"]).error


@pytest.mark.parametrize("policy", ["time", "tokens", "steps"])
def test_identical_requests_that_run_together_get_equal_joules(policy: PolicyName) -> None:
    load = [Request(f"{wave}.{one}", 8.0 * wave, 200, 150) for wave in range(30) for one in range(4)]
    run = simulate(load, EIGHT_B, np.random.default_rng(1))
    pipeline = Pipeline(settings(policy=policy), gpus(1), run.begin)
    end = later(run.end, 10.0)
    settled = tell(pipeline, counters(run, until=end), hear(events(run)), begin=run.begin, end=end)
    joules = {one.id: one.joules for one in settled}
    for wave in range(30):
        mine = [joules[f"{wave}.{one}"] for one in range(4)]
        assert mine == pytest.approx([mine[0]] * 4, rel=1e-9)


@pytest.mark.parametrize("policy", ["time", "tokens", "steps"])
def test_a_request_alone_gets_what_was_metered_while_it_ran(policy: PolicyName) -> None:
    load = [Request(str(one), 8.0 * one, 200, 150) for one in range(30)]
    run = simulate(load, EIGHT_B, np.random.default_rng(1))
    pipeline = Pipeline(settings(policy=policy), gpus(1), run.begin)
    end = later(run.end, 10.0)
    settled = tell(pipeline, counters(run, until=end), hear(events(run)), begin=run.begin, end=end)
    truth = {one.id: one.joules for one in run.served}
    for one in settled[2:]:
        assert one.joules == pytest.approx(truth[one.id], rel=0.05)
    assert sum(one.joules for one in settled) == pytest.approx(run.busy_joules, rel=0.01)
