"""A row of slices: energy in, claims in, joules out."""

import numpy as np
import pytest

from exporter.ledger.claims import Claims, Life
from exporter.ledger.slices import DECODE, DECODING, PREFILL, PRESENCE, QUANTITIES, Reserved, Slices

BY_TIME = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
BY_TOKENS = np.array([0.0, 0.0, 0.0, 1.0, 1.0])


def row(*, lanes: int = 1, devices: int = 1, capacity: int = 100) -> Slices:
    """Ten seconds of slices."""
    return Slices(devices=devices, lanes=lanes, slice_seconds=0.1, capacity=capacity, since=0.0)


def nobody(slices: Slices, stop: int = 100) -> Reserved:
    """No running requests."""
    return slices.reserve([Claims.of([])] * slices.amounts.shape[1], slices.closed, stop)


def priced(slices: Slices, reserved: Reserved, prices: np.ndarray = BY_TIME) -> np.ndarray:
    """The same prices in every lane and slice."""
    lanes = slices.amounts.shape[1]
    return np.broadcast_to(prices[:, None, None], (QUANTITIES, lanes, reserved.stop - reserved.first)).copy()


def stay(start: float, end: float, prefill: float = 0.0, decode: float = 0.0) -> Life:
    return Life(start, start, end, prefill, decode)


def settled(slices: Slices, *lives: Life, prices: np.ndarray = BY_TIME) -> list[float]:
    """Register and settle these together; their joules on the first device."""
    claims = Claims.of(lives)
    slices.register(0, claims)
    reserved = nobody(slices)
    joules: list[float] = slices.settle(0, claims, priced(slices, reserved, prices), reserved).total[0].tolist()
    return joules


class TestDeposit:
    def test_energy_is_spread_evenly_over_its_time(self) -> None:
        slices = row()
        assert slices.deposit(0, 0.05, 0.35, 30.0) == 0.0
        assert slices.energy[0, :5] == pytest.approx([5.0, 10.0, 10.0, 5.0, 0.0])

    def test_what_lies_in_closed_slices_is_handed_back(self) -> None:
        slices = row()
        slices.ripen(10, nobody(slices), np.zeros(1), exclude_static=False)
        slices.close(10)
        assert slices.deposit(0, 0.2, 0.4, 7.0) == 7.0
        assert slices.deposit(0, 0.5, 1.5, 10.0) == pytest.approx(5.0)
        assert slices.unsettled() == pytest.approx(5.0)

    def test_the_window_moves_on_without_growing(self) -> None:
        slices = row(capacity=80)
        for second in range(1, 100):
            slices.deposit(0, second - 1.0, float(second), 100.0)
            slices.ripen(10 * second - 10, nobody(slices, 10 * second), np.zeros(1), exclude_static=False)
            slices.close(10 * second - 20)
        assert slices.energy.shape[1] == 80
        assert slices.unsettled() == pytest.approx(200.0)

    def test_the_window_grows_where_nothing_may_be_forgotten_yet(self) -> None:
        slices = row(capacity=50)
        slices.deposit(0, 0.0, 60.0, 600.0)
        assert slices.unsettled() == pytest.approx(600.0)
        assert settled(slices, stay(0.0, 10.0)) == pytest.approx([100.0])

    def test_closing_after_a_leap_of_time_takes_no_memory(self) -> None:
        slices = row(capacity=50)
        slices.deposit(0, 0.0, 3.0, 30.0)
        slices.ripe = 10**12
        idle, unattributed = slices.close(10**12)
        assert (idle[0], unattributed[0]) == pytest.approx((30.0, 0.0))
        assert slices.energy.shape[1] == 50
        slices.deposit(0, 1e11 + 0.5, 1e11 + 1.5, 10.0)
        assert slices.unsettled() == pytest.approx(10.0)


