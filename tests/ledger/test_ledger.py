"""Devices, servers and their groups, and the books of each device."""

import pytest

from exporter.domain.readings import Device, PowerReading
from exporter.domain.settings import AttributionSettings
from exporter.domain.units import Instant, Watts
from exporter.ledger.claims import Claims, Life
from exporter.ledger.ledger import Ledger

DEVICES = tuple(Device(f"gpu{index}", "gpu") for index in range(4))
USERS = {"chat": ("gpu0", "gpu1"), "code": ("gpu1", "gpu2")}


def a_ledger() -> Ledger:
    return Ledger(DEVICES, USERS, AttributionSettings(), since=0.0, idle_watts={"gpu3": 40.0})


def power(ledger: Ledger, device: str, start: float, end: float, watts: float = 100.0) -> None:
    at = start
    while at <= end:
        ledger.receive(PowerReading(device, Instant(at), Watts(watts)))
        at += 0.5


def test_devices_that_serve_the_same_servers_share_a_group() -> None:
    ledger = Ledger(DEVICES, {"chat": ("gpu0", "gpu1", "gpu2")}, AttributionSettings(), since=0.0, idle_watts={})
    assert [(group.devices, group.lanes) for group in ledger.groups] == [
        (("gpu0", "gpu1", "gpu2"), ("chat",)),
        (("gpu3",), ()),
    ]


def test_a_server_has_a_lane_in_every_group_it_uses() -> None:
    ledger = a_ledger()
    assert [group.devices for group, _ in ledger.serving("chat")] == [("gpu0",), ("gpu1",)]
    assert [(group.lanes, lane) for group, lane in ledger.serving("code")] == [(("chat", "code"), 1), (("code",), 0)]
    assert list(ledger.serving("nobody")) == []


def test_claims_are_entered_on_all_devices_of_the_server_and_no_others() -> None:
    ledger = a_ledger()
    ledger.register("chat", Claims.of([Life(1.0, 1.0, 2.0, 0.0, 0.0)]))
    occupied = {name for group in ledger.groups if group.slices.amounts.any() for name in group.devices}
    assert occupied == {"gpu0", "gpu1"}


def test_metered_energy_is_unsettled_until_it_is_booked() -> None:
    ledger = a_ledger()
    power(ledger, "gpu1", 0.0, 10.0)
    assert ledger.books["gpu1"].metered == pytest.approx(1000.0)
    assert ledger.unsettled()["gpu1"] == pytest.approx(1000.0)


def test_the_frontier_waits_for_the_slowest_device_but_not_for_a_silent_one() -> None:
    ledger = a_ledger()
    power(ledger, "gpu0", 0.0, 100.0)
    power(ledger, "gpu1", 0.0, 90.0)
    power(ledger, "gpu2", 0.0, 5.0)
    assert ledger.frontier(100.0) == pytest.approx(90.0)
    assert ledger.frontier(5.0 + 65.0) == pytest.approx(5.0)


def test_without_any_energy_time_itself_is_the_frontier() -> None:
    assert a_ledger().frontier(7.0) == 7.0


def test_a_configured_idle_baseline_is_known_from_the_beginning() -> None:
    ledger = a_ledger()
    assert ledger.idle["gpu3"].watts == 40.0
    assert ledger.idle["gpu0"].watts is None
