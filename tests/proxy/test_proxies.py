"""Each proxy's own theory, and where it fails."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from exporter.domain.settings import ProxyName
from exporter.proxy.proxies import PROXIES, TERMS, UNITS, check_coefficients, predict_with
from exporter.proxy.proxy import Features, LastingProxy
from tests.proxy.loads import PRICES, STRETCH_SECONDS, energy, stretches, truth


def taught(name: ProxyName, seen: Features, world: ProxyName) -> LastingProxy:
    """The proxy after stretches from a world in which the other's theory holds."""
    proxy = PROXIES[name](None)
    proxy.learn(seen, energy(world, seen), STRETCH_SECONDS)
    return proxy


def load(count: int = 60, *, seed: int = 1) -> Features:
    return stretches(np.random.default_rng(seed), count)


def at_batch(batch: float, seen: Features) -> Features:
    """The same steps with another number of requests in each."""
    decode = seen.step_shares * batch
    return replace(seen, decode_tokens=decode, context_tokens=500.0 * decode)


def test_every_configurable_proxy_is_there_with_units_for_its_terms() -> None:
    assert set(PROXIES) == set(TERMS) == set(UNITS) == set(get_args(ProxyName))
    assert UNITS["step_model"]["prefill_token"] == "J/token"  # noqa: S105 - not a secret


def test_a_term_has_one_unit_wherever_it_stands() -> None:
    units = {(term, unit) for each in UNITS.values() for term, unit in each.items()}
    assert len(units) == len(dict(units))


def test_time_takes_waiting_for_working() -> None:
    seen = load()
    waited = replace(seen, seconds=2.0 * seen.seconds)
    time, share = taught("time", seen, "time"), taught("time_share", seen, "time_share")
    assert time.predict(waited) == pytest.approx(2.0 * time.predict(seen))
    assert share.predict(waited).tolist() == share.predict(seen).tolist()


def test_time_learned_in_company_undercounts_who_is_alone() -> None:
    seen = load()
    alone = replace(seen, seconds=seen.shared_seconds)
    assert (taught("time", seen, "time_share").predict(alone) < 0.5 * energy("time_share", alone)).all()


def test_time_share_learns_the_mean_busy_power() -> None:
    learned = taught("time_share", load(), "time_share").coefficients["shared_second"]
    assert learned.value == pytest.approx(PRICES["shared_second"])


def test_affine_time_tells_the_request_from_its_seconds() -> None:
    learned = taught("affine_time", load(), "affine_time").coefficients
    assert learned["request"].value == pytest.approx(PRICES["request"])
    assert learned["second"].value == pytest.approx(PRICES["second"])


def test_requests_that_all_last_equally_long_leave_only_the_sum_to_be_told() -> None:
    seen = load()
    seen = replace(seen, seconds=4.0 * seen.requests)
    proxy = taught("affine_time", seen, "affine_time")
    assert proxy.predict(seen) == pytest.approx(energy("affine_time", seen))
    assert np.isnan(proxy.predict(replace(seen, seconds=2.0 * seen.seconds))).all()
    assert {found.error for found in proxy.coefficients.values()} == {np.inf}


def test_tokens_takes_no_notice_of_how_full_the_batch_is() -> None:
    seen = at_batch(8.0, load())
    seen = replace(seen, output_tokens=seen.decode_tokens)
    proxy = taught("tokens", seen, "step_model")
    alone = at_batch(1.0, load(seed=2))
    alone = replace(alone, output_tokens=alone.decode_tokens)
    assert np.median(proxy.predict(alone) / energy("step_model", alone)) < 0.5


def test_step_model_tells_what_a_batch_shares_from_what_each_bears() -> None:
    learned = taught("step_model", load(), "step_model").coefficients
    for term, price in truth("step_model").items():
        assert learned[term].value == pytest.approx(price)


