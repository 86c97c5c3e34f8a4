"""The simulated boards keep the contract of every power source, and nobody can take them for real ones."""

import numpy as np
import pytest

from exporter.domain.readings import CounterReading, ReadFailure
from exporter.domain.units import Instant
from exporter.simulate.fleet import Fleet
from exporter.simulate.physics import FITS, served
from exporter.simulate.plan import Plan
from exporter.simulate.replica import Replica
from exporter.simulate.source import SimulatedSource
from tests.contracts.test_power_source_contract import (  # noqa: F401 - run here with a stage of our own
    Stage,
    Time,
    test_a_device_that_fails_yields_a_failure_and_no_value,
    test_a_working_device_gives_values,
    test_closing_twice_is_closing,
    test_devices_have_names_of_their_own_and_stay_the_same,
    test_failing_for_long_never_raises,
    test_instants_are_of_the_call_and_never_go_back,
    test_only_devices_with_a_counter_count,
    test_reading_after_close_gives_no_values_and_does_not_raise,
)

BEGIN = Instant(1000.0)


def a_fleet() -> Fleet:
    plan = Plan(model="llama-3.1-70b", gpus=8)
    return Fleet(plan.build_replicas(), BEGIN, plan.build_load())


@pytest.fixture
def stage() -> Stage:
    time, fleet = Time(), a_fleet()

    def break_machine() -> None:
        for replica in fleet.replicas:
            for sensor in replica.sensors:
                sensor.lose(fleet.seconds(time.now()), 1e9)

    return Stage(SimulatedSource(fleet, time.now), time, break_machine)


def test_every_device_says_that_it_is_simulated() -> None:
    devices = SimulatedSource(a_fleet(), Time().now).devices
    assert [device.uuid for device in devices] == [f"SIMULATED-{index}" for index in range(8)]
    assert {(device.method, device.model, device.driver) for device in devices} == {
        ("simulated", "SIMULATED H100", "simulated")
    }


def test_counters_tell_the_truth_to_a_step_and_the_boards_of_a_replica_share_it() -> None:
    time, physics = Time(), served(FITS[-1])
    fleet = Fleet((Replica("simulated-0", physics, np.random.default_rng(1)),), BEGIN, iter(()))
    source = SimulatedSource(fleet, time.now)
    first = source.read()
    time.t += 100.0
    counted = [
        after.joules - before.joules
        for before, after in zip(first, source.read(), strict=True)
        if isinstance(before, CounterReading) and isinstance(after, CounterReading)
    ]
    true = source.true_joules()
    assert sum(true) == pytest.approx(100.0 * physics.idle_watts, rel=1e-4)
    assert counted == pytest.approx(true, abs=9.0)
    assert len(set(true)) == 4


def test_a_lost_board_fails_by_the_name_that_nvml_has_for_it(stage: Stage) -> None:
    stage.break_machine()
    failures = [one for one in stage.read_later() if isinstance(one, ReadFailure)]
    assert {failure.reason for failure in failures} == {"gpu_is_lost"}
