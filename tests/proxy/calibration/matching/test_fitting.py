"""Whether any of the calibrations fits at all, and what speaks against those that do not. SIMULATED servers."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from exporter.proxy.calibration.latency import Level
from exporter.proxy.calibration.matching.fitting import (
    LEAST_LOG_ODDS,
    WITNESSES,
    goodness,
    log_evidence_of_anything,
)
from exporter.proxy.calibration.matching.ranking import rank
from exporter.proxy.calibration.matching.timings import Timings
from exporter.proxy.calibration.matching.trial import Trial
from tests.proxy.served import busy_run, physics_of, profile, quiet_run, timings

MODELS = ("llama-3.1-8b", "qwen3-14b", "llama-3.1-70b")


def seen_of(model: str, count: int = 25, *, seed: int = 0) -> Timings:
    return timings(quiet_run(physics_of(model), 900, 40), count, network_seconds=0.02, seed=seed)


def quicker(seen: Timings, factor: float) -> Timings:
    """Everything but the tokens so many times as fast."""
    return Timings(
        seen.prompt_tokens,
        seen.output_tokens,
        seen.time_to_first_token_seconds / factor,
        seen.seconds / factor,
    )


def candidates(*models: str) -> Mapping[str, Sequence[Level]]:
    return {model: profile(physics_of(model)).levels for model in models}


@pytest.mark.parametrize("count", [1, 3, 25])
def test_what_is_calibrated_is_never_said_to_be_none(count: int) -> None:
    for model, seed in itertools.product(MODELS, range(2)):
        ranking = rank(candidates(*MODELS), seen_of(model, count, seed=seed))
        assert ranking.verdict != "none"
        assert model in ranking.among


@pytest.mark.parametrize("factor", [1 / 1.05, 1.05])
def test_a_machine_that_differs_by_a_few_per_cent_is_not_refuted_by_very_many_timings(factor: float) -> None:
    seen = quicker(seen_of("qwen3-14b").rows(np.arange(400) % 25), factor)
    ranking = rank(candidates(*MODELS), seen)
    assert (ranking.best.name, ranking.best.fits) == ("qwen3-14b", True)


@pytest.mark.parametrize("count", [3, 25])
def test_of_an_accelerator_ten_times_as_fast_none_of_the_gpus_is_named(count: int) -> None:
    """Load makes slower, never faster: that is said of each."""
    ranking = rank(
        candidates("qwen3-14b", "llama-3.1-70b"),
        quicker(seen_of("llama-3.1-8b", count), 10.0),
    )
    assert (ranking.verdict, ranking.among) == ("none", ())
    assert [one.against for one in ranking.fits] == ["faster", "faster"]


def test_what_is_slower_than_under_any_load_is_told_apart_because_it_may_be_busier() -> None:
    ranking = rank({"it": profile(physics_of("qwen3-14b")).levels}, quicker(seen_of("qwen3-14b"), 1 / 8))
    assert (ranking.verdict, ranking.best.against) == ("none", "slower")


def test_a_load_that_was_calibrated_speaks_against_nobody() -> None:
    seen = timings(busy_run(physics_of("qwen3-14b"), 901, rate=1.0, count=120), 30, network_seconds=0.03)
    assert rank({"it": profile(physics_of("qwen3-14b")).levels}, seen).best.fits


def test_what_fits_only_because_it_expects_anything_does_not_fit() -> None:
    """A small model under heavy load answers so unevenly that a large one alone lies within, far too evenly."""
    small, large = physics_of("qwen3-8b", 1), physics_of("llama-3.1-70b", 1)
    ranking = rank({"small": profile(small).levels}, timings(quiet_run(large, 901, 30), 25))
    assert ranking.best.inside > 0.9
    assert (ranking.verdict, ranking.best.against) == ("none", "otherwise")


@pytest.mark.parametrize(("every", "fits"), [(10, True), (2, False)])
def test_where_half_of_the_times_are_not_to_be_expected_it_does_not_fit_even_if_nothing_else_does(
    every: int, *, fits: bool
) -> None:
    seen = seen_of("qwen3-14b", 30)
    seen.time_to_first_token_seconds[::every] += 50.0
    seen.seconds[::every] += 50.0 + 30.0 * np.arange(len(seen.seconds[::every]))
    trial = Trial.of(profile(physics_of("qwen3-14b")).levels, seen)
    found = goodness(trial, trial.log_likelihood(), log_odds=0.0)
    assert (found.against is None) == fits


def test_twice_the_load_is_less_likely_by_a_third_and_all_of_it_is_certain() -> None:
    log_prior = Trial.of(profile(physics_of("qwen3-14b")).levels, seen_of("qwen3-14b", 1)).log_prior
    assert np.exp(log_prior).sum() == pytest.approx(1.0)
    assert log_prior[0] - log_prior[2] == pytest.approx(math.log(1.5))


def test_what_is_left_out_as_negligible_is_so() -> None:
    seen = seen_of("qwen3-14b", 3)
    trial = Trial.of(profile(physics_of("qwen3-14b")).levels, seen)
    likelihood, every = trial.log_likelihood(), np.ones((len(seen), 1))
    whole = np.log(np.exp(likelihood @ every + trial.log_prior[:, None]).sum(axis=0))
    assert trial.evidence(likelihood, every) == pytest.approx(whole, rel=1e-9)


def test_a_neighbour_is_not_excluded_by_three_timings_nor_named_for_certain() -> None:
    ranking = rank({"it": profile(physics_of("qwen3-32b")).levels}, seen_of("llama-3.1-70b", 3))
    assert ranking.verdict == "unclear"


def test_one_calibration_alone_is_never_certain() -> None:
    assert rank(candidates("qwen3-14b"), seen_of("qwen3-14b")).verdict == "unclear"


def test_who_is_best_of_these_is_not_certain_while_anything_else_would_be_better() -> None:
    """Some 12 % faster: it fits, and comes first by far, but it may well be something else."""
    everyone = candidates(*MODELS)
    own = rank(everyone, seen_of("llama-3.1-8b"))
    odd = rank(everyone, quicker(seen_of("llama-3.1-8b"), 1.12))
    assert (own.verdict, own.best.log_odds > 0.0) == ("match", True)
    assert LEAST_LOG_ODDS < odd.best.log_odds < 0.0 < odd.best.confidence - 0.9
    assert (odd.verdict, odd.among) == ("unclear", ("llama-3.1-8b",))


def test_more_timings_than_are_counted_weigh_no_more() -> None:
    seen = seen_of("qwen3-14b")
    once, often = (log_evidence_of_anything(one) for one in (seen, seen.rows(np.arange(16 * WITNESSES) % 25)))
    assert often == pytest.approx(once)


@pytest.mark.parametrize("missing", ["prompt_tokens", "output_tokens"])
def test_timings_without_one_number_of_tokens_are_held_against_anything_as_well(missing: str) -> None:
    seen = seen_of("qwen3-14b")
    getattr(seen, missing)[:] = math.nan
    ranking = rank({"it": profile(physics_of("qwen3-14b")).levels}, seen)
    assert math.isfinite(ranking.best.log_odds)
    assert ranking.best.fits
