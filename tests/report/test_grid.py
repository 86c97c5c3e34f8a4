"""The shipped table of countries."""

from importlib.resources import files

import pytest

from exporter.domain.errors import UsageError
from exporter.report.grid import TABLE_LICENCE, countries, country


@pytest.mark.parametrize("text", ["DE", "de", "DEU", "Germany", " germany "])
def test_a_country_is_known_by_its_codes_and_its_name(text: str) -> None:
    one = country(text)
    assert (one.code, one.code3, one.name) == ("DE", "DEU", "Germany")


def test_figures_are_those_of_the_table() -> None:
    germany, ireland = country("DE"), country("IE")
    assert (germany.grams_per_kwh, germany.year) == (329.65, 2025)
    assert (ireland.grams_per_kwh, ireland.year) == (256.54, 2025)


def test_a_value_names_its_year_both_its_sources_and_its_licence() -> None:
    intensity = country("FR").intensity
    assert all(word in intensity.source for word in ("France", "2025", "Ember", "Our World in Data", "CC BY 4.0"))
    assert intensity.licence == TABLE_LICENCE


@pytest.mark.parametrize(
    ("text", "near"),
    [("Germny", "DE (Germany)"), ("Korea, South", "KR (South Korea)"), ("Kingdom", "GB (United Kingdom)")],
)
def test_an_unknown_country_is_an_error_that_suggests_near_names(text: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        country(text)
    assert f"--country {text}: not in the table; did you mean " in str(caught.value)
    assert near in str(caught.value)


def test_what_resembles_nothing_is_an_error_without_suggestions() -> None:
    with pytest.raises(UsageError, match=r"^--country 12345: not in the table; --intensity"):
        country("12345")


def test_every_row_is_of_one_country_and_of_a_size_that_can_be() -> None:
    rows = countries()
    assert len({one.code for one in rows}) == len({one.code3 for one in rows}) == len(rows) > 200
    assert all(0.0 < one.grams_per_kwh < 1500.0 and 2021 <= one.year <= one.edition for one in rows)
    assert all(len(one.code) == 2 and len(one.code3) == 3 for one in rows)


def test_the_table_is_shipped_with_its_licence_in_its_head() -> None:
    head = (
        files("exporter.report.data").joinpath("grid_intensity.csv").read_text(encoding="utf-8").split("code,code3")[0]
    )
    assert all(word in head for word in ("Ember", "Our World in Data", "creativecommons.org/licenses/by/4.0"))
