"""What is said of a dcgm-exporter that is asked for power."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from exporter.clock import SystemClock
from exporter.doctor import slow
from exporter.doctor.finding import Finding
from exporter.doctor.power import examine
from exporter.doctor.probe import Measured
from exporter.domain.readings import Device
from exporter.domain.settings import DcgmSettings, PowerSettings
from exporter.metering.opening import sources_for
from tests.doctor.conftest import the
from tests.fakes.dcgm import FakeDcgm, serving


@pytest.fixture
def fake() -> FakeDcgm:
    return FakeDcgm(time.time)


@pytest.fixture
def settings(fake: FakeDcgm) -> Iterator[PowerSettings]:
    with serving(fake) as url:
        yield PowerSettings(source=("dcgm",), dcgm=DcgmSettings(url=url))


def findings(settings: PowerSettings) -> tuple[Finding, ...]:
    sources = {"dcgm": sources_for(settings)["dcgm"]}
    return examine(settings, SystemClock(), sources=sources, seconds=0.3).findings


def test_half_a_minute_is_called_long_and_the_switch_is_named(settings: PowerSettings) -> None:
    found = findings(settings)
    assert the(found, "dcgm").text == "works (gpu0)"
    assert the(found, "in use").text == "dcgm, as configured: joules are measured"
    assert "GPU-604ac76c" in the(found, "gpu0").text
    pace = the(found, "gpu0 pace")
    assert (pace.verdict, "as seldom as every 30 s" in pace.text) == ("warn", True)
    assert "--collect-interval 1000, or DCGM_EXPORTER_INTERVAL=1000" in pace.fix


def test_a_second_is_in_order(settings: PowerSettings, fake: FakeDcgm) -> None:
    fake.collect = 1.0
    quick = replace(settings, dcgm=replace(settings.dcgm, collect_seconds=1.0))
    assert the(findings(quick), "gpu0 pace").verdict == "ok"


def test_what_was_seen_goes_before_what_was_configured() -> None:
    device = Device("gpu0", "gpu", has_counter=True, period_seconds=30.0)
    seen = Measured(device, 20, {}, 2.0, False, 300.0, 40.0, 12e3, 12e3)  # noqa: FBT003 - as they stand there
    (pace,) = slow.examine(seen)
    assert (pace.verdict, pace.text) == ("ok", "is collected every 2 s")


def test_a_page_without_energy_is_called_poor(settings: PowerSettings, fake: FakeDcgm) -> None:
    fake.replace(0, joules=None)
    energy = the(findings(settings), "gpu0 energy")
    assert (energy.verdict, "which is poor" in energy.text) == ("warn", True)
    assert "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" in energy.fix


def test_a_page_that_does_not_answer_is_a_failure_with_what_to_do(settings: PowerSettings, fake: FakeDcgm) -> None:
    fake.down = True
    refused = the(findings(settings), "dcgm")
    assert (refused.verdict, "cannot be reached" in refused.text) == ("fail", True)
    assert "9400" in refused.fix
