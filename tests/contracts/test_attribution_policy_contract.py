"""What every attribution policy must do; a new one is found here by itself."""

import json
from typing import Any

import numpy as np
import pytest

from exporter.attribution.policies import POLICIES
from exporter.attribution.policy import AttributionPolicy, PriceList, Scene, Window, coefficients
from exporter.domain.settings import PolicyName

SLICES = 30


def a_window(rng: np.random.Generator) -> Window:
    busy = float(rng.uniform(1.0, 5.0))
    steps, prefill = 50.0 * busy, float(rng.uniform(0.0, 3000.0))
    decode = steps * float(rng.uniform(1.0, 8.0))
    context = decode * float(rng.uniform(100.0, 900.0))
    joules = 80.0 * (5.0 - busy) + 3.0 * steps + 0.02 * prefill + 0.07 * decode + 1e-5 * context
    return Window(5.0, busy, steps, prefill, decode, context, joules)


def a_scene(rng: np.random.Generator) -> Scene:
    presence = rng.uniform(0.0, 0.5, SLICES)
    decoding = presence * rng.uniform(0.0, 1.0, SLICES)
    return Scene(0.1, presence, decoding, 500.0 * decoding, rng.uniform(0.0, 200.0, SLICES), 50.0 * decoding)


def nobody() -> Scene:
    nothing = np.zeros(SLICES)
    return Scene(0.1, nothing, nothing, nothing, nothing, nothing)


def taught(policy: AttributionPolicy) -> AttributionPolicy:
    rng = np.random.default_rng(1)
    for _ in range(60):
        policy.learn(a_window(rng))
    return policy


def weights(prices: PriceList, here: Scene) -> np.ndarray:
    total: np.ndarray = (
        prices.presence * here.presence
        + prices.decoding * here.decoding
        + prices.context * here.context
        + prices.prefill_token * here.prefill_tokens
        + prices.decode_token * here.decode_tokens
    ) * np.ones(SLICES)
    return total


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> AttributionPolicy:
    name: PolicyName = request.param
    return POLICIES[name]()


def test_it_is_sure_of_itself_once_it_has_seen_enough(policy: AttributionPolicy) -> None:
    assert taught(policy).doubt() == ""


def test_its_doubt_is_a_sentence_for_a_person(policy: AttributionPolicy) -> None:
    doubt = policy.doubt()
    assert doubt == doubt.strip()
    assert not doubt or " " in doubt


def test_prices_are_finite_and_never_negative(policy: AttributionPolicy) -> None:
    taught(policy)
    for here in (a_scene(np.random.default_rng(2)), nobody()):
        prices = policy.prices(here)
        for price in (prices.presence, prices.decoding, prices.context, prices.prefill_token, prices.decode_token):
            assert np.isfinite(price).all()
            assert (np.asarray(price) >= 0.0).all()


def test_whoever_is_there_with_tokens_weighs_something(policy: AttributionPolicy) -> None:
    taught(policy)
    here = a_scene(np.random.default_rng(3))
    assert (weights(policy.prices(here), here) > 0.0).all()


def test_prices_change_nothing(policy: AttributionPolicy) -> None:
    taught(policy)
    here = a_scene(np.random.default_rng(4))
    first, second = policy.prices(here), policy.prices(here)
    assert np.array_equal(weights(first, here), weights(second, here))


def test_an_empty_window_teaches_nothing_false(policy: AttributionPolicy) -> None:
    taught(policy)
    before = coefficients(policy)
    policy.learn(Window(5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 400.0))
    assert policy.doubt() == ""
    assert coefficients(policy) == pytest.approx(before, rel=0.05)


def test_what_it_saves_is_json_and_restores_it(policy: AttributionPolicy) -> None:
    saving: Any = taught(policy)
    if not hasattr(saving, "snapshot"):
        assert coefficients(policy) == {}, "a policy that learns coefficients must keep them across a restart"
        return
    again: Any = type(policy)()
    again.restore(json.loads(json.dumps(saving.snapshot())))
    assert again.doubt() == saving.doubt()
    assert coefficients(again) == coefficients(policy)
