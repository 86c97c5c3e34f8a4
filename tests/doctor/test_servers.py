"""Whether a server's log is there, can be read, and tells what is needed."""

import io
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.doctor.finding import Finding
from exporter.doctor.rendering import write_section
from exporter.doctor.servers import examine
from exporter.domain.readings import Device
from exporter.domain.settings import ListenAddress, RequestSettings, ServerSettings
from exporter.domain.units import Instant
from tests.doctor.conftest import the

LOGS = Path(__file__).parents[1] / "requests/logs"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
GPU = Device("gpu0", "gpu", uuid="GPU-1")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def _examined(*paths: Path | str, source: str = "vllm", **more: Any) -> tuple[Finding, ...]:
    requests = RequestSettings(source, path=tuple(map(str, paths)), timezone="UTC", options=more)
    return examine([ServerSettings("chat", (requests,))], [GPU], Instant(NOW), ListenAddress())


def _copied(name: str, log: Path, *, aged: float = 5.0) -> Path:
    shutil.copy(LOGS / name, log)
    os.utime(log, (NOW - aged, NOW - aged))
    return log


def _vllm_log(log: Path, *, off: timedelta = timedelta(), ends: bool = True) -> Path:
    """Three requests, the last of which ends now; by a clock that is off."""
    with log.open("w") as file:
        for number in range(3):
            stamp = datetime.fromtimestamp(NOW, UTC) + off - timedelta(seconds=10 * (2 - number))
            file.write(f"INFO {stamp:%m-%d %H:%M:%S} [logger.py:40] Received request cmpl-{number}: params: secret\n")
            if ends:
                end = f"Generated response cmpl-{number}: output: 'secret', finish_reason: stop"
                file.write(f"INFO {stamp:%m-%d %H:%M:%S} [logger.py:40] {end}\n")
    os.utime(log, (NOW, NOW))
    return log


# --- the files -----------------------------------------------------------------------------------------------------


def test_without_a_server_the_ways_to_name_one_are_told() -> None:
    (finding,) = examine([], [GPU], Instant(NOW), ListenAddress())
    assert finding.verdict == "warn"
    assert all(word in finding.fix for word in ("--source KIND --log PATH", "vllm", "llamacpp", "jsonl"))


def test_a_log_in_order(log: Path) -> None:
    findings = _examined(_copied("llama-server-b10434-default.log", log), source="llamacpp")
    assert {finding.subject: finding.verdict for finding in findings} == {
        "chat": "note",
        "log": "ok",
        "lines": "ok",
        "requests": "ok",
    }
    assert the(findings, "requests").text.startswith("12 requests")


def test_what_a_kind_of_log_can_tell_is_said_once() -> None:
    servers = [ServerSettings(name, (RequestSettings("vllm"),)) for name in ("a", "b")]
    findings = examine(servers, [GPU], Instant(NOW), ListenAddress())
    assert the(findings, "a").details
    assert not the(findings, "b").details


@pytest.mark.parametrize("name", ["missing.log", "missing/server.log", "*.log"])
def test_a_log_that_is_not_there_is_a_problem_and_what_is_there_is_named(tmp_path: Path, name: str) -> None:
    finding = the(_examined(tmp_path / name), "log")
    assert finding.verdict == "fail"
    assert str(tmp_path) in finding.fix


def test_a_directory_is_a_problem_and_the_glob_is_told(tmp_path: Path) -> None:
    finding = the(_examined(tmp_path), "log")
    assert finding.verdict == "fail"
    assert f"{tmp_path}/*.log" in finding.fix


def test_a_symlink_to_nothing_is_a_problem(log: Path) -> None:
    log.symlink_to("nowhere")
    assert the(_examined(log), "log").verdict == "fail"


def test_a_compressed_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "server.log.gz").touch()
    assert the(_examined(tmp_path / "server.log.gz"), "log").verdict == "fail"


@pytest.fixture
def locked(log: Path) -> Iterator[Path]:
    """A log that we may not read, even where the tests run as root, who may do anything."""
    log.touch(mode=0)
    user = os.geteuid()
    os.seteuid(user or 65534)
    yield log
    os.seteuid(user)


def test_a_log_that_may_not_be_read_is_a_problem_and_our_user_is_named(locked: Path) -> None:
    finding = the(_examined(locked), "log")
    assert finding.verdict == "fail"
    assert f"user {os.geteuid()}" in finding.fix


def test_an_empty_log_is_no_problem_yet(log: Path) -> None:
    log.touch()
    assert the(_examined(log), "log").verdict == "warn"


def test_a_log_that_nobody_writes_any_more_is_said(log: Path) -> None:
    finding = the(_examined(_copied("llama-server-b10434-default.log", log, aged=3e5), source="llamacpp"), "log")
    assert finding.verdict == "warn"
    assert "3 days ago" in finding.text


