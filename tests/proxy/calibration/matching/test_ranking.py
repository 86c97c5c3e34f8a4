"""Matching, on SIMULATED servers of five models: the right one, how sure, and when to say that none fits."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from exporter.proxy.calibration.latency import LatencyProfile, Level
from exporter.proxy.calibration.matching.ranking import MOST_TIMINGS, Ranking, _halves, rank
from exporter.proxy.calibration.matching.timings import Timings
from exporter.simulate.physics import FITS, Physics
from tests.proxy.served import busy_run, physics_of, profile, quiet_run, timings

SEEDS = range(3)
DIFFERENT = ("llama-3.1-8b", "qwen3-14b", "llama-3.1-70b")
"""Models whose steps differ by a third and more."""


def levels_of(physics: Physics) -> Sequence[Level]:
    return profile(physics).levels


@cache
def candidates(*models: str) -> Mapping[str, Sequence[Level]]:
    return {model: levels_of(physics_of(model)) for model in models}


def quiet(model: str, count: int, *, network_seconds: float = 0.0, seed: int = 0) -> Timings:
    return timings(quiet_run(physics_of(model), 900, 40), count, network_seconds=network_seconds, seed=seed)


def busy(model: str, count: int, *, rate: float = 1.0, seed: int = 0) -> Timings:
    """Seen while others ask as well, `rate` a second."""
    return timings(busy_run(physics_of(model), 901, rate=rate, count=120), count, network_seconds=0.03, seed=seed)


def scaled(timings: Timings, factor: float) -> Timings:
    return replace(
        timings,
        time_to_first_token_seconds=factor * timings.time_to_first_token_seconds,
        seconds=factor * timings.seconds,
    )


def hits(rankings: Sequence[tuple[str, Ranking]]) -> int:
    return sum(ranking.best.name == truth for truth, ranking in rankings)


@pytest.mark.parametrize("network_seconds", [0.0, 0.02, 0.2])
def test_the_right_one_comes_first_whatever_the_network_adds(network_seconds: float) -> None:
    rankings = [
        (model, rank(candidates(*DIFFERENT), quiet(model, 25, network_seconds=network_seconds, seed=seed)))
        for model, seed in itertools.product(DIFFERENT, SEEDS)
    ]
    assert hits(rankings) >= 0.95 * len(rankings)


def test_load_on_the_remote_does_not_fool_it_badly() -> None:
    rankings = [
        (model, rank(candidates(*DIFFERENT), busy(model, 30, rate=rate, seed=seed)))
        for model, seed, rate in itertools.product(DIFFERENT, range(2), (0.3, 1.0))
    ]
    assert hits(rankings) >= 0.85 * len(rankings)
    assert all(truth in ranking.among for truth, ranking in rankings if ranking.verdict == "match")


def test_a_confidence_is_how_often_it_is_right() -> None:
    """Where it says nine tenths or more it must be, among lookalikes too; and it says so not only of a few."""
    everyone = candidates(*(fit.model for fit in FITS))
    rankings = [
        (model, rank(everyone, seen))
        for model, count, seed in itertools.product(everyone, (3, 12, 30), range(2))
        for seen in (quiet(model, count, seed=seed), busy(model, count, seed=seed))
    ]
    sure = [(truth, ranking) for truth, ranking in rankings if ranking.best.confidence >= 0.9]
    unsure = [(truth, ranking) for truth, ranking in rankings if ranking.best.confidence < 0.7]
    assert len(sure) > 0.1 * len(rankings)
    assert hits(sure) >= 0.9 * len(sure)
    assert len(unsure) > 0.1 * len(rankings)
    assert hits(unsure) <= 0.85 * len(unsure)
    assert sum(truth in ranking.among for truth, ranking in rankings) >= 0.95 * len(rankings)


def test_three_timings_give_low_confidence() -> None:
    for model, seed in itertools.product(DIFFERENT, range(2)):
        few, many = (rank(candidates(*DIFFERENT), quiet(model, count, seed=seed)) for count in (3, 25))
        assert few.best.confidence < 0.85
        assert few.verdict != "match"
        assert few.best.confidence < many.best.confidence


def test_twins_cannot_be_told_apart() -> None:
    twin = candidates("llama-3.1-8b")["llama-3.1-8b"]
    ranking = rank({"one": twin, "other": twin, **candidates("llama-3.1-70b")}, quiet("llama-3.1-8b", 25))
    assert (ranking.verdict, ranking.among) == ("unclear", ("one", "other"))
    assert [fit.confidence for fit in ranking.fits[:2]] == pytest.approx([0.5, 0.5], abs=0.02)


@pytest.mark.parametrize("factor", [0.25, 0.5, 4.0])
def test_hardware_that_is_in_none_of_the_calibrations_is_none_of_them(factor: float) -> None:
    for model in DIFFERENT:
        others = candidates(*(name for name in DIFFERENT if name != model))
        ranking = rank(others, scaled(quiet(model, 20), factor))
        assert (ranking.verdict, ranking.among) == ("none", ())
        assert not ranking.best.fits


def test_a_machine_that_is_a_little_slower_than_the_calibrated_one_still_fits() -> None:
    for model, factor in itertools.product(DIFFERENT, (0.95, 1.05)):
        ranking = rank(candidates(*DIFFERENT), scaled(quiet(model, 25), factor))
        assert (ranking.best.name, ranking.best.fits) == (model, True)


def test_load_and_network_are_estimated() -> None:
    near = rank(candidates("qwen3-14b"), quiet("qwen3-14b", 25)).best
    far = rank(candidates("qwen3-14b"), quiet("qwen3-14b", 25, network_seconds=0.2)).best
    loaded = rank(candidates("qwen3-14b"), busy("qwen3-14b", 30, rate=4.0)).best
    assert near.network_seconds < 0.02
    assert far.network_seconds == pytest.approx(0.2, rel=0.3)
    assert near.concurrency < 2.0
    assert loaded.concurrency > 4.0


def test_the_best_one_falls_short_of_nobody_and_confidences_are_shares_of_one() -> None:
    ranking = rank(candidates(*DIFFERENT), quiet("qwen3-14b", 25))
    assert ranking.best.shortfall == 0.0
    assert sum(fit.confidence for fit in ranking.fits) == pytest.approx(1.0)
    assert sum(fit.stability for fit in ranking.fits) == pytest.approx(1.0)


def test_what_was_used_is_told() -> None:
    seen = quiet("qwen3-14b", 12)
    seen.prompt_tokens[0], seen.output_tokens[1] = np.nan, 1.0
    ranking = rank(candidates("qwen3-14b"), seen)
    assert (ranking.timings, ranking.tokens, ranking.first_tokens) == (12, 11, 11)
    assert ranking.tokens_per_second == pytest.approx(1.0 / np.nanmedian(seen.seconds_per_output_token))
    assert ranking.prompt_tokens == (np.nanmin(seen.prompt_tokens), np.nanmax(seen.prompt_tokens))


def test_the_order_of_the_candidates_does_not_matter() -> None:
    seen = quiet("qwen3-14b", 10)
    backwards = candidates(*reversed(DIFFERENT))
    assert rank(backwards, seen) == rank(candidates(*DIFFERENT), seen)


def test_the_same_timings_give_the_same_answer() -> None:
    assert rank(candidates(*DIFFERENT), quiet("qwen3-14b", 10)) == rank(candidates(*DIFFERENT), quiet("qwen3-14b", 10))


def test_a_few_times_that_tell_nothing_change_nothing() -> None:
    seen = quiet("qwen3-14b", 25)
    seen.time_to_first_token_seconds[::9] *= 50.0
    seen.seconds[::9] *= 50.0
    ranking = rank(candidates(*DIFFERENT), seen)
    assert (ranking.best.name, ranking.verdict) == ("qwen3-14b", "match")


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17])
def test_any_number_of_timings_will_do(count: int) -> None:
    ranking = rank(candidates(*DIFFERENT), quiet("llama-3.1-70b", count))
    assert ranking.timings == count
    assert 1 / 3 <= ranking.best.confidence <= 1.0


@pytest.mark.parametrize("count", [1, 2, 7, 16, 17, 100])
def test_every_timing_is_in_as_many_halves_as_it_is_left_out_of(count: int) -> None:
    assert _halves(count).mean(axis=1) == pytest.approx(np.full(count, 0.5))


def test_of_very_many_timings_some_are_used() -> None:
    few = quiet("qwen3-14b", 25)
    many = few.rows(np.arange(30 * MOST_TIMINGS) % 25)
    assert rank(candidates("qwen3-14b"), many).timings == MOST_TIMINGS


def test_timings_of_the_first_token_alone_and_of_no_known_prompt_still_count() -> None:
    seen = quiet("llama-3.1-70b", 25)
    seen.output_tokens[:] = np.nan
    assert rank(candidates(*DIFFERENT), seen).tokens == 0
    seen = quiet("llama-3.1-70b", 25)
    seen.prompt_tokens[:] = np.nan
    ranking = rank(candidates(*DIFFERENT), seen)
    assert (ranking.first_tokens, ranking.best.name) == (0, "llama-3.1-70b")


@pytest.mark.parametrize("count", [1, 10])
def test_a_calibration_that_knows_nothing_never_fits(count: int) -> None:
    seen = quiet("qwen3-14b", count)
    if count == 1:
        seen.output_tokens[:] = np.nan  # a single time refutes nobody by its likelihood
    ranking = rank({"empty": LatencyProfile().levels, **candidates("qwen3-14b")}, seen)
    assert [(fit.name, fit.fits) for fit in ranking.fits] == [("qwen3-14b", True), ("empty", False)]


def test_a_load_between_two_that_were_calibrated_is_none_that_is_unknown() -> None:
    levels = list(candidates("qwen3-14b")["qwen3-14b"])
    empty = LatencyProfile().levels
    gap = [empty[place] if place in (1, 2) else level for place, level in enumerate(levels)]
    ranking = rank({"gap": gap}, busy("qwen3-14b", 30, rate=0.5))
    assert ranking.best.fits