class TestSettle:
    def test_whoever_is_alone_takes_everything(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 10.0, 1000.0)
        assert settled(slices, stay(2.0, 5.0)) == pytest.approx([300.0])
        assert slices.left.sum() == pytest.approx(700.0)

    def test_those_who_overlap_share_by_time(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 10.0, 1000.0)
        assert settled(slices, stay(2.0, 4.0), stay(3.0, 5.0)) == pytest.approx([150.0, 150.0])

    def test_those_who_overlap_share_by_tokens(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 10.0, 1000.0)
        lives = (stay(2.0, 4.0, decode=30.0), stay(2.0, 4.0, prefill=60.0, decode=30.0))
        assert settled(slices, *lives, prices=BY_TOKENS) == pytest.approx([50.0, 150.0])

    def test_where_nobodys_tokens_are_known_presence_weighs(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 10.0, 1000.0)
        assert settled(slices, stay(2.0, 4.0), stay(2.0, 4.0), prices=BY_TOKENS) == pytest.approx([100.0, 100.0])

    def test_phases_are_told_apart(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 10.0, 1000.0)
        claims = Claims.of([Life(2.0, 3.0, 6.0, 100.0, 50.0)])
        slices.register(0, claims)
        reserved = nobody(slices)
        taken = slices.settle(0, claims, priced(slices, reserved), reserved)
        assert (taken.prefill[0, 0], taken.decode[0, 0]) == pytest.approx((100.0, 300.0))

    def test_what_running_requests_hold_stays(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 10.0, 1000.0)
        claims = Claims.of([stay(2.0, 4.0)])
        slices.register(0, claims)
        reserved = slices.reserve([Claims.of([stay(3.0, 10.0)])], 0, 100)
        taken = slices.settle(0, claims, priced(slices, reserved), reserved)
        assert taken.total[0, 0] == pytest.approx(100.0 + 50.0)

    def test_who_comes_late_shares_what_is_left_and_is_told_its_due(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 10.0, 1000.0)
        settled(slices, stay(2.0, 4.0))
        late = Claims.of([stay(3.0, 5.0)])
        slices.register(0, late)
        reserved = nobody(slices)
        due = slices.due(0, late, priced(slices, reserved), reserved).total[0, 0]
        taken = slices.settle(0, late, priced(slices, reserved), reserved).total[0, 0]
        assert (due, taken) == pytest.approx((150.0, 100.0))

    def test_lanes_share_the_devices_they_share(self) -> None:
        slices = row(lanes=2)
        slices.deposit(0, 0.0, 10.0, 1000.0)
        claims = Claims.of([stay(2.0, 4.0)])
        for lane in (0, 1):
            slices.register(lane, claims)
        reserved = nobody(slices)
        prices = priced(slices, reserved)
        taken = [slices.settle(lane, claims, prices, reserved).total[0, 0] for lane in (0, 1)]
        assert taken == pytest.approx([100.0, 100.0])

    def test_what_is_closed_is_not_claimed(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 10.0, 1000.0)
        slices.ripen(30, nobody(slices), np.zeros(1), exclude_static=False)
        slices.close(30)
        assert settled(slices, stay(2.0, 5.0), stay(1.0, 2.0)) == pytest.approx([200.0, 0.0])

    def test_tokens_are_spread_over_their_phases(self) -> None:
        slices = row()
        slices.register(0, Claims.of([Life(1.0, 1.2, 2.2, 40.0, 100.0)]))
        assert slices.amounts[PREFILL, 0, 8:14] == pytest.approx([0, 0, 20, 20, 0, 0], abs=1e-9)
        assert slices.amounts[DECODE, 0, 11:14] == pytest.approx([0, 10, 10], abs=1e-9)
        assert slices.amounts[PRESENCE, 0].sum() == pytest.approx(1.2)
        assert slices.amounts[DECODING, 0].sum() == pytest.approx(1.0)


class TestAges:
    def test_the_part_of_an_occupied_slice_that_nobody_used_is_idle(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 1.0, 100.0)
        slices.register(0, Claims.of([stay(0.05, 0.2)]))
        idle = slices.ripen(10, nobody(slices), np.array([40.0]), exclude_static=False)
        assert idle[0] == pytest.approx(40.0 * 0.05)

    def test_static_power_can_be_kept_out_of_requests(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 1.0, 100.0)
        slices.register(0, Claims.of([stay(0.0, 0.5)]))
        idle = slices.ripen(10, nobody(slices), np.array([40.0]), exclude_static=True)
        assert idle[0] == pytest.approx(40.0 * 0.5)

    def test_idle_is_never_more_than_there_is(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 1.0, 10.0)
        slices.register(0, Claims.of([stay(0.05, 0.1)]))
        assert slices.ripen(10, nobody(slices), np.array([1000.0]), exclude_static=False)[0] == pytest.approx(1.0)

    def test_a_closed_slice_is_idle_if_nobody_ran_on_it_and_unattributed_if_somebody_did(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 1.0, 100.0)
        slices.register(0, Claims.of([stay(0.0, 0.4)]))
        slices.ripen(10, nobody(slices), np.zeros(1), exclude_static=False)
        idle, unattributed = slices.close(10)
        assert (idle[0], unattributed[0]) == pytest.approx((60.0, 40.0))

    def test_only_ripe_slices_close(self) -> None:
        slices = row()
        slices.deposit(0, 0.0, 1.0, 100.0)
        slices.close(10)
        assert slices.closed == 0
        assert slices.unsettled() == pytest.approx(100.0)
