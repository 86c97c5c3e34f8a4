"""Each proxy fails where its theory says so, and one that knows better does not.

The figures are those of `python -m tests.bench.failures`, on SIMULATED servers; bounds leave them room.
"""

from collections.abc import Mapping
from functools import cache

import pytest

from exporter.domain.settings import ProxyName
from tests.bench.failures import EXPERIMENTS, Outcome, outcomes
from tests.bench.proxies import tables_of

SECONDS = 240.0


@cache
def told(experiment: str) -> Mapping[str, Outcome]:
    return outcomes(EXPERIMENTS[experiment], SECONDS)


def bias(experiment: str, exam: int, proxy: ProxyName) -> float:
    return list(told(experiment).values())[exam].held[proxy].bias


def test_time_calibrated_at_one_batch_is_off_by_half_and_more_at_another_and_the_step_model_is_not() -> None:
    taught = tables_of(0, SECONDS, {"moderate": (4,)}, batches=(1, 16))["moderate"]
    assert taught[1]["time"].error > 0.5
    assert taught[16]["time"].error > 1.0
    assert all(held["step_model"].error < 0.05 for held in taught.values())


@pytest.mark.parametrize("experiment", ["queueing", "queueing, unseen"])
def test_waiting_counts_as_energy_for_time_alone(experiment: str) -> None:
    assert bias(experiment, 2, "time") > 3.0
    assert abs(bias(experiment, 2, "time_share")) < 0.1
    assert abs(bias(experiment, 2, "step_model")) < 0.05


def test_more_gpus_make_a_request_faster_and_not_cheaper() -> None:
    alone, _, four = told("parallelism").values()
    assert four.ran_seconds < 0.5 * alone.ran_seconds
    assert four.joules > 0.95 * alone.joules
    assert bias("parallelism", 2, "time") < -0.5
    assert abs(bias("parallelism", 2, "tokens")) < 0.1


def test_at_a_lower_clock_nothing_learned_at_the_full_one_holds() -> None:
    full, lower = told("clocks").values()
    assert lower.ran_seconds > full.ran_seconds
    assert lower.joules < full.joules
    assert bias("clocks", 1, "time") > 0.3
    assert 0.05 < bias("clocks", 1, "step_model") < bias("clocks", 1, "time")


def test_prompt_tokens_out_of_a_cache_cost_nothing_but_for_who_counts_all_tokens() -> None:
    assert bias("prompt cache", 1, "tokens") > 0.15
    assert abs(bias("prompt cache", 1, "step_model")) < 0.05


def test_of_phases_never_seen_a_proxy_that_tells_them_apart_says_nothing() -> None:
    a_word = list(told("phases").values())[-1].held
    assert a_word["time"].bias < -0.1
    assert a_word["tokens"].silent
    assert a_word["step_model"].silent


def test_of_phases_that_were_seen_it_is_right() -> None:
    prompts = told("phases, both seen")["long prompts, short answers"].held
    assert prompts["time"].bias < -0.03
    assert abs(prompts["step_model"].bias) < 0.02


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_where_nothing_differs_the_step_model_is_right(experiment: str) -> None:
    assert abs(bias(experiment, 0, "step_model")) < 0.02
