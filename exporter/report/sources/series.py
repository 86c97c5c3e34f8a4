"""The series that an account is made of, and one exporter's for a period. Pure.

A page holds, of a counter, how much was added in the period; of what is unsettled, how much it grew; of all else the
latest value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from exporter.metrics.catalogue import budgets, energy, itself, requests
from exporter.metrics.catalogue.family import Family

HISTOGRAMS = (
    requests.REQUEST_ENERGY,
    requests.REQUEST_ENERGY_PER_OUTPUT_TOKEN,
    requests.REQUEST_DURATION,
    requests.REQUEST_TIME_TO_FIRST_TOKEN,
)
_COUNTERS = (energy.DEVICE_ENERGY, energy.ENERGY, requests.REQUESTS, requests.TOKENS)
_LATEST = (
    requests.SERVER,
    energy.DEVICE,
    energy.SERVER_DEVICE,
    energy.POWER_SOURCE,
    itself.BOOKS_START,
    itself.SNAPSHOT_TIME,
    budgets.CARBON_INTENSITY,
    budgets.PUE,
)


def _declared() -> Iterator[tuple[str, tuple[str, ...]]]:
    for family in (*_COUNTERS, energy.ENERGY_UNSETTLED, *_LATEST):
        yield family.name, family.labels
    for family in HISTOGRAMS:
        yield f"{family.name}_bucket", (*family.labels, "le")
        yield f"{family.name}_sum", family.labels


LABELS: Mapping[str, tuple[str, ...]] = dict(_declared())
"""Every series that is wanted, by name, with the labels that are the exporter's own."""
COUNTERS = frozenset(name for name in LABELS if name.endswith(("_total", "_bucket", "_sum")))
_ASIDE = {name: tuple((label, f"exported_{label}") for label in labels) for name, labels in LABELS.items()}
ADDED_UP = COUNTERS | {energy.ENERGY_UNSETTLED.name}
"""Of these it matters how much they grew."""


class Series(NamedTuple):
    """A series by its name and the values of its own labels, in the order of LABELS."""

    name: str
    labels: tuple[str, ...]


Values = Mapping[Series, float]
Target = frozenset[tuple[str, str]]
"""Who was scraped: the labels that are not the exporter's own."""
Stood = Mapping[Target, Values]
"""Where the books of exporters stood."""


@dataclass(frozen=True, slots=True)
class Page:
    """One exporter. `place`: what tells it from others; empty where there is one."""

    place: str
    values: Values

    def of(self, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """All series of that name: labels and value."""
        for series, value in self.values.items():
            if series.name == name:
                yield dict(zip(LABELS[name], series.labels, strict=True)), value

    def latest(self, family: Family) -> float | None:
        """The value of a family that has no labels; None where it is not there."""
        return self.values.get(Series(family.name, ()))


def series_of(name: str, labels: Mapping[str, str]) -> Series:
    """The series; a label that a target's own pushed aside is found under the name that Prometheus gives it then."""
    return Series(name, tuple([labels.get(aside, labels.get(one, "")) for one, aside in _ASIDE[name]]))


def target_of(name: str, labels: Mapping[str, str]) -> Target:
    """Who was scraped: the labels that are not the exporter's own."""
    own = {"__name__"}
    for one, aside in _ASIDE[name]:
        own.add(aside if aside in labels else one)
    return frozenset([each for each in labels.items() if each[0] not in own])
