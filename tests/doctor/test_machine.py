"""What the program runs on."""

from pathlib import Path

import pytest

from exporter.clock import SystemClock
from exporter.doctor.finding import Finding
from exporter.doctor.machine import examine, is_container
from tests.doctor.conftest import the


def _examined(tmp_path: Path, environment: dict[str, str] | None = None, wall: float = 1.8e9) -> tuple[Finding, ...]:
    return examine(SystemClock(wall=lambda: wall), environment or {}, tmp_path)


def test_a_machine_in_order_has_nothing_to_fix(tmp_path: Path) -> None:
    findings = _examined(tmp_path)
    assert {finding.subject for finding in findings} == {"exporter", "hardware", "clock", "time zone"}
    assert all(finding.verdict == "ok" for finding in findings)


@pytest.mark.parametrize("wall", [0.0, 9e9])
def test_a_date_that_cannot_be_is_a_problem(tmp_path: Path, wall: float) -> None:
    assert the(_examined(tmp_path, wall=wall), "clock").verdict == "fail"


@pytest.mark.parametrize("zone", ["Europe/Paris", ":UTC", "CET-1CEST"])
def test_a_known_time_zone_is_fine(tmp_path: Path, zone: str) -> None:
    assert the(_examined(tmp_path, {"TZ": zone}), "time zone").verdict == "ok"


def test_a_misspelt_time_zone_which_the_system_takes_for_utc_is_said(tmp_path: Path) -> None:
    assert the(_examined(tmp_path, {"TZ": "Europe/Pariss"}), "time zone").verdict == "warn"


def test_a_container_is_known_by_its_runtimes_mark_or_by_its_cluster(tmp_path: Path) -> None:
    assert not is_container({}, tmp_path)
    assert is_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
    (tmp_path / ".dockerenv").touch()
    assert is_container({}, tmp_path)


def test_a_memory_limit_that_would_kill_us_is_said(tmp_path: Path) -> None:
    limit = tmp_path / "sys/fs/cgroup/memory.max"
    limit.parent.mkdir(parents=True)
    limit.write_text("max\n")
    assert the(_examined(tmp_path), "hardware").verdict == "ok"
    limit.write_text(f"{32 << 20}\n")
    assert the(_examined(tmp_path), "hardware").verdict == "warn"
