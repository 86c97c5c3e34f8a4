"""The command line: what it refuses, and with which exit code."""

import json
from pathlib import Path

import pytest

from exporter import __version__
from exporter.cli import main

LOGS = Path(__file__).parent / "requests" / "logs"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fly"])
    assert ended.value.code == 2
    assert "fly" in capsys.readouterr().err


def test_a_good_configuration_is_said_to_be_good(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("servers: [{name: chat, requests: {source: vllm, path: /logs/*.log}}]")
    code, out, _ = run(capsys, "check-config", str(file))
    assert code == 0
    assert "good" in out
    assert "chat" in out


def test_a_misspelt_key_is_named_with_its_path(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("servers: [{name: chat, requests: {sorce: vllm}}]")
    code, _, err = run(capsys, "check-config", str(file))
    assert code == 2
    assert "servers[0].requests.sorce" in err


def test_options_of_a_reader_are_checked_like_the_rest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("servers: [{name: front, requests: {source: jsonl, profile: ngimx}}]")
    code, _, err = run(capsys, "check-config", str(file))
    assert code == 2
    assert "servers[0].requests.profile" in err


def test_a_log_is_shown_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log = LOGS / "nginx-1.22.1-json.log"
    code, out, err = run(capsys, "parse", "--source", "jsonl", "--option", "profile=nginx", str(log))
    assert code == 0
    assert all(json.loads(line)["type"] == "completed" for line in out.splitlines())
    assert "requests found: 9" in err


def test_a_missing_log_is_wrong_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "parse", "--source", "vllm", str(tmp_path / "no.log"))
    assert code == 2
    assert "no.log" in err


@pytest.mark.parametrize("flag", ["--log", "--model", "--option"])
def test_a_log_without_its_kind_is_refused_rather_than_passed_over(
    capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    code, _, err = run(capsys, "run", flag, "x=1")
    assert code == 2
    assert "--source" in err


def test_a_configuration_and_a_quick_start_exclude_each_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = run(capsys, "run", "--config", str(tmp_path / "c.yaml"), "--source", "vllm")
    assert code == 2
    assert "--config" in err


def test_a_port_in_use_fails_with_what_to_change(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import socket  # noqa: PLC0415 - only here

    log = tmp_path / "server.log"
    log.touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = run(capsys, "run", "--source", "llamacpp", "--log", str(log), "--listen", f"127.0.0.1:{port}")
    assert code == 1
    assert str(port) in err
    assert "--listen" in err
