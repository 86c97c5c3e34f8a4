import re
from importlib import import_module
from pkgutil import iter_modules

import pytest

from exporter.metrics import catalogue
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.catalogue.family import UNITS as BASE_UNITS
from exporter.metrics.catalogue.family import Family
from exporter.metrics.catalogue.labels import LABELS
from exporter.proxy.proxies import UNITS

NOT_BASE_UNITS = re.compile(
    r"_(kwh|wh|watthours?|kilojoules|millijoules|milliwatts|kilowatts|milliseconds|microseconds|ms|minutes|hours|"
    r"kilobytes|megabytes|percent|percentage|created)(_|$)"
)
families = pytest.mark.parametrize("family", CATALOGUE, ids=lambda family: family.name)


def test_every_family_that_is_declared_is_in_the_catalogue_once() -> None:
    topics = [import_module(f"{catalogue.__name__}.{found.name}") for found in iter_modules(catalogue.__path__)]
    declared = [value for topic in topics for value in vars(topic).values() if isinstance(value, Family)]
    assert sorted(family.name for family in CATALOGUE) == sorted(family.name for family in declared)
    assert len({family.name for family in CATALOGUE}) == len(CATALOGUE)


@families
def test_names_are_ours_and_say_what_prometheus_wants_them_to_say(family: Family) -> None:
    assert re.fullmatch(r"llm_[a-z_]+", family.name)
    assert family.name.endswith("_total") == (family.type == "counter")
    assert family.name.endswith("_info") == (family.type == "info")
    assert not re.search(r"_(bucket|count|sum)$", family.name)


@families
def test_units_are_base_units(family: Family) -> None:
    assert not NOT_BASE_UNITS.search(family.name)


@families
def test_a_unit_stands_last(family: Family) -> None:
    words = family.name.removesuffix("_total").split("_")
    assert not BASE_UNITS & set(words[:-1]), "a unit inside the name"


@families
def test_labels_are_explained_and_are_no_target_labels(family: Family) -> None:
    assert set(family.labels) <= set(LABELS)
    assert not {"le", "quantile", "job", "instance", "pod", "node", "type", "service", "request_id"} & set(
        family.labels
    )


def test_no_label_is_explained_in_vain() -> None:
    assert set(LABELS) == {label for family in CATALOGUE for label in family.labels}


def test_every_term_that_a_proxy_learns_is_explained() -> None:
    assert all(f"`{term}`" in LABELS["term"] for terms in UNITS.values() for term in terms)


@families
def test_help_is_a_sentence(family: Family) -> None:
    assert family.help[0].isalnum()
    assert family.help.endswith(".")
    assert "|" not in family.help, "it stands in a table"


def test_openmetrics_families_do_not_collide_once_their_suffix_is_gone() -> None:
    bare = [family.name.removesuffix("_total").removesuffix("_info") for family in CATALOGUE]
    assert len(set(bare)) == len(bare)
