"""Which devices go with which servers, and what is said of those that none serves."""

import logging
from pathlib import Path

import pytest

from exporter.clock import SystemClock
from exporter.domain.errors import ConfigError
from exporter.domain.readings import Device
from exporter.domain.settings import PowerSettings, ServerSettings, Settings
from exporter.domain.units import Instant
from exporter.metering import opening
from exporter.metering.opening import check_devices, open_pipeline, open_sources
from exporter.power.select import Chosen, Opened
from tests.metering.steady import GPU, Steady

ELSEWHERE = Settings(servers=(ServerSettings("chat", (), gpus=("gpu7",)),))


def test_a_server_that_names_no_device_here_is_refused_unless_it_has_a_calibration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"servers\[0\]\.gpus: \['gpu7'\] names none of the devices here: gpu0 GPU-1"):
        check_devices(ELSEWHERE, [GPU])
    check_devices(Settings(servers=(ServerSettings("chat", (), gpus=("gpu7",), calibration=str(tmp_path)),)), [GPU])


def test_where_nothing_is_metered_no_server_is_refused() -> None:
    check_devices(ELSEWHERE, [])


def test_a_device_that_two_sources_meter_is_refused() -> None:
    with pytest.raises(ConfigError, match="two sources both meter gpu0: leave one out"):
        check_devices(Settings(), [GPU, Device("cpu0", "cpu"), GPU])


def test_sources_whose_devices_do_not_fit_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Steady(GPU, SystemClock())
    monkeypatch.setattr(opening, "open_chosen", lambda *_, **__: Chosen((Opened(source, "fake"),)))
    with pytest.raises(ConfigError):
        open_sources(ELSEWHERE, SystemClock())
    assert source.closed.is_set()


def test_why_nothing_is_metered_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert open_sources(Settings(power=PowerSettings(("none",))), SystemClock()).opened == ()
    assert "nothing is metered: power.source is `none`" in caplog.text


def test_a_server_whose_requests_get_no_energy_is_said(caplog: pytest.LogCaptureFixture) -> None:
    open_pipeline(ELSEWHERE, [GPU], Instant(0.0), None)
    assert "server chat is not metered and has no calibration: requests are counted without energy" in caplog.text
