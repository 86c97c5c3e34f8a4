"""How much a kilowatt-hour emits: given, configured, or out of the shipped table of countries."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from exporter.domain.errors import UsageError

_TABLE = "grid_intensity.csv"
_SUGGESTIONS = 3
_LIKENESS = 0.5
_OFTEN_CALLED = {"UK": "GB", "EL": "GR", "UAE": "AE", "ENGLAND": "GB", "AMERICA": "US", "KOREA": "KR"}

TABLE_LICENCE = (
    "Carbon intensity by country: Ember, Yearly Electricity Data, with major processing by Our World in Data; "
    "CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)."
)
"""Must stand wherever a value of the table is shown."""


@dataclass(frozen=True, slots=True)
class Intensity:
    """Grams of CO2 equivalent per kilowatt-hour, and who says so.

    Attributes:
        grams_per_kwh: over the life cycle where the table says it; as given otherwise.
        source: who says so, and when. licence: of the source, to be shown with it; empty where it is the user's own.
    """

    grams_per_kwh: float
    source: str
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Country:
    """A row of the table.

    Attributes:
        code, code3: ISO 3166-1. name: in English.
        grams_per_kwh: mean of `year`, over the life cycle of what generated the electricity.
        edition: of the dataset, the year in which it was published.
    """

    code: str
    code3: str
    name: str
    grams_per_kwh: float
    year: int
    edition: int

    @property
    def intensity(self) -> Intensity:
        """What its electricity emits."""
        source = f"{self.name}, mean of {self.year}: Ember ({self.edition}) via Our World in Data, CC BY 4.0"
        return Intensity(self.grams_per_kwh, source, TABLE_LICENCE)


@cache
def countries() -> tuple[Country, ...]:
    """All rows, by code."""
    text = files("exporter.report.data").joinpath(_TABLE).read_text(encoding="utf-8")
    return tuple(map(_country, csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))))


def country(text: str) -> Country:
    """By its code of two or three letters, or its English name.

    Raises:
        UsageError: there is none such; names those that look alike.
    """
    wanted = text.strip().upper()
    wanted = _OFTEN_CALLED.get(wanted, wanted)
    for one in countries():
        if wanted in _names(one):
            return one
    raise UsageError(f"--country {text}: not in the table{_alike(wanted)}; --intensity takes grams per kWh instead")


def _names(one: Country) -> tuple[str, str, str]:
    return one.code, one.code3, one.name.upper()


def _alike(wanted: str) -> str:
    by_name = {name: one for one in countries() for name in _names(one)}
    close = get_close_matches(wanted, by_name, n=_SUGGESTIONS, cutoff=_LIKENESS)
    offers = dict.fromkeys(
        f"{by_name[name].code} ({by_name[name].name})" for name in (*_within(wanted, by_name), *close)
    )
    return f"; did you mean {' or '.join(list(offers)[:_SUGGESTIONS])}?" if offers else ""


def _within(wanted: str, names: dict[str, Country]) -> Iterator[str]:
    words = [word for word in re.findall(r"\w+", wanted) if len(word) > len("USA")]
    return (name for name in names if any(word in name for word in words))


def _country(row: dict[str, str]) -> Country:
    return Country(
        row["code"], row["code3"], row["country"], float(row["grams_per_kwh"]), int(row["year"]), int(row["edition"])
    )
