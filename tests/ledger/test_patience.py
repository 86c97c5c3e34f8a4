"""Waits follow a sensor's period, and are what they were where it is quick."""

import pytest

from exporter.domain.readings import Device
from exporter.ledger.patience import Patience

QUICK = Patience(Device("gpu0", "gpu", has_counter=True))
SLOW = Patience(Device("gpu0", "gpu", has_counter=True, period_seconds=30.0))


def test_a_sensor_in_the_machine_is_waited_for_as_ever() -> None:
    assert (QUICK.check_seconds, QUICK.look_seconds, QUICK.sample_seconds) == (60.0, 1.0, 0.0)
    assert (QUICK.stale_seconds, QUICK.silence_seconds) == (5.0, 65.0)


@pytest.mark.parametrize(("measured", "stuck", "hole"), [(None, 10.0, 1.0), (0.1, 10.0, 1.0), (0.5, 10.0, 2.5)])
def test_what_was_measured_of_a_quick_counter_sets_its_waits(measured: float, stuck: float, hole: float) -> None:
    assert (QUICK.stuck_seconds(measured), QUICK.hole_seconds(measured)) == (stuck, hole)


def test_nothing_is_wrong_with_a_sensor_that_is_silent_for_its_period() -> None:
    for wait in (SLOW.stale_seconds, SLOW.sample_seconds, SLOW.stuck_seconds(None), SLOW.silence_seconds):
        assert wait > 30.0 * 1.2


def test_settling_waits_for_longer_than_finding_a_stuck_counter_takes() -> None:
    for period in (1.0, 5.0, 30.0, 60.0):
        slow = Patience(Device("gpu0", "gpu", has_counter=True, period_seconds=period))
        assert slow.silence_seconds > slow.stuck_seconds(None) + period


def test_a_slow_sensor_that_turns_out_to_be_quicker_is_waited_for_less() -> None:
    assert SLOW.stuck_seconds(1.0) < SLOW.stuck_seconds(None)
    assert SLOW.hole_seconds(1.0) < SLOW.hole_seconds(None) == 30.0
