"""Energy over time is kept exactly, and only for as long as anybody asks for it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulate.batching import simulate
from exporter.simulate.engine import Step
from exporter.simulate.load import MIXED, poisson_times, requests
from exporter.simulate.physics import random_physics
from exporter.simulate.trace import EnergyTrace
from tests.simulation.power import power_trace


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_it_holds_the_energy_of_a_whole_run_piece_by_piece(seed: int) -> None:
    rng = np.random.default_rng(seed)
    load = requests(rng, poisson_times(rng, 1.0, 6.0), MIXED)
    run = simulate(load, random_physics(rng), rng)
    steps, whole = run.steps, power_trace(run)
    trace = EnergyTrace(run.physics.idle_watts)
    columns = (steps.start, steps.end, steps.joules, steps.prefill_tokens, steps.decoding, steps.context_tokens)
    for row in zip(*(column.tolist() for column in columns), steps.members.tolist(), strict=True):
        step = Step(*row)
        trace.add(step)
        for at in (step.start, (step.start + step.end) / 2, step.end, step.end + 0.5):
            true = whole.energy(run.begin, run.begin + min(at, step.end))
            idle = run.physics.idle_watts * max(at - step.end, 0.0)
            assert trace.joules(at) == pytest.approx(true + idle, rel=1e-6, abs=1e-3)


def test_before_the_first_step_and_before_time_zero_power_is_idle() -> None:
    trace = EnergyTrace(80.0)
    assert [trace.joules(at) for at in (-1.0, 0.0, 2.0)] == [-80.0, 0.0, 160.0]


def test_an_hour_of_steps_is_not_kept_and_the_sum_is_not_lost() -> None:
    trace = EnergyTrace(80.0)
    for number in range(100_000):
        trace.add(Step(number * 0.02, number * 0.02 + 0.01, 3.0, 0, 1, 100, 1))
    assert trace.joules(2000.0) == pytest.approx(100_000 * (3.0 + 0.8), rel=1e-9)
    assert len(trace._edges) < 4096
