"""Joules in other units, held against figures worked out by hand."""

import pytest

from exporter.domain.errors import UsageError
from exporter.report.footprint import WITH_FACTORS, Price, Pue, carbon, cost, factors, price_of, units
from exporter.report.grid import Intensity

KWH = 3.6e6


def _values(joules: float) -> dict[str, float]:
    return {line.name: line.value for line in units(joules)}


def test_one_kilowatt_hour_is_what_it_is_in_every_unit() -> None:
    assert _values(KWH) == pytest.approx(
        {
            "electricity": 1.0,
            "median Gemini text prompts": 1000 / 0.24,
            "hours of an LED bulb": 1000 / 9,
            "phone charges": 1000 / 12,
            "water to the boil, ideal": 1000 / 99,
            "water to the boil, in a kettle": 1000 / 113,
        }
    )


def test_a_median_gemini_prompt_is_864_joules() -> None:
    assert _values(864.0)["median Gemini text prompts"] == pytest.approx(1.0)


def test_little_energy_is_told_in_seconds_of_a_bulb_and_much_in_days_of_a_home() -> None:
    assert list(_values(90.0)) == ["electricity", "seconds of an LED bulb", "median Gemini text prompts"]
    assert _values(90.0)["seconds of an LED bulb"] == pytest.approx(10.0)
    assert list(_values(294e3 * KWH)) == ["electricity", "days of a US home"]
    assert _values(294.0 * KWH)["days of a US home"] == pytest.approx(10.0)


@pytest.mark.parametrize("joules", [1e-3, 1.0, 1e3, 1e6, 1e9, 1e15])
def test_there_is_a_unit_that_people_feel_for_every_size(joules: float) -> None:
    assert len(units(joules)) >= 2


def test_nothing_is_nothing() -> None:
    assert [line.name for line in units(0.0)] == ["electricity"]


def test_only_kilowatt_hours_rest_on_the_meter_alone() -> None:
    assert [line.name for line in units(KWH) if not line.modelled] == ["electricity"]


def test_cost_is_the_price_times_kilowatt_hours() -> None:
    line = cost(2.5 * KWH, Price(0.25, "EUR"))
    assert line.value == pytest.approx(0.625)
    assert (line.unit, line.factor) == ("EUR", "0.25 EUR/kWh")


@pytest.mark.parametrize("text", ["0.25 EUR", "0.25EUR", " 0.25 EUR / kWh ", "0.25 EUR/kWh"])
def test_a_price_is_a_number_and_a_currency(text: str) -> None:
    assert price_of(text) == Price(0.25, "EUR")


@pytest.mark.parametrize("text", ["", "0.25", "EUR", "-1 EUR", "1e3 EUR", "0.25 EUR/MWh", "0.25 <b>"])
def test_other_prices_are_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"--price .*0\.25 EUR"):
        price_of(text)


def test_carbon_is_the_intensity_times_kilowatt_hours() -> None:
    line = carbon(2.0 * KWH, Intensity(381.0, "as given"))
    assert line.value == pytest.approx(762.0)
    assert (line.factor, line.source) == ("381 g/kWh", "as given")


# Factors


def _added(**options: object) -> dict[str, float]:
    given = {"pue": None, "host": False, "accelerators": 58 * KWH, "others": 0.0} | options
    return {line.name: line.value for line in factors(**given)}  # type: ignore[arg-type] # options by name


def test_factors_are_off_unless_asked_for() -> None:
    assert _added() == {}


def test_the_building_adds_what_is_beyond_one() -> None:
    assert _added(pue=Pue(1.2)) == pytest.approx({"building (PUE)": 11.6, WITH_FACTORS: 69.6})


def test_a_building_that_adds_nothing_has_no_line() -> None:
    assert _added(pue=Pue(1.0)) == {}


def test_published_shares_are_to_the_accelerators_as_published() -> None:
    assert _added(host=True) == pytest.approx(
        {
            "host (processors, memory)": 25.0,
            "machines kept in reserve": 10.0,
            "building and overhead": 8.0,
            WITH_FACTORS: 101.0,
        }
    )


def test_a_pue_takes_the_place_of_the_published_overhead_and_multiplies_the_host_too() -> None:
    added = _added(host=True, pue=Pue(1.5))
    assert added["building (PUE)"] == pytest.approx(0.5 * 93.0)
    assert "building and overhead" not in added
    assert "building and overhead" not in _added(host=True, pue=Pue(1.0)), "it was said that there is none"


def test_a_host_that_is_metered_is_not_added_once_more() -> None:
    added = _added(host=True, others=20 * KWH)
    assert "host (processors, memory)" not in added
    assert added[WITH_FACTORS] == pytest.approx(58 + 20 + 10 + 8)


def test_published_shares_say_nothing_of_what_has_no_accelerator() -> None:
    assert _added(host=True, accelerators=0.0, others=5 * KWH) == {}
