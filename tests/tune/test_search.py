"""The search is held against simulated physics whose best setting is known. SIMULATED: no figure here is a GPU's."""

import random
from dataclasses import replace

import pytest

from exporter.tune.knob import KnobName, KnobRange
from exporter.tune.objective import Objective, parse, slowdown
from exporter.tune.search import MOST_SETTINGS, MOST_TRIALS, Search, Standing, next_setting, settings_to_try
from exporter.tune.trial import Trial
from exporter.tune.verdict import judge
from tests.fakes.serving import CHAT, DECODE_HEAVY, DEFAULT_BEST, PREFILL_HEAVY, Profile
from tests.tune.simulated import RAMP, STILL, TIDE, Drift, optimum, search_of, searched, trial, truth_change

LEAST_REQUESTS = 10
ANY = slowdown(10.0)
GAINING: tuple[tuple[Profile, KnobName], ...] = (
    (PREFILL_HEAVY, "power_limit"),
    (PREFILL_HEAVY, "clocks"),
    (CHAT, "power_limit"),
    (CHAT, "clocks"),
    (DECODE_HEAVY, "clocks"),
)
each_gaining = pytest.mark.parametrize(
    ("profile", "knob"), GAINING, ids=[f"{profile.name}-{knob}" for profile, knob in GAINING]
)
NOTHING_TO_GAIN: tuple[tuple[Profile, KnobName], ...] = (
    (DECODE_HEAVY, "power_limit"),
    (DEFAULT_BEST, "power_limit"),
    (DEFAULT_BEST, "clocks"),
)


def steps_off(profile: Profile, search: Search, trials: list[Trial]) -> int:
    """How many settings what is recommended is away from what is truly best."""
    verdict, best = judge(search, trials, LEAST_REQUESTS), optimum(profile, search)
    assert verdict.kind == "recommend"
    assert verdict.setting is not None
    assert best is not None
    return abs(search.settings.index(verdict.setting) - search.settings.index(best))


@each_gaining
@pytest.mark.parametrize("objective", [ANY, slowdown(1.1)], ids=["any-latency", "10-percent-slower"])
@pytest.mark.parametrize("noise", [0.003, 0.01])
def test_the_optimum_is_found_within_one_step_in_at_most_15_trials(
    profile: Profile, knob: KnobName, objective: Objective, noise: float
) -> None:
    search = search_of(knob, objective)
    for seed in range(3):
        trials = searched(profile, search, noise=noise, seed=seed)
        assert len(trials) <= 15
        assert steps_off(profile, search, trials) <= 1


@each_gaining
@pytest.mark.parametrize("drift", [RAMP, TIDE], ids=["ramp", "tide"])
def test_a_load_that_drifts_by_a_quarter_does_not_fool_it(profile: Profile, knob: KnobName, drift: Drift) -> None:
    search = search_of(knob, ANY)
    for seed in range(3):
        trials = searched(profile, search, noise=0.005, seed=seed, drift=drift)
        assert len(trials) <= 15
        assert steps_off(profile, search, trials) <= 1


@pytest.mark.parametrize(("profile", "knob"), NOTHING_TO_GAIN, ids=lambda one: getattr(one, "name", one))
@pytest.mark.parametrize("drift", [STILL, RAMP, TIDE], ids=["still", "ramp", "tide"])
def test_no_gain_is_said_where_there_is_none(profile: Profile, knob: KnobName, drift: Drift) -> None:
    search = search_of(knob, slowdown(1.1))
    for seed in range(4):
        verdict = judge(search, searched(profile, search, seed=seed, drift=drift), LEAST_REQUESTS)
        assert verdict.kind == "no gain", verdict
        assert verdict.setting is None


def test_the_interval_of_the_saving_holds_the_truth_as_often_as_it_says() -> None:
    held, told = 0, 0
    for profile, knob in GAINING:
        search = search_of(knob, ANY)
        for seed in range(4):
            verdict = judge(search, searched(profile, search, noise=0.01, seed=seed, drift=RAMP), LEAST_REQUESTS)
            assert verdict.best is not None
            assert verdict.saving is not None
            truth = truth_change(profile, search, verdict.best)
            told += 1
            held += verdict.saving.low <= truth <= verdict.saving.high
    assert held >= 0.85 * told


def test_a_setting_that_breaks_the_objective_is_the_last_step_down_the_ladder() -> None:
    search = search_of("clocks", slowdown(1.05))
    trials = searched(PREFILL_HEAVY, search, noise=0.003)
    first = next(one for one in trials if one.setting != search.default)
    assert min(one.setting for one in trials) == first.setting


