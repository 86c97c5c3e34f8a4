"""Windows that overlap are given, together, what was metered; naive ones count it many times over."""

import asyncio

import pytest

from exporter.domain.snapshot import DeviceView
from tests.client.overlap import STEPS, WINDOWS, Told, tell

pytestmark = pytest.mark.e2e

ROUNDING = 1e-9
EDGES = 0.03
"""The counter is read 20 times a second; between two readings energy is spread evenly."""


@pytest.fixture(scope="module")
def told() -> Told:
    return asyncio.run(tell())


@pytest.fixture(scope="module")
def books(told: Told) -> DeviceView:
    assert told.books is not None
    return told.books


def test_all_windows_together_are_what_was_metered_less_idle(told: Told, books: DeviceView) -> None:
    given = told.given + told.nested[0].joules
    idle, unattributed = books.booked["idle"], books.booked["unattributed"]
    assert given == pytest.approx(books.metered_joules - idle - unattributed, rel=ROUNDING)
    assert given == pytest.approx(books.booked["requests"], rel=ROUNDING)
    assert unattributed < ROUNDING * books.metered_joules


def test_overlapping_windows_are_given_what_was_used_while_any_of_them_was_open(told: Told) -> None:
    assert len(told.overlapping) == WINDOWS
    assert told.given == pytest.approx(told.true_overlapping, rel=EDGES)
    assert all(energy.concurrency > 5 for energy in told.overlapping)


def test_naive_windows_count_the_same_joules_a_dozen_times(told: Told) -> None:
    ratio = sum(told.naive) / told.true_overlapping
    print(f"naive windows: {ratio:.1f} times the energy that was used")
    assert ratio > 10


def test_windows_inside_another_one_are_parts_of_it(told: Told) -> None:
    epoch, *steps = told.nested
    assert len(steps) == STEPS
    assert epoch.joules == pytest.approx(epoch.own_joules + sum(step.joules for step in steps), rel=ROUNDING)
    assert epoch.joules == pytest.approx(told.true_nested, rel=2 * EDGES)
    assert sum(step.joules for step in steps) > epoch.own_joules


def test_nobody_who_was_alone_shared_with_anybody(told: Told) -> None:
    assert all(energy.concurrency == pytest.approx(1.0, abs=0.02) for energy in told.nested)
