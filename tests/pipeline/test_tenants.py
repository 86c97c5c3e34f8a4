"""Whose joules: energy by tenant."""

import json
from dataclasses import replace
from math import nan

from exporter.domain.units import Joules
from exporter.pipeline.tenants import Tenants
from tests.metrics.examples import settled


def told(tenant: str | None, joules: float = 10.0) -> Tenants:
    tenants = Tenants(2)
    tenants.add([replace(settled(), tenant=tenant, joules=Joules(joules))])
    return tenants


def test_energy_is_counted_by_tenant_and_what_nobody_is_named_for_is_unknown() -> None:
    tenants = told("a")
    tenants.add([replace(settled(), tenant=name, joules=Joules(1.0)) for name in ("b", None, "a")])
    assert tenants.view() == {"a": 11.0, "b": 1.0, "unknown": 1.0}


def test_where_no_request_names_anybody_nobody_is_shown() -> None:
    assert told(None).view() == {}


def test_past_the_bound_tenants_are_others_and_that_is_counted() -> None:
    tenants = told("a")
    tenants.add([replace(settled(), tenant=name, joules=Joules(1.0)) for name in ("b", "c", None, "d", "a")])
    assert tenants.view() == {"a": 11.0, "b": 1.0, "other": 2.0, "unknown": 1.0}
    assert tenants.overflows == 2


def test_a_request_of_unknown_energy_counts_for_nobody() -> None:
    assert told("a", nan).view() == {}


def test_a_restart_keeps_the_bill() -> None:
    again = Tenants(2)
    again.restore(json.loads(json.dumps(told("a").snapshot())))
    again.add([replace(settled(), tenant="a", joules=Joules(1.0))])
    assert again.view() == {"a": 11.0}
