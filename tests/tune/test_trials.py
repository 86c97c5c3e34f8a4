"""Trials on a simulated board that is metered by the real pipeline, in virtual time."""

import pynvml
import pytest

from exporter.domain.errors import TuneError
from exporter.tune import nvml
from exporter.tune.books import UnreachableError
from exporter.tune.choosing import choose
from exporter.tune.objective import Objective, parse, slowdown
from exporter.tune.running import Hooks, bearable, run_trials
from exporter.tune.search import Search, settings_to_try
from exporter.tune.trial import Trial
from exporter.tune.trials import Bench, Pace
from exporter.tune.verdict import judge
from tests.fakes.nvml import FakeGpu
from tests.fakes.serving import CHAT, DECODE_HEAVY, PREFILL_HEAVY, Profile
from tests.power.conftest import PlugIn
from tests.tune.metered import Plant, PlantTime

PACE = Pace(seconds=16.0, least_requests=10, most_wait_seconds=48.0)


async def bench_of(plant: Plant, objective: Objective, pace: Pace = PACE) -> tuple[Bench, PlantTime]:
    time = PlantTime(plant)
    await time.sleep(15.0)
    choice = choose(await plant.read(), (), ())
    return Bench(plant, time, choice.subject, objective, pace), time


async def tuned(plug_in: PlugIn, profile: Profile, objective: Objective) -> tuple[Search, list[Trial]]:
    plant = Plant(plug_in([FakeGpu()]), profile, spread=0.1, noise=0.02)
    bench, _ = await bench_of(plant, objective)
    knob = nvml.open_knob("power_limit", "0")
    range_ = knob.range()
    search = Search(settings_to_try(range_), range_.unit, objective)
    trials = await run_trials(bench, search, knob.set, Hooks())
    knob.restore()
    knob.close()
    return search, trials


async def test_a_trial_measures_the_true_joules_per_token_and_latency(plug_in: PlugIn) -> None:
    plant = Plant(plug_in([FakeGpu()]), CHAT)
    bench, _ = await bench_of(plant, slowdown(1.5))
    trial = await bench.try_out(700, lambda _: None)
    truth = CHAT.operate()
    assert trial.joules_per_token == pytest.approx(truth.joules_per_token, rel=0.02)
    assert trial.latency_seconds == pytest.approx(truth.latency_seconds / 250, rel=0.02)
    assert trial.watts == pytest.approx(truth.watts, rel=0.01)
    assert trial.tokens_per_second == pytest.approx(truth.output_tokens_per_second, rel=0.05)
    assert trial.steady
    assert bench.methods == {"measured"}


async def test_nothing_that_ran_at_the_setting_before_is_counted(plug_in: PlugIn) -> None:
    plant = Plant(plug_in([FakeGpu()]), PREFILL_HEAVY)
    bench, _ = await bench_of(plant, slowdown(2.0))
    knob = nvml.open_knob("power_limit", "0")
    trial = await bench.try_out(350, knob.set)
    knob.restore()
    truth = PREFILL_HEAVY.operate(limit_watts=350)
    assert trial.joules_per_token == pytest.approx(truth.joules_per_token, rel=0.02)


async def test_a_trial_in_which_the_exporter_starts_anew_is_made_again(plug_in: PlugIn) -> None:
    plant = Plant(plug_in([FakeGpu()]), CHAT)
    bench, time = await bench_of(plant, slowdown(1.5))
    said: list[str] = []
    bench.say = said.append
    time.then.append((plant.at + 25.0, plant.restart))
    trial = await bench.try_out(700, lambda _: None)
    assert "the exporter was restarted: once more" in said
    assert trial.joules_per_token == pytest.approx(CHAT.operate().joules_per_token, rel=0.02)


