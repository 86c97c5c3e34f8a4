"""A real llama-server on random weights, the real exporter, a fake board: from weights to judged results."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.samples import Sample

from tests.validation.stages import MACHINE
from validation.cutting import OvertimeError
from validation.fake import plugged_in
from validation.options import Options
from validation.results import MachineFacts, StageResult
from validation.serving import keeping
from validation.serving.batching import BatchingServer, Build
from validation.serving.binary import installed, on_gpu
from validation.serving.metering import books, configuration
from validation.serving.run import (
    Bearing,
    Books,
    ClientTruth,
    DeviceBooks,
    Phase,
    Served,
    ServerFailedError,
    ServingRun,
)
from validation.serving.servers import llama, servers, unknown
from validation.serving.stage import RUNS, ServingStage, _Findings, run_checks, share_of
from validation.stage import Room

FAKE = Options(fake=True)
FAKE_MACHINE = replace(MACHINE, fake=True)


def room(folder: Path, seconds: float, say: Callable[[str], None] = lambda _: None) -> Room:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir()
    scratch.mkdir()
    return Room(out, scratch, time.monotonic() + seconds, time.monotonic, time.sleep, FAKE_MACHINE, say)


def held(result: StageResult) -> dict[str, bool | None]:
    return {check.name.partition(": ")[2]: check.held for check in result.checks}


@pytest.mark.e2e
def test_a_server_is_loaded_metered_and_recorded(tmp_path: Path) -> None:
    with plugged_in(tmp_path / "nvml"):
        here = room(tmp_path, 33.0)
        result = ServingStage(FAKE, [llama(FAKE)]).run(here)
    assert result.ending == "done", result.why
    run = keeping.read(here.out / RUNS)[0]
    assert not [words for words in run.missing if "no time" not in words], "this machine may be slow"
    assert {phase.kind for phase in run.phases} >= {"idle", "isolated", "identical"}
    assert "error" not in {one.outcome for one in run.requests}
    assert all(one.output_tokens == one.asked_tokens for one in run.requests if one.outcome == "ok")
    checks = held(result)
    assert checks["requests answered whole"]
    assert checks["requests settled by the exporter"]
    assert checks["books of gpu0 balance"]
    assert run.recording is not None
    assert run.recording.stat().st_size < 300_000
    assert set(result.files) >= {RUNS, run.recording.name}
    assert not list(here.scratch.rglob("*.gguf")), "weights are deleted"


@pytest.mark.e2e
def test_what_was_got_before_a_server_died_is_kept_and_judged(tmp_path: Path) -> None:
    server = llama(FAKE)

    def murder(text: str) -> None:
        if "isolated:" in text and server._program is not None:
            os.kill(server._program.pid, signal.SIGKILL)
            server._program._process.wait()

    with plugged_in(tmp_path / "nvml"):
        here = room(tmp_path, 30.0, murder)
        result = ServingStage(FAKE, [server]).run(here)
    assert result.ending == "done"
    run = keeping.read(here.out / RUNS)[0]
    assert "the server died" in run.missing
    assert any(words.endswith("the server is gone") for words in run.missing)
    assert {one.outcome for one in run.requests if one.phase == "isolated"} == {"ok"}
    assert run.recording is not None
    assert run.books is not None
    assert "the server died" in result.why


def test_a_stage_that_is_cut_while_it_judges_keeps_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(_: ServingStage, __: Room, found: _Findings) -> None:
        found.runs.append(replace(RUN, recording=None))

    def judge(*_: object) -> StageResult:
        raise OvertimeError("far past its time")

    monkeypatch.setattr(ServingStage, "_serve", serve)
    monkeypatch.setattr("validation.judging.judge", judge)
    result = ServingStage(FAKE).run(room(tmp_path, 60.0))
    assert result.ending == "cut"
    assert result.why.startswith("far past its time; its runs can be judged again")
    assert RUNS in result.files


def test_a_server_that_cannot_run_leaves_its_time_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    monkeypatch.setattr(ServingStage, "_one", lambda _, __, room, ___: given.append(room.left()))
    unable = BatchingServer(Build("tiny", "cuda", Bearing(), 1.0))
    monkeypatch.setattr(BatchingServer, "unable", lambda *_: "no PyTorch")
    result = ServingStage(FAKE, [llama(FAKE), unable, unable]).run(room(tmp_path, 60.0))
    assert given == pytest.approx([52.0], abs=1.0)
    assert "no PyTorch" in result.why


def test_servers_are_chosen_by_how_their_names_begin() -> None:
    def names(*words: str) -> list[str]:
        return [one.name for one in servers(Options(servers=words))]

    assert len(names()) == 3
    assert names("llama-server") == ["llama-server-llama-3.1-8b-q8_0"]
    assert names("transformers-qwen3", "llama") == ["llama-server-llama-3.1-8b-q8_0", "transformers-qwen3-8b-bf16"]
    assert unknown(Options(servers=("transformers", "vllm")))[0] == "vllm"
    assert not unknown(Options(servers=("transformers",)))[0]


def test_without_a_server_that_starts_the_stage_fails_and_says_why(tmp_path: Path) -> None:
    gone = Options(fake=True, llama_server=tmp_path / "no-such-server")
    result = ServingStage(gone, [llama(gone)]).run(room(tmp_path, 60.0))
    assert result.ending == "failed"
    assert f"{tmp_path / 'no-such-server'}: no such file" in result.why


def test_with_too_little_time_no_server_is_started(tmp_path: Path) -> None:
    result = ServingStage(FAKE, [llama(FAKE)]).run(room(tmp_path, 10.0))
    assert result.ending == "failed"
    assert "no time is left" in result.why


def test_without_a_gpu_nothing_is_tried() -> None:
    nothing: MachineFacts = replace(MACHINE, gpu="")
    assert ServingStage(Options()).unable(nothing)
    assert llama(Options()).unable(nothing)
    assert not llama(Options()).unable(MACHINE)


def test_servers_after_the_second_are_given_less_and_all_of_it_is_given() -> None:
    left, given = 270.0, []
    for number in range(3):
        given.append(left * share_of(number, 3))
        left -= given[-1]
    assert given == pytest.approx([100.0, 100.0, 70.0])
    assert left == pytest.approx(0.0)


TRUTH = ClientTruth("isolated-i0-0", "isolated", "i0", 10.125, 12.5, 10.25, 32, 64, 64, "ok")
RUN = ServingRun(
    server="llama-server",
    name="llama-server-tiny",
    model="tiny",
    fake=True,
    load="standard",
    recording=Path("recording.jsonl.gz"),
    requests=(TRUTH, replace(TRUTH, id="x", first_token=None, output_tokens=None, outcome="error", why="cut")),
    phases=(Phase("isolated", "isolated", 10.0, 13.0, 1),),
    books=Books(14.0, (DeviceBooks("gpu0", 100.0, 60.0, 30.0, 6.0, 4.0),), {"ok": 1}, "time"),
    missing=("no time for ramp",),
)


def test_runs_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    run = replace(RUN, recording=tmp_path / "recording.jsonl.gz")
    keeping.write(tmp_path / "runs.json.gz", [run, replace(run, recording=None, books=None)])
    assert keeping.read(tmp_path / "runs.json.gz") == (run, replace(run, recording=None, books=None))


@pytest.mark.parametrize("content", [b"", b"x", b"\x1f\x8b"])
def test_a_file_that_holds_no_runs_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "runs.json.gz").write_bytes(content)
    with pytest.raises(keeping.RunsError):
        keeping.read(tmp_path / "runs.json.gz")


def test_checks_hold_clients_against_books() -> None:
    checks = {check.name.partition(": ")[2]: check.held for check in run_checks(RUN)}
    assert checks == {
        "requests answered whole": False,
        "requests settled by the exporter": False,
        "answers as long as asked for": True,
        "books of gpu0 balance": True,
    }
    assert RUN.books is not None
    lost = replace(RUN, books=replace(RUN.books, devices=(DeviceBooks("gpu0", 100.0, 60.0, 30.0, 6.0, 3.0),)))
    assert [check.held for check in run_checks(lost)][-1] is False


def test_books_are_read_off_a_metrics_page() -> None:
    device = {"device": "gpu0", "kind": "gpu", "uuid": "GPU-1"}
    samples = [
        Sample("llm_device_energy_joules_total", {**device, "name": "H200"}, 100.0),
        Sample("llm_energy_joules_total", {**device, "share": "requests"}, 60.0),
        Sample("llm_energy_joules_total", {**device, "share": "idle"}, 30.0),
        Sample("llm_energy_joules_total", {**device, "share": "unattributed"}, 6.0),
        Sample("llm_energy_unsettled_joules", device, 4.0),
        Sample("llm_requests_total", {"server": "s", "model": "m", "outcome": "ok"}, 1.0),
        Sample("llm_attribution_policy_info", {"server": "s", "policy": "time", "configured": "steps"}, 1.0),
    ]
    assert books(samples, 14.0) == RUN.books


def test_the_exporter_reads_the_log_as_its_server_says_it_is_written() -> None:
    served = Served("http://x", 1, "m", Path("/logs/r.jsonl"), "jsonl", {"fields": {"id": "id"}}, told_ids=True)
    config = json.loads(json.dumps(configuration(served, "m")))
    assert config["servers"][0]["requests"] == {
        "source": "jsonl",
        "path": "/logs/r.jsonl",
        "start": "end",
        "fields": {"id": "id"},
    }
    assert "metrics_url" not in config["servers"][0]


def script(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "llama-server").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "libggml.so").write_text("a library")
    return folder / "llama-server"


def test_a_copy_without_permission_and_duplicates_is_made_good(tmp_path: Path) -> None:
    binary = installed(script(tmp_path / "given", "exit 0"), tmp_path / "made")
    assert os.access(binary, os.X_OK)
    assert sorted(file.name for file in binary.parent.iterdir()) == ["libggml.so", "libggml.so.0", "llama-server"]
    assert (binary.parent / "libggml.so.0").read_text() == "a library"
    assert not os.access(tmp_path / "given" / "llama-server", os.X_OK), "what was given is left as it was"


def test_the_gpu_is_the_nvidia_one_that_the_server_sees(tmp_path: Path) -> None:
    said = "  Vulkan0: llvmpipe (LLVM 15)\\n  Vulkan1: NVIDIA H200 (143771 MiB, 143000 MiB free)\\n"
    binary = installed(script(tmp_path / "given", f"printf 'Available devices:\\n{said}'"), tmp_path)
    found = on_gpu(binary, tmp_path)
    assert found.device == "Vulkan1"
    assert "NVIDIA H200" in found.what


def test_a_server_that_sees_no_gpu_is_refused_with_what_was_tried(tmp_path: Path) -> None:
    binary = installed(script(tmp_path / "given", "echo 'ggml_vulkan: No devices found.'"), tmp_path)
    with pytest.raises(ServerFailedError, match=r"as it is: ggml_vulkan: No devices found\..*libEGL_nvidia"):
        on_gpu(binary, tmp_path)
