"""Each policy's own rule."""

import json
from dataclasses import replace

import numpy as np
import pytest

from exporter.attribution.policy import Scene, Window, coefficients, step_rate
from exporter.attribution.steps import StepsPolicy
from exporter.attribution.time import TimePolicy
from exporter.attribution.tokens import TokensPolicy

STEP, PREFILL, DECODE, CONTEXT, IDLE = 3.0, 0.02, 0.07, 1e-5, 80.0


def scene(presence: float, decoding: float, tokens: float, *, context: float = 0.0, prefill: float = 0.0) -> Scene:
    """One slice of 100 ms."""
    columns = (np.array([value]) for value in (presence, decoding, context, prefill, tokens))
    return Scene(0.1, *columns)


def window(rng: np.random.Generator, *, batch: float | None = None) -> Window:
    """Five seconds on a server with known costs."""
    busy, rate = float(rng.uniform(2.0, 5.0)), float(rng.uniform(40.0, 60.0))
    steps = busy * rate
    decode = steps * (rng.uniform(1.0, 12.0) if batch is None else batch)
    prefill, context = float(rng.uniform(0.0, 4000.0)), decode * float(rng.uniform(100.0, 900.0))
    used = STEP * steps + PREFILL * prefill + DECODE * decode + CONTEXT * context + IDLE * (5.0 - busy)
    return Window(5.0, busy, steps, prefill, decode, context, used)


def taught(count: int = 60, **about: float) -> StepsPolicy:
    policy = StepsPolicy()
    rng = np.random.default_rng(1)
    for _ in range(count):
        policy.learn(window(rng, **about))
    return policy


def test_the_rate_of_steps_is_tokens_by_request_second_of_decoding() -> None:
    assert step_rate(scene(0.4, 0.4, 20.0)).tolist() == [50.0]
    assert step_rate(scene(0.4, 0.0, 0.0)).tolist() == [0.0]


def test_busy_time_is_no_longer_than_the_slice() -> None:
    assert scene(0.4, 0.4, 20.0).busy_seconds().tolist() == [0.1]
    assert scene(0.04, 0.0, 0.0).busy_seconds().tolist() == [0.04]


def test_time_prices_presence_and_nothing_else() -> None:
    prices = TimePolicy().prices(scene(0.1, 0.1, 5.0))
    assert (prices.presence, prices.decoding, prices.context, prices.prefill_token, prices.decode_token) == (
        1,
        0,
        0,
        0,
        0,
    )
    assert coefficients(TimePolicy()) == {}


def test_tokens_prices_all_tokens_alike_once_it_has_seen_one() -> None:
    policy = TokensPolicy()
    policy.learn(Window(5.0, 5.0, 0.0, 0.0, 0.0, 0.0, 100.0))
    assert "no token counts" in policy.doubt()
    policy.learn(Window(5.0, 5.0, 0.0, 10.0, 0.0, 0.0, 100.0))
    assert policy.doubt() == ""
    prices = policy.prices(scene(0.1, 0.1, 5.0))
    assert prices.prefill_token == prices.decode_token == 1.0
    assert prices.presence == 0.0


class TestSteps:
    def test_it_learns_what_things_cost(self) -> None:
        learned = taught().coefficients
        truth = {
            "idle": IDLE,
            "step": STEP,
            "prefill_token": PREFILL,
            "decode_token": DECODE,
            "context_token": CONTEXT,
        }
        assert learned == pytest.approx(truth, rel=1e-3)

    def test_it_doubts_itself_until_it_has_seen_enough(self) -> None:
        assert "too few output tokens" in StepsPolicy().doubt()
        assert "12 of 24 windows" in taught(12).doubt()
        assert taught(24).doubt() == ""

    def test_it_doubts_itself_while_the_fit_is_poor(self) -> None:
        policy, rng = StepsPolicy(), np.random.default_rng(1)
        for _ in range(60):
            policy.learn(replace(window(rng), joules=float(rng.uniform(100.0, 3000.0))))
        assert "misses metered energy" in policy.doubt()

    def test_it_doubts_itself_where_decoding_seems_free(self) -> None:
        policy, rng = StepsPolicy(), np.random.default_rng(1)
        for _ in range(60):
            one = window(rng)
            policy.learn(replace(one, joules=PREFILL * one.prefill_tokens + IDLE * (5.0 - one.busy_seconds)))
        assert "no energy in decode steps" in policy.doubt()

    def test_a_steps_common_part_is_shared_by_all_who_are_there(self) -> None:
        policy = taught()
        alone, four = policy.prices(scene(0.1, 0.1, 5.0)), policy.prices(scene(0.4, 0.4, 20.0))
        assert np.asarray(alone.presence)[0] == pytest.approx(STEP * 50.0, rel=1e-3)
        assert np.asarray(four.presence)[0] == pytest.approx(STEP * 50.0 / 4, rel=1e-3)
        assert np.asarray(four.decoding)[0] == pytest.approx(DECODE * 50.0, rel=1e-3)

    def test_the_weights_of_a_slice_sum_to_what_its_steps_cost(self) -> None:
        here = scene(0.4, 0.3, 15.0, context=0.3 * 500.0, prefill=200.0)
        prices = taught().prices(here)
        weight = (
            prices.presence * here.presence
            + prices.decoding * here.decoding
            + prices.context * here.context
            + prices.prefill_token * here.prefill_tokens
        )
        steps = 50.0 * 0.1
        assert weight[0] == pytest.approx(STEP * steps + DECODE * 15 + CONTEXT * 15 * 500 + PREFILL * 200, rel=1e-3)

    def test_in_an_even_batch_the_split_does_not_depend_on_what_cannot_be_told_apart(self) -> None:
        policy = taught(batch=4.0)
        learned = policy.coefficients
        assert learned["step"] + 4.0 * learned["decode_token"] == pytest.approx(STEP + 4.0 * DECODE, rel=1e-2)

    def test_it_goes_on_after_a_restart(self) -> None:
        before, after = taught(), StepsPolicy()
        after.restore(json.loads(json.dumps(before.snapshot())))
        assert after.doubt() == ""
        assert after.coefficients == before.coefficients
