"""Parts of known power and duration come out of the bench as they went in, however slow the sensor is."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from exporter.components.plan import Plan
from exporter.components.study import captures, study
from exporter.domain.dissection import ComponentEnergy, Dissection, Trials
from exporter.domain.errors import ComponentsError
from tests.components.rig import IDLE_WATTS, PLAN, Known, OnFakeNvml, PlainSource, Rig, a_model, opened, silent
from tests.fakes.nvml import Counter, FakeGpu, Fault, Sensor
from tests.power.conftest import PlugIn

PERIODS = [0.02, 0.1, 0.5]
QUICK = replace(PLAN, trials=2, counter_seconds=2.0, rest_seconds=1.0, idle_seconds=2.0)


def board(period: float, *faults: Fault) -> FakeGpu:
    return FakeGpu(
        power=((0.0, IDLE_WATTS),),
        counter=Counter(period=period, phase=0.013),
        average=Sensor(window=1.0, period=period),
        instant=Sensor(window=0.025, period=period),
        faults=faults,
    )


def dissected_under_nvml(plug_in: PlugIn, gpu: FakeGpu, parts: Sequence[Known], plan: Plan = PLAN) -> Dissection:
    rig = Rig(noise=0.08, trial_noise=0.005, wait=20e-6)
    source = OnFakeNvml(rig, plug_in([gpu]))
    return study(rig.subject(parts), source, opened(source), rig, plan, silent)


def dissected(rig: Rig, parts: Sequence[Known], plan: Plan = QUICK, source: PlainSource | None = None) -> Dissection:
    source = source or PlainSource(rig)
    return study(rig.subject(parts), source, opened(source), rig, plan, silent)


def errors(found: Dissection, parts: Sequence[Known]) -> list[float]:
    """Relative errors of energy, duration and net energy, of every part."""
    out = []
    for one, truth in zip(found.components, parts, strict=True):
        net = truth.joules - IDLE_WATTS * truth.microseconds * 1e-6
        out += [
            one.gross_joules.mean / truth.joules - 1.0,
            one.seconds.mean / (truth.microseconds * 1e-6) - 1.0,
            one.net_joules.mean / net - 1.0,
        ]
    return out


# --- what must be shown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", PERIODS)
def test_components_of_known_power_are_recovered_by_the_counter(plug_in: PlugIn, period: float) -> None:
    parts = a_model()
    found = dissected_under_nvml(plug_in, board(period), parts)
    assert max(map(abs, errors(found, parts))) < 0.03
    assert all(0.0 < (one.gross_joules.cv or 0.0) < 0.095 for one in found.components)
    assert [capture.whole for capture in found.captures] == ["model", "block"]
    assert all(0.9 < capture.gross_ratio < 1.03 for capture in found.captures)
    assert found.period_seconds == pytest.approx(period, rel=0.05)
    assert found.idle_watts.mean == pytest.approx(IDLE_WATTS, rel=0.01)


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("averaged", [False, True], ids=["instant", "one-second-mean"])
def test_components_of_known_power_are_recovered_from_power_readings(
    plug_in: PlugIn, period: float, *, averaged: bool
) -> None:
    lacking = [Fault("no_counter"), *([Fault("no_instant")] if averaged else [])]
    parts = a_model()
    found = dissected_under_nvml(plug_in, board(period, *lacking), parts)
    assert not found.device.has_counter
    assert max(map(abs, errors(found, parts))) < 0.03
    assert all((one.gross_joules.cv or 0.0) < 0.095 for one in found.components)
    assert all(0.9 < capture.gross_ratio < 1.03 for capture in found.captures)


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("handful", [1, 10])
def test_without_repetition_the_same_sensor_gives_nonsense(plug_in: PlugIn, period: float, handful: int) -> None:
    rig = Rig()
    source = OnFakeNvml(rig, plug_in([board(period)]))
    attention = next(part for part in a_model() if part.component == "attention")
    subject = rig.subject([attention])

    def counted() -> float:
        return next(reading.joules for reading in source.read() if hasattr(reading, "joules"))

    answers = []
    for tick in range(1, 101):
        step = 0.013 + tick * math.ceil(0.05 / period) * period
        rig.sleep(step + (tick - 4) / 97 * period - 20e-6 - rig.t)  # all over the period, and once across its step
        before = counted()
        subject.parts[0].run(handful)
        subject.synchronise()
        answers.append((counted() - before) / handful / attention.joules)
    assert answers.count(0.0) > 80, "mostly the counter has not stepped"
    assert max(answers) > 2.0, "and else it says more than twice the truth"
    assert all(answer == 0.0 or answer > 2.0 for answer in answers)


# --- idle, drift ---------------------------------------------------------------------------------------------------


def test_net_energy_is_negative_where_work_draws_less_than_idle() -> None:
    lighter = Known("norm", "n", None, 1, 50.0, 60.0)
    (norm,) = dissected(Rig(), [lighter]).components
    assert norm.net_joules.mean == pytest.approx(50e-6 * (60.0 - IDLE_WATTS), rel=0.03)


def test_a_device_that_warms_up_meets_all_parts_alike() -> None:
    parts = [Known("norm", f"n.{index}", None, 1, 50.0, 300.0) for index in range(6)]
    rig = Rig(gain=lambda t: 1.0 + 0.002 * t)
    found = dissected(rig, parts, replace(QUICK, trials=4))
    means = [one.gross_joules.mean for one in found.components]
    assert max(means) / min(means) < 1.005
    assert all((one.gross_joules.cv or 0.0) > 0.05 for one in found.components), "what drifts is seen in the spread"


def test_net_energy_is_less_the_idle_power_of_its_own_round() -> None:
    rig = Rig(gain=lambda t: 1.0 + 0.02 * t)
    (part,) = dissected(rig, [Known("mlp", "m", None, 1, 50.0, 300.0)], replace(QUICK, trials=4)).components
    shares = [net / gross for net, gross in zip(part.net_joules.values, part.gross_joules.values, strict=True)]
    assert shares == pytest.approx([1.0 - IDLE_WATTS / 300.0] * 4, rel=0.03)
    assert (part.gross_joules.cv or 0.0) > 0.1, "it drifts that much, and idle with it"


# --- what the sensor does to us ------------------------------------------------------------------------------------


def test_a_counter_that_wraps_is_made_whole() -> None:
    rig, parts = Rig(), a_model()
    found = dissected(rig, parts, source=PlainSource(rig, wraps_at=900.0))
    assert max(map(abs, errors(found, parts))) < 0.01


def test_a_counter_that_falls_back_without_a_range_is_said() -> None:
    rig = Rig()
    with pytest.raises(ComponentsError, match=r"counter of gpu0 fell from \d+ J to \d+ J"):
        dissected(rig, a_model(), source=PlainSource(rig, reset_at=20.0))


def test_a_counter_that_stands_still_is_said_with_what_was_measured() -> None:
    rig = Rig()
    with pytest.raises(ComponentsError, match=r"known, trial 1 of 2: .*: the energy counter of gpu0 has stood still"):
        dissected(rig, a_model(), source=PlainSource(rig, stuck_from=20.0))


def test_a_counter_that_never_moves_ends_the_study_before_the_first_trial() -> None:
    rig = Rig()
    with pytest.raises(ComponentsError, match=r"stood still for 1[01] s"):
        dissected(rig, a_model(), source=PlainSource(rig, stuck_from=0.0))
    assert rig.t < 20.0


@pytest.mark.parametrize("counter", [True, False])
def test_readings_that_fail_now_and_then_are_skipped(*, counter: bool) -> None:
    rig, parts = Rig(), a_model()
    source = PlainSource(rig, counter=counter, fails=lambda look: "timeout" if look % 7 == 3 else "")
    assert max(map(abs, errors(dissected(rig, parts, source=source), parts))) < 0.01


@pytest.mark.parametrize("counter", [True, False])
def test_a_device_that_is_lost_ends_the_study_with_the_reason(*, counter: bool) -> None:
    rig = Rig()
    source = PlainSource(rig, counter=counter, fails=lambda look: "gpu_is_lost" if rig.t > 25.0 and look else "")
    with pytest.raises(ComponentsError, match="gpu_is_lost"):
        dissected(rig, a_model(), source=source)


def test_power_readings_that_mostly_fail_are_no_measurement() -> None:
    rig = Rig()
    source = PlainSource(rig, counter=False, fails=lambda look: "timeout" if look % 3 else "")
    with pytest.raises(ComponentsError, match="most power readings of gpu0 failed: timeout"):
        dissected(rig, a_model(), source=source)


def test_a_sensor_that_jumps_is_not_believed() -> None:
    rig = Rig()
    with pytest.raises(ComponentsError, match=r"gpu0 cannot have drawn \d+ W"):
        dissected(rig, a_model(), source=PlainSource(rig, limit_watts=60.0))


def test_what_asking_costs_stays_small_where_calls_are_slow(plug_in: PlugIn) -> None:
    parts = a_model()
    found = dissected_under_nvml(plug_in, board(0.1, Fault("slow", value=2.0)), parts)
    assert max(map(abs, errors(found, parts))) < 0.03


# --- what is told --------------------------------------------------------------------------------------------------


def test_progress_names_every_step_and_ends_at_the_whole() -> None:
    told: list[tuple[str, float]] = []
    rig, parts = Rig(), a_model()[:2]
    source = PlainSource(rig)
    study(rig.subject(parts), source, opened(source), rig, QUICK, lambda words, share: told.append((words, share)))
    assert told[0] == ("warming up model", 0.0)
    assert [words for words, _ in told if words.startswith("trial 2")] == [
        "trial 2 of 2: idle",
        "trial 2 of 2: embedding (wte)",
        "trial 2 of 2: model",
    ]
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert told[-1] == ("done", 1.0)


def test_the_result_says_how_it_came_to_be() -> None:
    rig, parts = Rig(), a_model()
    found = dissected(rig, parts)
    assert len(found.idle_watts.values) == QUICK.trials
    assert found.seconds == rig.t
    assert found.software["torch"] == "none"
    for one, truth in zip(found.components, parts, strict=True):
        assert (one.component, one.path, one.instances) == (truth.component, truth.path, truth.instances)
        assert len(one.repetitions) == QUICK.trials
        assert all(
            runs * truth.microseconds * 1e-6 == pytest.approx(QUICK.counter_seconds, rel=0.06)
            for runs in one.repetitions
        ), "for a fixed counter time, whatever a run takes"


def test_each_of_several_blocks_is_held_against_what_lies_in_it() -> None:
    def energy(part: Known) -> ComponentEnergy:
        one = Trials((part.joules,))
        return ComponentEnergy(part.component, part.path, part.part_of, part.instances, one, one, one, (1,), None)

    parts = [
        Known("model", "", None, 1, 100.0, 100.0),
        Known("block", "encoder.0", "model", 6, 5.0, 100.0),
        Known("mlp", "encoder.0.mlp", "block", 1, 4.0, 100.0),
        Known("block", "decoder.0", "model", 6, 10.0, 100.0),
        Known("mlp", "decoder.0.mlp", "block", 1, 9.0, 100.0),
    ]
    found = captures([energy(part) for part in parts])
    assert [each.path for each in found] == ["", "encoder.0", "decoder.0"]
    assert [each.gross_ratio for each in found] == pytest.approx([0.9, 0.8, 0.9])


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"counter_seconds": -1.0}, {"idle_seconds": float("nan")}])
def test_a_plan_that_cannot_be_is_refused_by_name(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ComponentsError, match=name):
        replace(PLAN, **wrong)  # type: ignore[arg-type]
