"""Latency profiles, on times made by hand and on SIMULATED servers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.proxy.calibration.latency import FULL, LEVELS, LatencyProfile, Level, level_of
from exporter.proxy.proxy import Floats
from tests.properties import PROPERTIES
from tests.proxy.served import physics_of, profile

FIXED, PER_TOKEN, EACH = 0.02, 1e-4, 0.01


def taught(
    count: int, *, concurrency: float = 1.0, spread: float = 0.1, seed: int = 0, batch: int = 1000
) -> LatencyProfile:
    """A profile of `count` requests whose line and time per token are known, with log-normal noise."""
    learned = LatencyProfile()
    rows = requests(count, spread=spread, seed=seed)
    for begin in range(0, count, batch):
        part = slice(begin, begin + batch)
        prompts, first, each = (column[part] for column in rows)
        learned.learn(prompts, first, each, np.full(len(prompts), concurrency))
    return learned


def requests(count: int, *, spread: float = 0.1, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    prompts = np.asarray(np.round(np.geomspace(10.0, 4000.0, count)[rng.permutation(count)]), dtype=np.float64)
    noise = np.asarray(np.exp(spread * rng.standard_normal((2, count))), dtype=np.float64)
    return prompts, (FIXED + PER_TOKEN * prompts) * noise[0], EACH * noise[1]


def alone(learned: LatencyProfile) -> Level:
    return learned.levels[0]


def known(learned: LatencyProfile) -> list[int]:
    return [number for number, level in enumerate(learned.levels) if level.tokens]


def test_levels_double() -> None:
    concurrency = np.array([0.9, 1.0, 1.4, 1.6, 2.0, 3.0, 4.0, 4.4, 5.0, 8.0, 9.0, 128.0, 129.0, 1e6])
    assert level_of(concurrency).tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 7, 8, 8]
    assert [level.concurrency for level in LatencyProfile().levels][:4] == [(1, 1), (2, 2), (3, 4), (5, 8)]
    assert LatencyProfile().levels[-1].concurrency == (129, None)


def test_a_profile_that_learned_nothing_knows_nothing() -> None:
    assert known(LatencyProfile()) == []
    assert np.isnan(alone(LatencyProfile()).token_seconds).all()
    assert np.isnan(alone(LatencyProfile()).first_token_seconds(np.array([100.0]))).all()


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_the_line_and_the_time_per_token_are_found(batch: int) -> None:
    level = alone(taught(600, batch=batch))
    assert level.fixed_seconds == pytest.approx(FIXED, rel=0.05)
    assert level.seconds_per_prompt_token == pytest.approx(PER_TOKEN, rel=0.03)
    assert level.token_seconds[1] == pytest.approx(EACH, rel=0.03)


def test_spreads_are_those_of_the_times() -> None:
    level = alone(taught(1500, spread=0.2))
    low, middle, high = level.token_seconds
    assert np.log([middle / low, high / middle]) == pytest.approx(0.2, rel=0.15)
    assert np.log(level.ratio) == pytest.approx([-0.2, 0.0, 0.2], abs=0.04)


def test_one_in_six_that_queued_does_not_bend_the_line() -> None:
    prompts, first, each = requests(600)
    first[::6] *= 20.0
    each[::6] *= 20.0
    learned = LatencyProfile()
    for begin in range(0, 600, 10):
        part = slice(begin, begin + 10)
        learned.learn(prompts[part], first[part], each[part], np.ones(10))
    line = alone(learned).first_token_seconds(np.array([10.0, 300.0, 4000.0]))[1]
    assert line == pytest.approx(FIXED + PER_TOKEN * np.array([10.0, 300.0, 4000.0]), rel=0.12)
    assert alone(learned).token_seconds[1] == pytest.approx(EACH, rel=0.05)


def test_busy_and_quiet_times_are_kept_apart() -> None:
    learned = taught(100)
    prompts, first, each = requests(100)
    learned.learn(prompts, 2.0 * first, 3.0 * each, np.full(100, 6.0))
    quiet, busy = learned.levels[0], learned.levels[3]
    assert known(learned) == [0, 3]
    assert busy.token_seconds[1] == pytest.approx(3.0 * quiet.token_seconds[1], rel=0.03)
    assert busy.seconds_per_prompt_token == pytest.approx(2.0 * quiet.seconds_per_prompt_token, rel=0.03)


def test_prompts_all_alike_say_nothing_of_other_lengths() -> None:
    learned = LatencyProfile()
    learned.learn(np.full(50, 100.0), np.full(50, 0.03), np.full(50, EACH), np.ones(50))
    low, middle, high = alone(learned).first_token_seconds(np.array([100.0, 4000.0]))
    assert middle[0] == pytest.approx(0.03, rel=0.03)
    assert high[0] - low[0] < 0.01
    assert high[1] - low[1] > 10.0


def test_what_is_unknown_is_left_out_alone() -> None:
    learned, nan = LatencyProfile(), np.nan
    learned.learn(
        np.array([10.0, nan, 10.0, 10.0, nan]),
        np.array([0.1, 0.1, nan, 0.1, 0.1]),
        np.array([0.01, 0.01, 0.01, 0.01, nan]),
        np.array([1.0, 1.0, 1.0, nan, 1.0]),
    )
    assert (alone(learned).tokens, alone(learned).first_tokens, learned.left_out) == (3, 1, 2)


def test_a_level_forgets_by_learning_more() -> None:
    learned = taught(FULL)
    prompts, first, each = requests(2 * FULL)
    for begin in range(0, 2 * FULL, 100):
        part = slice(begin, begin + 100)
        learned.learn(prompts[part], 2.0 * first[part], 2.0 * each[part], np.ones(100))
    assert alone(learned).token_seconds[1] == pytest.approx(2.0 * EACH, rel=0.1)
    assert alone(learned).seconds_per_prompt_token == pytest.approx(2.0 * PER_TOKEN, rel=0.15)


def test_what_is_rare_does_not_fade_beside_what_is_common() -> None:
    learned = taught(50, concurrency=60.0)
    before = learned.levels[6]
    prompts, first, each = requests(5 * FULL)
    learned.learn(prompts, first, each, np.ones(len(prompts)))
    assert learned.levels[6].token_seconds == before.token_seconds
    assert learned.levels[6].ratio == before.ratio


@PROPERTIES
@given(st.integers(0, 2**32 - 1), st.integers(0, 80), st.floats(0.01, 2.0))
def test_a_profile_goes_on_from_its_snapshot(seed: int, count: int, spread: float) -> None:
    learned = taught(count, spread=spread, seed=seed, batch=9)
    other = LatencyProfile.from_snapshot(json.loads(json.dumps(learned.snapshot())))
    assert other.snapshot() == learned.snapshot()
    for mine, its in zip(learned.levels, other.levels, strict=True):
        assert (its.tokens, its.first_tokens) == (mine.tokens, mine.first_tokens)
        assert its.fixed_seconds == pytest.approx(mine.fixed_seconds, rel=0.02, abs=1e-4, nan_ok=True)
        assert its.seconds_per_prompt_token == pytest.approx(mine.seconds_per_prompt_token, rel=0.02, nan_ok=True)


def test_a_snapshot_is_small_however_much_was_learned() -> None:
    learned = LatencyProfile()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        prompts, first, each = requests(FULL // 2 + seed, spread=2.0, seed=seed)
        learned.learn(prompts, first, each, 2.0 ** rng.uniform(0.0, 9.0, len(prompts)))
    for level in range(LEVELS):
        prompts, first, each = requests(7, spread=2.0)
        learned.learn(prompts, first, each, np.full(7, 2.0**level))
    assert known(learned) == list(range(LEVELS))
    assert len(json.dumps(learned.snapshot())) < 4096


@pytest.mark.parametrize(
    "snapshot",
    [
        {},
        {"levels": {}},
        {"left_out": 0, "levels": []},
        {"left_out": 0, "levels": {"0": {}}},
        {"left_out": 0, "levels": {"99": {"token": [1, 2, "3"], "first_token": [0, [0, 0, 0, 0, 0], [0, 0, ""], []]}}},
        {
            "left_out": 0,
            "levels": {"0": {"token": [3, 319, "1 2"], "first_token": [0, [0, 0, 0, 0, 0], [0, 0, ""], []]}},
        },
        {"left_out": 0, "levels": {"0": {"token": [3, 1, "-1"], "first_token": [0, [0, 0, 0, 0, 0], [0, 0, ""], []]}}},
        {
            "left_out": 0,
            "levels": {"0": {"token": [1, 1, "1"], "first_token": [0, [0, 0, 0, 0, 1e999], [0, 0, ""], []]}},
        },
        {"left_out": 0, "levels": {"0": {"token": [1, 1, "1"], "first_token": "none"}}},
    ],
)
def test_a_snapshot_that_does_not_fit_is_as_good_as_none(snapshot: dict[str, object]) -> None:
    learned = taught(30)
    before = learned.snapshot()
    learned.restore(snapshot)
    assert learned.snapshot() == before
    assert known(LatencyProfile.from_snapshot(snapshot)) == []


def test_a_simulated_servers_physics_are_found() -> None:
    physics = physics_of("qwen3-14b")
    quiet, busy = profile(physics).levels[0], profile(physics).levels[3]
    assert quiet.token_seconds[1] == pytest.approx(physics.seconds.step + physics.seconds.decode, rel=0.05)
    assert quiet.fixed_seconds == pytest.approx(physics.seconds.step, rel=0.1)
    assert quiet.seconds_per_prompt_token == pytest.approx(physics.seconds.prefill_token, rel=0.05)
    assert busy.token_seconds[1] > 1.05 * quiet.token_seconds[1]
    assert busy.seconds_per_prompt_token == pytest.approx(physics.seconds.prefill_token, rel=0.1)
