"""A load fits its time, asks the most important first, and never more than a server bears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.serving.plan import LONG, SHORT, Class, LoadPlan, Pace, Sizing, Stream, Together, plan
from validation.serving.run import Bearing

H200 = Sizing(Pace(9000.0, 0.010, 0.045, 64), Bearing())
CPU = Sizing(Pace(1500.0, 0.003, 0.012, 8), Bearing(8, 192, 256))


def kinds(load: LoadPlan) -> list[Class]:
    steps = (step for phase in load.phases for step in phase.steps)
    return [kind for step in steps for kind in ([step.kind] if isinstance(step, Together) else step.kinds)]


@pytest.mark.parametrize("seconds", [60.0, 90.0, 120.0, 300.0])
def test_it_fits_the_time(seconds: float) -> None:
    load = plan(seconds, H200)
    assert 0.5 * min(seconds, 200.0) < load.seconds <= seconds


def test_with_time_enough_nothing_is_left_out() -> None:
    load = plan(150.0, H200)
    assert load.left_out == ()
    assert {phase.kind for phase in load.phases} == {"isolated", "identical", "mix", "ramp", "prefill", "decode"}


def test_where_time_is_short_the_last_parts_are_left_out_and_named() -> None:
    load = plan(30.0, H200)
    assert load.phases[0].kind == "isolated"
    assert "extremes" in load.left_out
    assert not {phase.kind for phase in load.phases} & {"prefill", "decode"}


def test_however_short_the_time_something_runs_alone() -> None:
    load = plan(1.0, H200)
    assert [phase.kind for phase in load.phases] == ["isolated", "isolated"]
    assert load.left_out == ("identical", "mix", "ramp", "extremes")


def test_what_runs_alone_lasts_several_periods_of_a_sensor() -> None:
    phases = [phase for phase in plan(150.0, H200).phases if phase.kind == "isolated"]
    alone = [step.kind for phase in phases for step in phase.steps if isinstance(step, Together)]
    assert min(H200.pace.seconds(kind) for kind in alone) > 0.9
    assert len({kind.prompt_tokens for kind in alone}) > 2


def test_half_of_what_is_alone_and_alike_comes_again_at_the_end() -> None:
    names = [phase.name for phase in plan(150.0, H200).phases]
    assert names[:2] == ["isolated", "identical"]
    assert names[-2:] == ["isolated-again", "identical-again"]


def test_batches_of_4_16_and_64_are_of_one_kind_each() -> None:
    batches = [step for phase in plan(150.0, H200).phases if phase.kind == "identical" for step in phase.steps]
    assert {step.size for step in batches if isinstance(step, Together)} == {4, 16, 64}
    assert all(step.kind.spread == 1.0 for step in batches if isinstance(step, Together))
    groups = [step.kind.group for step in batches if isinstance(step, Together)]
    assert len(groups) == len(set(groups)), "no two batches share a name"


def test_windows_of_a_mix_differ_in_their_shares() -> None:
    steps = [step for phase in plan(150.0, H200).phases if phase.kind == "mix" for step in phase.steps]
    kinds_there = [kind for step in steps if isinstance(step, Stream) for kind in step.kinds]
    shares = {kind.share for kind in kinds_there if kind.group == "prefill"}
    assert len(shares) >= 4


def test_names_of_phases_are_unique() -> None:
    names = [phase.name for phase in plan(200.0, H200).phases]
    assert len(names) == len(set(names))


def test_the_same_seed_plans_the_same() -> None:
    assert plan(100.0, CPU, SHORT, seed=1) == plan(100.0, CPU, SHORT, seed=1) != plan(100.0, CPU, SHORT, seed=2)


@given(
    prefill=st.floats(10.0, 1e5),
    step=st.floats(1e-4, 2.0),
    slower=st.floats(1.0, 100.0),
    concurrency=st.integers(1, 64),
    seconds=st.floats(1.0, 500.0),
)
def test_no_request_is_more_than_the_server_bears(
    prefill: float, step: float, slower: float, concurrency: int, seconds: float
) -> None:
    bearing = Bearing(concurrency, 512, 256)
    load = plan(seconds, Sizing(Pace(prefill, step, step * slower, concurrency), bearing), LONG)
    assert max(phase.concurrency for phase in load.phases) <= concurrency
    for kind in kinds(load):
        assert 1 <= kind.prompt_tokens <= kind.prompt_tokens * kind.spread <= bearing.prompt_tokens
        assert 1 <= kind.output_tokens <= kind.output_tokens * kind.spread <= bearing.output_tokens


def test_a_pace_between_two_measured_ones_lies_on_their_line() -> None:
    pace = Pace(1000.0, 0.01, 0.073, 64)
    assert pace.step(1) == pytest.approx(0.01)
    assert pace.step(64) == pace.step(100) == pytest.approx(0.073)
    assert pace.step(8) == pytest.approx(0.017)
