from dataclasses import replace

import pytest

from exporter.components.claims import Finding, findings, tally
from exporter.domain.dissection import Dissection, Trials, capture
from tests.dissections.examples import component, dissection


def found(one: Dissection, claim: str) -> Finding:
    return next(each for each in findings([one]) if each.claim == claim)


@pytest.mark.parametrize(("spread", "verdict"), [(0.09, "holds"), (0.10, "does not hold")])
def test_spread_is_that_of_the_worst_component(spread: float, verdict: str) -> None:
    one = dissection(spread=0.01)
    wild = replace(one, components=(*one.components, component("router", 0.1, spread=spread, path="gate")))
    spread_found = found(wild, "spread")
    assert spread_found.verdict == verdict
    assert spread_found.figure == pytest.approx(spread)
    assert "router (gate)" in spread_found.where


def test_a_single_trial_has_no_spread_that_anybody_knows() -> None:
    one = dissection()
    once = tuple(replace(part, gross_joules=Trials((1.0,))) for part in one.components)
    assert found(replace(one, components=once), "spread").verdict == "not known"


def test_a_component_without_energy_leaves_spread_unknown() -> None:
    one = dissection()
    nothing = replace(component("norm", 1.0), gross_joules=Trials((0.0, 0.0)))
    assert found(replace(one, components=(*one.components, nothing)), "spread").verdict == "not known"


@pytest.mark.parametrize(("block", "verdict"), [(8.0, "holds"), (9.0, "does not hold"), (6.0, "does not hold")])
def test_capture_is_the_farther_from_all_of_the_two_and_says_of_what(block: float, verdict: str) -> None:
    captured = found(dissection(block=block), "capture")
    assert captured.verdict == verdict
    assert captured.figure == pytest.approx(7.5 / block)
    assert captured.where == "farthest from all: of the block layers.0 run by itself"


def test_capture_of_the_model_is_named_where_it_is_farther() -> None:
    one = dissection(block=7.6)
    whole = replace(one.components[0], gross_joules=Trials((40.0,)))
    parts = tuple(part for part in one.components if part.part_of == "model")
    captured = found(replace(one, captures=(capture(whole, parts), one.captures[1])), "capture")
    assert captured.verdict == "does not hold"
    assert captured.where == "farthest from all: of the model run by itself"


def test_attention_that_costs_most_per_flop_holds_the_claim() -> None:
    attention = found(dissection(attention=3.0), "attention")
    assert attention.verdict == "holds"
    assert attention.figure == pytest.approx((3.0 / 2e6) / (2.0 / 2e6))
    assert attention.where == "attention (layers.0.self_attn) against lm head (lm_head)"


def test_attention_that_costs_less_is_a_finding() -> None:
    attention = found(dissection(attention=1.0), "attention")
    assert attention.verdict == "does not hold"
    assert attention.figure == pytest.approx(0.5)


def test_the_cheapest_attention_decides() -> None:
    one = dissection(attention=3.0)
    cross = component("cross_attention", 0.5, flops=2_000_000, path="layers.0.cross")
    attention = found(replace(one, components=(*one.components, cross)), "attention")
    assert attention.verdict == "does not hold"
    assert "cross attention" in attention.where


def test_without_flops_nobody_knows() -> None:
    one = dissection()
    uncounted = tuple(replace(part, flops=None) for part in one.components)
    assert found(replace(one, components=uncounted), "attention").verdict == "not known"


def test_a_claim_that_fails_once_does_not_hold() -> None:
    tallies = {one.claim: one for one in tally(findings([dissection(), dissection(attention=1.0)]))}
    assert tallies["spread"].verdict == "holds"
    assert (tallies["attention"].holds, tallies["attention"].fails) == (1, 1)
    assert tallies["attention"].verdict == "does not hold"
    assert tally([])[0].verdict == "not known"