async def test_an_exporter_that_restarts_for_ever_ends_the_tuning(plug_in: PlugIn) -> None:
    plant = Plant(plug_in([FakeGpu()]), CHAT)
    bench, time = await bench_of(plant, slowdown(1.5))
    time.then += [(plant.at + 5.0 * number, plant.restart) for number in range(1, 100)]
    with pytest.raises(TuneError, match="restarted in every trial"):
        await bench.try_out(700, lambda _: None)


async def test_an_exporter_that_is_away_is_waited_for_but_not_for_ever(plug_in: PlugIn) -> None:
    plant = Plant(plug_in([FakeGpu()]), CHAT)
    bench, time = await bench_of(plant, slowdown(1.5))

    def toggle() -> None:
        plant.down = not plant.down

    time.then += [(plant.at + 25.0, toggle), (plant.at + 45.0, toggle)]
    assert (await bench.try_out(700, lambda _: None)).requests > 0
    plant.down = True
    with pytest.raises(UnreachableError):
        await bench.try_out(700, lambda _: None)


async def test_a_load_that_never_is_steady_is_measured_and_marked(plug_in: PlugIn) -> None:
    plant = Plant(plug_in([FakeGpu()]), CHAT)
    bench, time = await bench_of(plant, slowdown(1.5))
    board = pynvml.nvmlDeviceGetHandleByIndex(0)
    for number in range(200):
        watts = 250_000 if number % 2 else 700_000
        time.then.append((plant.at + 11.0 * number, lambda watts=watts: limit(board, watts)))  # type: ignore[misc]
    assert not (await bench.try_out(700, lambda _: None)).steady


def limit(board: object, milliwatts: int) -> None:
    pynvml.nvmlDeviceSetPowerManagementLimit(board, milliwatts)


async def test_a_trial_that_is_far_too_slow_for_users_ends_early(plug_in: PlugIn) -> None:
    plant = Plant(plug_in([FakeGpu()]), CHAT)
    objective = parse("p95=1s")
    bench, _ = await bench_of(plant, objective)
    trial = await bench.try_out(700, lambda _: None, bearable(objective, 700, []))
    assert trial.seconds < 0.5 * PACE.seconds


async def test_few_requests_make_a_trial_longer_and_then_say_nothing_of_latency(plug_in: PlugIn) -> None:
    plant = Plant(plug_in([FakeGpu()]), CHAT)
    bench, _ = await bench_of(plant, slowdown(1.5), Pace(8.0, 100_000, 24.0))
    trial = await bench.try_out(700, lambda _: None)
    assert trial.seconds == pytest.approx(32.0, rel=0.05)
    assert trial.latency_seconds is None
    assert not trial.steady
    assert judge(Search((200, 700), "W", bench.objective), [trial], 100_000).kind == "not enough load"


async def test_the_power_limit_that_costs_least_is_found_by_real_metering(plug_in: PlugIn) -> None:
    search, trials = await tuned(plug_in, PREFILL_HEAVY, slowdown(10.0))
    verdict = judge(search, trials, 10)
    best = PREFILL_HEAVY.best_limit(search.settings)
    assert best is not None
    assert len(trials) <= 15
    assert verdict.kind == "recommend"
    assert verdict.setting is not None
    assert abs(search.settings.index(verdict.setting) - search.settings.index(best)) <= 1
    assert verdict.saving is not None
    at, base = (PREFILL_HEAVY.operate(limit_watts=one).joules_per_token for one in (verdict.setting, 700))
    assert verdict.saving.low - 0.01 <= 1.0 - at / base <= verdict.saving.high + 0.01


async def test_where_decode_does_not_reach_the_cap_limits_gain_nothing_and_clocks_are_named(plug_in: PlugIn) -> None:
    search, trials = await tuned(plug_in, DECODE_HEAVY, slowdown(1.1))
    verdict = judge(search, trials, 10)
    assert verdict.kind == "no gain"
    assert verdict.setting is None
    assert "did not bind" in verdict.text
    assert "--knob clocks" in verdict.text