def test_rotation_is_noticed(log: Path) -> None:
    log.with_name("server.log.1").touch()
    assert any("server.log.1" in detail for detail in the(_examined(_vllm_log(log)), "log").details)


def test_of_several_files_the_newest_is_read(tmp_path: Path) -> None:
    _copied("llama-server-b10434-default.log", tmp_path / "old.log", aged=100.0)
    _vllm_log(tmp_path / "new.log")
    findings = _examined(tmp_path / "*.log")
    assert [finding.verdict for finding in findings if finding.subject == "log"] == ["ok", "ok"]
    assert the(findings, "requests").text.startswith("3 requests")


def test_standard_input_is_not_read() -> None:
    assert the(_examined("-"), "log").verdict == "note"


def test_gpus_that_are_not_metered_are_a_problem(log: Path) -> None:
    server = ServerSettings("chat", (RequestSettings("vllm", path=(str(_vllm_log(log)),)),), gpus=("5",))
    assert the(examine([server], [GPU], Instant(NOW), ListenAddress()), "gpus").verdict == "fail"


# --- what they say -------------------------------------------------------------------------------------------------


def test_a_log_of_access_lines_only_is_a_problem_and_the_flag_is_named(log: Path) -> None:
    finding = the(_examined(_copied("vllm-0.32.0-cpu-default.log", log)), "requests")
    assert finding.verdict == "fail"
    assert "can be counted but not attributed" in finding.text
    assert "--enable-log-requests" in finding.fix


def test_a_log_of_starts_without_ends_is_a_problem_and_the_flag_is_named(log: Path) -> None:
    finding = the(_examined(_vllm_log(log, ends=False)), "requests")
    assert finding.verdict == "fail"
    assert "--enable-log-outputs" in finding.fix


def test_a_log_that_stamps_no_lines_is_fine_because_it_is_read_live(log: Path) -> None:
    findings = _examined(_copied("llama-server-b11434-ollama-flags.log", log), source="llamacpp")
    assert the(findings, "requests").verdict == "ok"


@pytest.mark.parametrize(
    ("name", "source", "right"),
    [
        ("llama-server-b10434-default.log", "vllm", "--source llamacpp"),
        ("llama-server-b11434-jsonl.log", "vllm", "--source llamacpp"),
        ("vllm-0.11.0-cpu-log-requests.log", "llamacpp", "--source vllm"),
        ("vllm-0.32.0-cpu-json.log", "llamacpp", "--source vllm"),
        ("nginx-1.22.1-json.log", "vllm", "--source jsonl --option profile=nginx"),
        ("traefik-3.7.15-json.log", "llamacpp", "--source jsonl --option profile=traefik"),
        ("haproxy-2.6.12-json.log", "vllm", "--source jsonl --option profile=haproxy"),
    ],
)
def test_the_wrong_reader_is_a_problem_and_the_right_one_is_named(
    log: Path, name: str, source: str, right: str
) -> None:
    finding = the(_examined(_copied(name, log), source=source), "requests")
    assert finding.verdict == "fail"
    assert right in finding.fix


def test_a_reader_without_its_options_is_a_problem_and_the_options_are_named(log: Path) -> None:
    finding = the(_examined(_copied("nginx-1.22.1-json.log", log), source="jsonl"), "options")
    assert finding.verdict == "fail"
    assert "profile=nginx" in finding.fix


def test_a_log_without_requests_is_no_problem_yet(log: Path) -> None:
    log.write_text("hello\nworld\n")
    assert the(_examined(log), "requests").verdict == "warn"


@pytest.mark.parametrize("hours", [-8.0, -0.5, 0.5, 5.75, 12.0])
def test_stamps_in_another_time_zone_are_a_problem(log: Path, hours: float) -> None:
    finding = the(_examined(_vllm_log(log, off=timedelta(hours=hours))), "stamps")
    assert finding.verdict == "fail"
    assert "requests.timezone" in finding.fix


@pytest.mark.parametrize("off", [timedelta(), timedelta(seconds=-8), timedelta(hours=-2, minutes=7)])
def test_stamps_that_no_time_zone_explains_are_left_alone(log: Path, off: timedelta) -> None:
    assert all(finding.subject != "stamps" for finding in _examined(_vllm_log(log, off=off)))


def test_only_the_end_of_a_long_log_is_read(log: Path) -> None:
    _vllm_log(log)
    log.write_text("x" * 100 + "\n" + "noise\n" * 100_000 + log.read_text())
    os.utime(log, (NOW, NOW))
    findings = _examined(log)
    assert "the last 256 KiB" in the(findings, "lines").text
    assert the(findings, "requests").verdict == "ok"


def test_nothing_that_the_log_says_is_shown(log: Path) -> None:
    out = io.StringIO()
    for source in ("vllm", "llamacpp", "jsonl"):
        write_section(_examined(_vllm_log(log), source=source), out)
    assert "secret" not in out.getvalue()
    assert "cmpl-" not in out.getvalue()
