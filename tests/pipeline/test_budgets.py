"""Energy budgets and carbon: what settled requests are charged."""

import json
from dataclasses import replace
from math import nan

import pytest

from exporter.domain.settings import BudgetSettings, CarbonSettings
from exporter.domain.snapshot import BudgetView, SettledRequest
from exporter.domain.units import Joules
from exporter.pipeline.budgets import Budgets
from exporter.pipeline.carbon import Carbon
from tests.metrics.examples import settled

DAILY = BudgetSettings("daily", 100.0, 86_400.0, server="chat")
EACH = BudgetSettings("each", 50.0, None, model="llama-3.1-8b")
ALL = BudgetSettings("all", 1e6, 86_400.0)
TEAM = BudgetSettings("team", 1e3, 86_400.0, tenant="team-a")


def of(joules: float, **other: str) -> SettledRequest:
    return replace(settled(), joules=Joules(joules), **other)  # type: ignore[arg-type]


def charged(budget: BudgetSettings, *requests: SettledRequest, metered: float = 0.0) -> BudgetView:
    budgets = Budgets([budget])
    budgets.charge(requests)
    (view,) = budgets.views(metered)
    return view


def test_a_budget_is_charged_for_the_requests_it_covers() -> None:
    assert charged(DAILY, of(10.0), of(20.0, server="other")).consumed_joules == 10.0
    assert charged(TEAM, of(10.0), of(20.0, tenant="team-a")).consumed_joules == 20.0
    assert charged(EACH, of(10.0), of(20.0, model="other")).consumed_joules == 10.0


def test_a_budget_of_everything_is_charged_what_is_metered() -> None:
    assert charged(ALL, of(10.0), metered=500.0).consumed_joules == 500.0


def test_a_budget_per_request_counts_those_that_took_more() -> None:
    view = charged(EACH, of(49.0), of(50.0), of(51.0), of(80.0))
    assert (view.requests, view.over, view.consumed_joules) == (4, 2, 230.0)


def test_a_request_of_unknown_energy_is_charged_to_nobody() -> None:
    assert charged(EACH, of(nan)).requests == 0


def test_a_restart_keeps_what_was_charged_and_a_new_budget_begins_at_zero() -> None:
    before = Budgets([DAILY, EACH])
    before.charge([of(10.0)])
    after = Budgets([DAILY, TEAM])
    after.restore(json.loads(json.dumps(before.snapshot())))
    assert [view.consumed_joules for view in after.views(0.0)] == [10.0, 0.0]


def test_carbon_is_energy_times_intensity_times_pue() -> None:
    carbon = Carbon(CarbonSettings(360.0, 1.5))
    carbon.add([of(1e6), of(2e6), of(1e6, server="other")])
    assert carbon.grams() == pytest.approx({"chat": 450.0, "other": 150.0})


def test_without_an_intensity_nothing_is_worked_out() -> None:
    carbon = Carbon(CarbonSettings())
    carbon.add([of(1e6)])
    assert carbon.grams() == {}


def test_a_new_intensity_changes_nothing_that_was_emitted() -> None:
    before = Carbon(CarbonSettings(360.0))
    before.add([of(1e6)])
    after = Carbon(CarbonSettings(36.0))
    after.restore(json.loads(json.dumps(before.snapshot())))
    after.add([of(1e6)])
    assert after.grams() == pytest.approx({"chat": 110.0})
