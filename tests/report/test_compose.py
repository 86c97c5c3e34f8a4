"""From an account and what was asked for to a report."""

from dataclasses import replace

import pytest

from exporter.domain.errors import UsageError
from exporter.domain.readings import Device
from exporter.report.account import Account, DeviceBook
from exporter.report.compose import Choices, Embodied, compose, embodied_of
from exporter.report.footprint import Line, LineKind, Price
from exporter.report.grid import TABLE_LICENCE, country
from exporter.report.render import FORMATS, Format, render
from exporter.report.summary import Report
from tests.report import made
from tests.report.reading import joules_of_books

EVERYTHING = Choices(
    country=country("DE"),
    price=Price(0.25, "EUR"),
    pue=1.5,
    host=True,
    embodied=Embodied(5.0),
    active_parameters=8e9,
)


def _lines(report: Report, kind: LineKind) -> list[Line]:
    return [line for line in report.footprint if line.kind == kind]


def _with_host(account: Account) -> Account:
    """The same machine, whose processor is metered, too: 1 kJ, all of it idle."""
    cpu = DeviceBook(Device("cpu0", "cpu"), "", 1000.0, {"requests": 0.0, "idle": 1000.0, "unattributed": 0.0}, 0.0)
    return replace(account, books=(*account.books, cpu))


@pytest.mark.parametrize("how", FORMATS)
def test_nothing_is_folded_into_what_was_metered(how: Format) -> None:
    bare = joules_of_books(render(compose(made.account(), Choices()), how), how)
    full = joules_of_books(render(compose(made.account(), EVERYTHING), how), how)
    assert bare == full
    assert bare["metered"] == 15_000.0


def test_lines_that_rest_on_the_meter_are_the_same_with_factors_and_without() -> None:
    bare = compose(made.account(), replace(EVERYTHING, pue=None, host=False))
    full = compose(made.account(), EVERYTHING)
    assert _lines(bare, "unit") == _lines(full, "unit")
    for kind in ("cost", "carbon"):
        assert _lines(bare, kind) == _lines(full, kind)[:1]
    assert bare.standings == full.standings
    assert bare.totals == full.totals


def test_by_default_there_are_units_and_nothing_else() -> None:
    report = compose(made.account(), Choices())
    assert {line.kind for line in report.footprint} == {"unit"}
    assert report.sci is None
    assert report.comparison is None
    assert report.notices == ()


def test_cost_and_carbon_with_factors_are_lines_beside_those_of_the_meter() -> None:
    report = compose(made.account(), Choices(grams_per_kwh=360.0, price=Price(0.36, "EUR"), pue=1.5))
    assert [line.value for line in _lines(report, "carbon")] == pytest.approx([1.5, 2.25])
    assert [line.value for line in _lines(report, "cost")] == pytest.approx([0.0015, 0.00225])


def test_the_table_brings_its_licence_and_a_given_intensity_none() -> None:
    assert compose(made.account(), Choices(country=country("DE"))).notices == (TABLE_LICENCE,)
    assert compose(made.account(), Choices(grams_per_kwh=381.0)).notices == ()


def test_a_given_intensity_goes_before_a_configured_one_and_that_before_the_table() -> None:
    configured = replace(made.account(), intensity_grams_per_kwh=200.0)
    germany = Choices(country=country("DE"))
    given = Choices(grams_per_kwh=381.0)
    assert [line.factor for line in _lines(compose(configured, given), "carbon")] == ["381 g/kWh"]
    assert [line.factor for line in _lines(compose(made.account(), germany), "carbon")] == ["329.65 g/kWh"]
    (line,) = _lines(compose(configured, germany), "carbon")
    assert (line.factor, line.source) == ("200 g/kWh", "as configured in the exporter; --country DE was not used")


def test_a_configured_pue_is_a_factor_with_its_source() -> None:
    configured = replace(made.account(), pue=1.2)
    assert _lines(compose(configured, Choices()), "factor")[0].source == "as configured in the exporter"
    assert _lines(compose(configured, Choices(pue=1.0)), "factor") == []


def test_a_metered_host_is_not_added_and_that_is_said() -> None:
    report = compose(_with_host(made.account()), Choices(host=True))
    assert "host (processors, memory)" not in [line.name for line in report.footprint]
    assert any("The host is metered here" in text for text in report.notices)


def test_a_host_factor_without_accelerators_says_that_it_adds_nothing() -> None:
    account = replace(_with_host(made.account()), books=_with_host(made.account()).books[-1:])
    report = compose(account, Choices(host=True, grams_per_kwh=360.0))
    assert _lines(report, "factor") == []
    assert any("--host-factor adds nothing" in text for text in report.notices)
    assert report.sci is not None
    assert report.sci.joules_per_token == pytest.approx(0.1)


def test_the_score_counts_building_host_and_hardware_if_asked() -> None:
    plain = compose(made.account(), Choices(grams_per_kwh=360.0)).sci
    full = compose(made.account(), Choices(grams_per_kwh=360.0, pue=1.5, host=True, embodied=Embodied(5.0))).sci
    assert plain is not None
    assert plain.grams_per_token == pytest.approx(1.5 / 10_000)
    assert full is not None
    assert full.grams_per_token == pytest.approx((1.5 * 1.5 * (1 + 25 / 58) + 5.0) / 10_000)
    assert full.joules_per_token == pytest.approx(1.5 * 1.5 * (1 + 25 / 58))


def test_hardware_without_a_place_has_no_score_and_that_is_said() -> None:
    report = compose(made.account(), Choices(embodied=Embodied(5.0)))
    assert report.sci is None
    assert any("--embodied" in text for text in report.notices)


def test_two_accounts_are_compared() -> None:
    comparison = compose(made.account(), Choices(), beside=replace(made.account(scale=0.5), name="tuesday")).comparison
    assert comparison is not None
    assert (comparison.first, comparison.second) == ("monday.jsonl.gz", "tuesday")
    assert next(one for one in comparison.overall if one.name == "metered energy").ratio == pytest.approx(0.5)


def test_a_formula_stands_among_the_published_figures_if_a_size_is_given() -> None:
    assert [one.modelled for one in compose(made.account(), Choices(active_parameters=8e9)).references][-1]
    assert not any(one.modelled for one in compose(made.account(), Choices()).references)


@pytest.mark.parametrize(
    ("text", "grams"),
    [("12 kg", 12e3), ("800g", 800.0), ("1.5t", 1.5e6), ("1461 kg/4y", 1000.0), ("10 kg / 10 d", 1000.0)],
)
def test_what_making_the_hardware_emitted_is_of_the_period_or_of_its_life(text: str, grams: float) -> None:
    assert embodied_of(text).of(86_400.0) == pytest.approx(grams)


@pytest.mark.parametrize("text", ["", "12", "kg", "12 lb", "12 kg/0y", "-1 kg", "12 kg/4"])
def test_other_masses_are_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"--embodied .*1500 kg/4y"):
        embodied_of(text)