def test_at_a_batch_that_never_varied_step_model_is_right_and_at_another_silent() -> None:
    seen = at_batch(6.0, load())
    proxy = taught("step_model", seen, "step_model")
    again = at_batch(6.0, load(seed=2))
    assert proxy.predict(again) == pytest.approx(energy("step_model", again))
    assert np.isnan(proxy.predict(at_batch(2.0, again))).all()
    assert proxy.coefficients["step"].error == np.inf
    assert proxy.coefficients["prefill_token"].error < np.inf


def test_prefill_tokens_that_never_were_are_not_taken_to_cost_nothing() -> None:
    cached = replace(load(), prefill_tokens=np.zeros(60))
    proxy = taught("step_model", cached, "step_model")
    assert proxy.predict(cached) == pytest.approx(energy("step_model", cached))
    assert np.isnan(proxy.predict(load())).all()
    seen = load(20, seed=2)
    proxy.learn(seen, energy("step_model", seen), STRETCH_SECONDS)
    assert proxy.predict(load()) == pytest.approx(energy("step_model", load()), rel=0.01)


def test_where_the_log_has_no_tokens_only_those_who_need_them_are_silent() -> None:
    unknown = np.full(60, np.nan)
    seen = replace(
        load(),
        prompt_tokens=unknown,
        output_tokens=unknown,
        prefill_tokens=unknown,
        decode_tokens=unknown,
        step_shares=unknown,
        context_tokens=unknown,
    )
    speaking = {name for name in PROXIES if np.isfinite(taught(name, seen, "time_share").predict(seen)).all()}
    assert speaking == {"time", "affine_time", "time_share"}


def test_peak_is_the_limit_times_the_time_and_learns_nothing() -> None:
    seen, proxy = load(), PROXIES["peak"](700.0)
    proxy.learn(seen, energy("time", seen), STRETCH_SECONDS)
    assert proxy.predict(seen) == pytest.approx(700.0 * seen.seconds)
    assert (proxy.coefficients["second"].value, proxy.coefficients["second"].error) == (700.0, 0.0)


def test_peak_says_nothing_where_the_limit_is_not_known() -> None:
    proxy = PROXIES["peak"](None)
    assert np.isnan(proxy.predict(load())).all()
    assert proxy.coefficients == {}


def test_energy_below_the_idle_power_is_taken_as_it_comes() -> None:
    seen, proxy = load(200), PROXIES["time_share"](None)
    noise = 400.0 * np.random.default_rng(3).normal(size=200)
    joules = 100.0 * seen.shared_seconds + noise
    assert (joules < 0.0).any()
    proxy.learn(seen, joules, STRETCH_SECONDS)
    learned = proxy.coefficients["shared_second"]
    assert abs(learned.value - 100.0) <= 2.5 * learned.error < 50.0


@pytest.mark.parametrize("name", [name for name in PROXIES if name != "peak"])
def test_coefficients_learned_elsewhere_predict_the_same(name: ProxyName) -> None:
    proxy = taught(name, load(), name)
    carried = {term: found.value for term, found in proxy.coefficients.items()}
    assert predict_with(name, carried, load(seed=2)).tolist() == proxy.predict(load(seed=2)).tolist()


def test_what_is_not_known_is_not_predicted_from_a_calibration_either() -> None:
    seen = replace(load(3), prompt_tokens=np.array([1.0, np.nan, np.inf]))
    assert np.isfinite(predict_with("tokens", truth("tokens"), seen)).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("coefficients", "words"),
    [
        ({}, "has the terms `output_token`, `prompt_token`, not none"),
        ({"prompt_token": 1.0}, "not `prompt_token`"),
        ({"prompt_token": 1.0, "output_token": 1.0, "second": 1.0}, "not `output_token`, `prompt_token`, `second`"),
        ({"prompt_token": -1.0, "output_token": 1.0}, "coefficient `prompt_token` of proxy `tokens` is -1.0"),
        ({"prompt_token": 1.0, "output_token": float("nan")}, "must be finite and not negative"),
    ],
)
def test_coefficients_of_something_else_are_refused_in_words(coefficients: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        predict_with("tokens", coefficients, load())
    with pytest.raises(ValueError, match=words):
        check_coefficients("tokens", coefficients)
