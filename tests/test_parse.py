import io
import json
import os
from pathlib import Path

import pytest

from exporter.domain.errors import UsageError
from exporter.parse import parse_file
from tests.requests.replay import LOGS

VLLM = LOGS / "vllm-0.32.0-cpu-json.log"
LLAMA = LOGS / "llama-server-b10434-default.log"


def _parse(path: Path | None, kind: str, **options: object) -> tuple[int, list[dict[str, object]], str]:
    out, report = io.StringIO(), io.StringIO()
    code = parse_file(None if path is None else str(path), kind, options, "UTC", out, report)
    return code, [json.loads(row) for row in out.getvalue().splitlines()], report.getvalue()


def test_a_log_is_told_as_json_lines() -> None:
    code, told, report = _parse(VLLM, "vllm")
    assert code == 0
    assert told[1] == {
        "type": "started",
        "id": "chatcmpl-df6a302d-5a3c-53bd-a26c-baf808d067eb",
        "at": "2026-11-21T04:09:51.311500Z",
        "uncertainty": 0.0005,
        "model": None,
        "prompt_tokens": None,
    }
    assert report.startswith("requests found: 12\n")
    assert "ignored: access_line: 13\n" in report
    assert "advice: Run vLLM with" in report


def test_a_file_with_a_relative_clock_ends_when_it_was_last_written(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(LLAMA.read_bytes())
    os.utime(log, (1795235911.0, 1795235911.0))
    _, told, _ = _parse(log, "llamacpp")
    ended = [event for event in told if event["type"] == "ended"]
    assert ended[-1]["at"] == "2026-11-21T04:38:29.984668Z"
    assert ended[-1]["output_tokens"] == 120


def test_container_envelopes_are_taken_off(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    texts = VLLM.read_text().splitlines()
    log.write_text("".join(f"2026-11-21T04:09:51.500000000Z stderr F {text}\n" for text in texts))
    assert _parse(log, "vllm")[2].startswith("requests found: 12\n")


def test_standard_input_is_a_log_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class _Piped:
        buffer = io.BytesIO(LLAMA.read_bytes())

    monkeypatch.setattr("sys.stdin", _Piped())
    code, told, _ = _parse(None, "llamacpp")
    assert code == 0
    assert sum(event["type"] == "ended" for event in told) == 12


def test_nothing_of_a_line_that_could_not_be_used_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text('my secret prompt\n{"secret": "prompt\n{"secret": "prompt"}\n')
    out, report = io.StringIO(), io.StringIO()
    assert parse_file(str(log), "jsonl", {"profile": "nginx"}, None, out, report) == 1
    assert "secret" not in out.getvalue() + report.getvalue()
    assert "dropped: bad_json: 1" in report.getvalue()


def test_a_line_without_end_is_counted_not_kept(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"x" * (3 << 20) + b"\n")
    assert "dropped: line_too_long: 1" in _parse(log, "vllm")[2]


def test_an_unknown_source_or_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown source .olama.: one of .*\bollama\b"):
        _parse(VLLM, "olama")
    with pytest.raises(UsageError, match=r"cannot read .*nowhere\.log: No such file"):
        _parse(tmp_path / "nowhere.log", "vllm")
