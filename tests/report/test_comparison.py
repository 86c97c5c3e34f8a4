from dataclasses import replace

import pytest

from exporter.report.account import Account
from exporter.report.comparison import compare
from exporter.report.summary import Comparison, Difference
from tests.report.made import account, histogram, usage


def found(comparison: Comparison, name: str) -> Difference:
    [one] = [one for one in comparison.overall if one.name == name]
    return one


def said(first: Account, second: Account) -> str:
    return " ".join(compare(first, second).cautions)


def test_an_account_beside_itself_is_the_same_in_everything_and_nothing_speaks_against_it() -> None:
    same = compare(account(), account())
    every = [*same.overall, *(one for rows in same.models.values() for one in rows)]
    assert {one.ratio for one in every if one.first is not None} == {1.0}
    assert {one.name for one in every if one.first is None} <= {"latency, 95th percentile"}
    assert same.cautions == ()


def test_half_the_energy_is_a_ratio_of_a_half() -> None:
    saved = account(usages=[usage(joules=3500.0)], scale=0.5)
    comparison = compare(account(), saved)
    for name in ("metered energy", "mean power", "energy of requests", "energy per request", "energy per output token"):
        assert found(comparison, name).ratio == pytest.approx(0.5)
    assert found(comparison, "requests").ratio == 1.0
    assert found(comparison, "idle share of all devices").ratio == pytest.approx(1.0)


def test_a_model_that_only_one_of_them_served_has_no_ratio_and_is_named() -> None:
    comparison = compare(account(), account(usages=[usage(), usage("qwen3-8b")]))
    assert {one.ratio for one in comparison.models["qwen3-8b"] if one.first in {None, 0}} == {None}
    assert "Only the second served qwen3-8b" in " ".join(comparison.cautions)


def test_measured_beside_estimated_is_cautioned_against() -> None:
    assert "different ways: first measured, then estimated" in said(account(), account(method="estimated"))


def test_energy_of_several_kinds_is_not_added_up() -> None:
    mixed = account(usages=[usage(), usage("other", "time_proxy")])
    comparison = compare(mixed, mixed)
    assert found(comparison, "energy of requests").first is None
    assert comparison.models["other"][2].first == pytest.approx(7000.0)
    assert "several ways" in " ".join(comparison.cautions)


def test_longer_answers_are_cautioned_against() -> None:
    longer = account(usages=[replace(usage(), tokens={"input": 5000, "output": 40_000})])
    assert "requests have 100 output tokens on average in the first and 400" in said(account(), longer)
    assert "prompt tokens" not in said(account(), longer)


def test_another_load_is_cautioned_against() -> None:
    assert "requests a second" in said(account(), replace(account(), end=account().begin + 36_000.0))


def test_a_short_period_and_few_requests_are_cautioned_against() -> None:
    few = replace(usage(), requests={"ok": 7}, tokens={"input": 350, "output": 700}, energy=histogram(490.0, 7))
    short = replace(account(usages=[few]), end=account().begin + 250.0)
    assert "The second is short (250 s)" in said(account(), short)
    assert "The second has few requests (7)" in said(account(), short)
    assert "The first" not in said(account(), short)


def test_energy_that_is_not_known_stays_so() -> None:
    nobody = account(usages=[replace(usage(), method=None, energy=None, energy_per_output_token=None)])
    assert found(compare(account(), nobody), "energy per request").second is None
    assert found(compare(account(), nobody), "energy per request").ratio is None
