from collections.abc import Sequence
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.errors import SourceError
from exporter.domain.readings import PowerReading, ReadFailure, Reading
from exporter.domain.settings import CpuEstimate
from exporter.domain.units import Instant
from exporter.power.cpu import WINDOW_SECONDS, CpuEstimateSource

TEN_TO_FIFTY = CpuEstimate(idle_watts=10.0, max_watts=50.0)


class Machine:
    """Four CPUs that count what they are told to have done."""

    def __init__(self) -> None:
        self.t = 0.0
        self.user = self.idle = self.iowait = self.steal = self.guest = 0.0
        self.broken = False

    def now(self) -> Instant:
        return Instant(self.t)

    def cpu_times(self) -> SimpleNamespace:
        if self.broken:
            raise psutil.AccessDenied
        counts = {"idle": self.idle, "iowait": self.iowait, "steal": self.steal, "guest": self.guest}
        return SimpleNamespace(user=self.user, nice=0.0, system=0.0, **counts)

    def run(self, seconds: float, utilisation: float) -> None:
        self.t += seconds
        self.user += 4 * seconds * utilisation
        self.idle += 4 * seconds * (1 - utilisation)


def opened(machine: Machine, estimate: CpuEstimate = TEN_TO_FIFTY) -> CpuEstimateSource:
    return CpuEstimateSource(estimate, machine.now, machine.cpu_times, cpus=4)


def watts(readings: Sequence[Reading]) -> list[float]:
    return [reading.watts for reading in readings if isinstance(reading, PowerReading)]


def test_the_first_read_publishes_nothing() -> None:
    assert opened(Machine()).read() == []


def test_a_reading_is_the_mean_since_the_one_before() -> None:
    machine = Machine()
    source = opened(machine)
    source.read()
    machine.run(0.05, 1.0)
    machine.run(0.05, 0.5)
    assert watts(source.read()) == pytest.approx([10 + 40 * 0.75])


def test_a_poll_within_the_window_publishes_nothing_and_loses_nothing() -> None:
    machine = Machine()
    source = opened(machine)
    source.read()
    machine.run(WINDOW_SECONDS / 2, 1.0)
    assert source.read() == []
    machine.run(WINDOW_SECONDS / 2, 0.0)
    assert watts(source.read()) == pytest.approx([30.0])


def test_the_device_is_labelled_an_estimate() -> None:
    (device,) = opened(Machine()).devices
    assert (device.name, device.kind, device.method, device.has_counter) == ("cpu0", "cpu", "estimated", False)
    assert device.power_window_seconds == WINDOW_SECONDS
    assert device.limit_watts == 50.0


def test_waiting_for_disks_is_idle_and_stolen_time_is_none_of_ours() -> None:
    machine = Machine()
    source = opened(machine)
    source.read()
    machine.run(0.1, 0.5)
    machine.iowait, machine.steal, machine.guest = machine.user + machine.idle, 7.0, 0.1
    assert watts(source.read()) == pytest.approx([20.0])


def test_no_tick_between_two_looks_waits_for_one() -> None:
    machine = Machine()
    source = opened(machine)
    source.read()
    machine.t += 0.2
    assert source.read() == []
    machine.run(0.2, 1.0)
    assert watts(source.read()) == [50.0]


def test_a_machine_that_stops_telling_fails_and_recovers_with_a_first_look() -> None:
    machine = Machine()
    source = opened(machine)
    source.read()
    machine.run(0.1, 1.0)
    machine.broken = True
    assert source.read() == [ReadFailure("cpu0", Instant(0.1), "cpu_times_unavailable")]
    machine.broken = False
    machine.run(0.1, 1.0)
    assert source.read() == []
    machine.run(0.1, 0.0)
    assert watts(source.read()) == [10.0]


def test_a_machine_that_never_tells_is_a_failed_start() -> None:
    machine = Machine()
    machine.broken = True
    with pytest.raises(SourceError, match="does not tell its CPU times"):
        opened(machine)


@pytest.mark.parametrize(
    ("estimate", "idle", "most"),
    [
        (CpuEstimate(), 3.0, 14.0),
        (CpuEstimate(idle_watts=5.0), 5.0, 14.0),
        (CpuEstimate(idle_watts=20.0), 20.0, 20.0),
        (CpuEstimate(max_watts=65.0), 3.0, 65.0),
        (CpuEstimate(max_watts=2.0), 2.0, 2.0),
        (CpuEstimate(idle_watts=0.0, max_watts=0.0), 0.0, 0.0),
    ],
)
def test_watts_not_given_follow_the_number_of_cpus(estimate: CpuEstimate, idle: float, most: float) -> None:
    machine = Machine()
    source = opened(machine, estimate)
    source.read()
    machine.run(0.1, 0.0)
    resting = watts(source.read())
    machine.run(0.1, 1.0)
    assert resting + watts(source.read()) == pytest.approx([idle, most])


def test_watts_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SourceError, match="max_watts 10 is below idle_watts 20"):
        opened(Machine(), CpuEstimate(idle_watts=20.0, max_watts=10.0))


@given(st.lists(st.tuples(st.floats(0.001, 0.5), st.floats(0, 1)), min_size=1, max_size=40))
def test_the_readings_add_up_to_the_energy_of_the_time_they_cover(steps: list[tuple[float, float]]) -> None:
    machine = Machine()
    source = opened(machine)
    source.read()
    told, truth, last = 0.0, 0.0, 0.0
    for seconds, utilisation in [*steps, (1.0, 0.3)]:
        machine.run(seconds, utilisation)
        truth += seconds * (10 + 40 * utilisation)
        for reading in source.read():
            assert isinstance(reading, PowerReading)
            told += reading.watts * (reading.at - last)
            last = reading.at
    assert told == pytest.approx(truth)


def test_this_very_machine_can_be_estimated() -> None:
    t = iter([0.0, 1.0])
    source = CpuEstimateSource(CpuEstimate(), lambda: Instant(next(t)))
    assert source.read() == []
    assert source.devices[0].limit_watts == 3.5 * (psutil.cpu_count() or 1)