def test_an_objective_that_no_setting_meets_is_said_to_be_infeasible() -> None:
    search = search_of("power_limit", parse("p95=2s"))
    verdict = judge(search, searched(CHAT, search), LEAST_REQUESTS)
    assert verdict.kind == "infeasible"
    assert verdict.setting is None
    assert "p95 of duration at most 2s" in verdict.text


def test_an_absolute_objective_moves_the_recommendation_up() -> None:
    tight = CHAT.operate(limit_watts=450).latency_seconds * 1.01
    search = search_of("power_limit", Objective("duration", 0.95, tight))
    assert steps_off(CHAT, search, searched(CHAT, search, noise=0.003)) <= 1
    assert optimum(CHAT, search) == 450


def test_too_few_requests_or_no_tokens_at_the_default_are_not_enough_load() -> None:
    search = search_of("clocks", ANY)
    whole = trial(CHAT, search, search.default, 0, noise=0.0, chance=random.Random(1))  # noqa: S311 - noise
    few, mute = replace(whole, requests=3), replace(whole, output_tokens=0)
    assert "Only 3 requests" in judge(search, [few], LEAST_REQUESTS).text
    assert "output tokens" in judge(search, [mute], LEAST_REQUESTS).text
    assert {judge(search, [one], LEAST_REQUESTS).kind for one in (few, mute)} == {"not enough load"}
    assert next_setting(search, [mute]) is None


def test_the_default_comes_first_and_at_least_every_fifth_time() -> None:
    search = search_of("clocks", ANY)
    settings = [one.setting for one in searched(CHAT, search, noise=0.02, drift=TIDE)]
    assert settings[0] == search.default
    for start in range(len(settings) - 4):
        assert search.default in settings[start : start + 5]


def test_unsteady_trials_widen_the_interval() -> None:
    search = search_of("clocks", ANY)
    trials = searched(CHAT, search)
    shaky = [replace(one, steady=False) for one in trials]
    sure, unsure = (judge(search, some, LEAST_REQUESTS) for some in (trials, shaky))
    assert sure.saving is not None
    assert unsure.saving is not None
    assert unsure.saving.high - unsure.saving.low > sure.saving.high - sure.saving.low
    assert any("never became steady" in caution for caution in unsure.cautions)


def test_fewer_trials_may_be_asked_for() -> None:
    assert len(searched(CHAT, search_of("clocks", ANY, most_trials=5))) == 5
    assert search_of("clocks", ANY).most_trials == MOST_TRIALS


def test_nothing_above_the_default_is_tried_and_no_more_settings_than_can_be_told_apart() -> None:
    assert settings_to_try(KnobRange("W", (200, 300, 400, 500), 400)) == (200, 300, 400)
    many = settings_to_try(KnobRange("MHz", tuple(range(300, 2000, 15)), 1980))
    assert len(many) <= MOST_SETTINGS
    assert (many[0], many[-1]) == (300, 1980)
    assert list(many) == sorted(set(many))


def test_a_limit_that_is_out_of_reach_lies_near_its_neighbours() -> None:
    search = search_of("power_limit", ANY)
    base = trial(DECODE_HEAVY, search, search.default, 0, noise=0.0, chance=random.Random(1))  # noqa: S311 - noise
    places = search.places([base])
    assert places[-1] - places[-5] < places[4] - places[0]


def test_nothing_below_what_was_tried_is_recommended_however_the_curve_slopes() -> None:
    search = search_of("clocks", ANY)
    lower, middle = search.settings[len(search.settings) // 2], search.settings[-3]
    trials = [
        Trial(setting, 60.0, joules * 1000.0, 1000, 100, 1.0, 9000.0, at_seconds=60.0 * number, error=0.001)
        for number, (setting, joules) in enumerate([(search.default, 1.0), (middle, 0.8), (lower, 0.3)])
    ]
    standing = Standing(search, trials)
    promising = standing.promising()
    assert promising is not None
    assert search.settings[promising] < lower, "further down promises more, so it is worth a trial"
    assert judge(search, trials, LEAST_REQUESTS).setting == lower


def test_of_one_trial_the_default_is_best_and_feasible() -> None:
    search = search_of("clocks", slowdown(1.0))
    base = trial(CHAT, search, search.default, 0, noise=0.0, chance=random.Random(1))  # noqa: S311 - noise
    assert Standing(search, [base]).best() == len(search.settings) - 1
