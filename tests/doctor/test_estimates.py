"""Who is estimated, from what, and what is missing for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.clock import SystemClock
from exporter.doctor import examine as examine_all
from exporter.doctor.estimates import examine
from exporter.domain.readings import Device
from exporter.domain.settings import PowerSettings, RequestSettings, ServerSettings, Settings
from exporter.domain.units import Instant
from exporter.proxy.calibration.calibration import to_json
from tests.doctor.conftest import the
from tests.proxy.calibrations import CALIBRATION

NOW = Instant(1_796_000_000.0)
"""Within two weeks after the calibration."""
GPU = Device("gpu0", "gpu")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "calibration.json"
    path.write_text(to_json(CALIBRATION))
    return path


def settings(calibration: Path | None = None, model: str | None = None, state_dir: Path | None = None) -> Settings:
    named = str(calibration) if calibration is not None else None
    server = ServerSettings("chat", (RequestSettings("jsonl"),), model=model, calibration=named)
    kept = str(state_dir) if state_dir is not None else None
    return Settings(servers=(server,), power=PowerSettings(source=("none",)), state_dir=kept)


def test_who_is_metered_and_has_no_calibration_is_no_matter() -> None:
    assert examine(settings(), (GPU,), NOW) == ()


def test_who_is_neither_metered_nor_calibrated_is_told_what_it_takes() -> None:
    finding = the(examine(settings(), (), NOW), "estimate")
    assert finding.verdict == "warn"
    assert "requests are counted and have no energy" in finding.text
    assert "calibrate export" in finding.fix
    assert "where `model` is fixed" in finding.fix


def test_estimates_in_force_are_said_to_be(file: Path) -> None:
    finding = the(examine(settings(file), (), NOW), "estimate")
    assert finding.verdict == "ok"
    assert "ESTIMATED from llama-3.1-8b_2xNVIDIA-H200_bfloat16, learned 2026-11-21" in finding.text


def test_what_there_is_to_doubt_about_a_calibration_is_said(file: Path) -> None:
    file.write_text(to_json(replace(CALIBRATION, method="estimated")))
    finding = the(examine(settings(file), (), NOW), "estimate")
    assert finding.verdict == "warn"
    assert "ESTIMATE of power" in finding.details[0]


def test_a_calibration_of_a_server_that_is_metered_is_said_to_be_idle(file: Path) -> None:
    finding = the(examine(settings(file), (GPU,), NOW), "calibration")
    assert finding.verdict == "note"
    assert "is not used" in finding.text


@pytest.mark.parametrize("devices", [(), (GPU,)])
def test_a_broken_calibration_must_be_mended_whoever_needs_it(file: Path, devices: tuple[Device, ...]) -> None:
    file.write_text("{}")
    finding = the(examine(settings(file), devices, NOW), "calibration")
    assert finding.verdict == "fail"
    assert f"servers[0].calibration: {file}: format: is not" in finding.text
    assert "will not start" in finding.text
    assert finding.fix.startswith("export it again")


def test_an_imported_one_is_found_by_its_model(tmp_path: Path) -> None:
    (tmp_path / "calibrations").mkdir()
    (tmp_path / "calibrations" / "a.json").write_text(to_json(CALIBRATION))
    assert the(examine(settings(None, "llama-3.1-8b", tmp_path), (), NOW), "estimate").verdict == "ok"
    assert the(examine(settings(None, "qwen3-8b", tmp_path), (), NOW), "estimate").verdict == "warn"


def test_the_doctor_looks_at_estimates_where_nothing_is_metered() -> None:
    findings = [finding for section in examine_all(settings(), SystemClock()) for finding in section]
    assert the(findings, "in use").text == "nothing is metered: power.source is `none`"
    assert the(findings, "estimate").verdict == "warn"
