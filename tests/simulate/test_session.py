"""The command as it is: the real exporter on the real clock watches a few seconds of simulation."""

import asyncio
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from exporter.cli import main
from exporter.cli.simulate import _exporting
from exporter.domain.settings import ListenAddress
from exporter.domain.units import Instant
from exporter.recording.recording import Recording
from exporter.recording.tape import Tape
from exporter.simulate.plan import LogName, Plan
from exporter.simulate.session import simulate_live
from exporter.simulate.summary import Result
from tests.recording.recorded import replayed

NAMED = {
    "budget": "simulated-",
    "server": "simulated-",
    "model": "simulated/",
    "model_name": "simulated/",
    "uuid": "SIMULATED-",
}


async def watched(plan: Plan, directory: Path, tape: Tape | None = None) -> tuple[Result, list[Sample]]:
    """Simulate, and scrape the exporter near the end."""
    stop, said = asyncio.Event(), asyncio.Queue[str]()
    running = asyncio.create_task(simulate_live(plan, directory, _exporting(tape), stop, say=said.put_nowait))
    saying = asyncio.create_task(said.get())
    await asyncio.wait({running, saying}, return_when=asyncio.FIRST_COMPLETED)
    if not saying.done():
        saying.cancel()
        return await running, []  # it failed, and says how
    url = re.findall(r"joules +(\S+/metrics)", saying.result())[0]
    await asyncio.sleep(6.0)
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        text = await response.text()
    stop.set()
    return await running, [one for family in text_string_to_metric_families(text) for one in family.samples]


@pytest.mark.e2e
@pytest.mark.parametrize("log", ["jsonl", "vllm"])
async def test_no_series_can_be_taken_for_a_real_one_the_books_agree_with_the_truth_and_the_tape_says_the_same(
    tmp_path: Path, log: LogName
) -> None:
    plan = Plan(gpus=2, batch=6, rate=20.0, listen=ListenAddress("127.0.0.1", 0), port=0, log=log)
    with closing(Tape(tmp_path / "tape")) as tape:
        result, samples = await watched(plan, tmp_path, tape)
    for sample in samples:
        for label, prefix in NAMED.items():
            value = sample.labels.get(label, prefix)
            assert value.startswith(prefix) or (sample.name == "llm_energy_budget_info" and value == ""), sample
        assert sample.labels.get("device", "-simulated").endswith("-simulated"), sample
        assert sample.labels.get("method", "simulated") == "simulated", sample
        assert sample.labels.get("source", "simulated") == "simulated", sample
    assert {"llm_energy_joules_total", "llm_power_source_info"} <= {sample.name for sample in samples}
    for view, true in zip(result.snapshot.devices, result.board_joules, strict=True):
        assert sum(view.booked.values()) + view.unsettled_joules == pytest.approx(view.metered_joules, rel=1e-9)
        assert view.metered_joules == pytest.approx(true, rel=0.05)
    assert sum(one.requests for one in result.truth.compared.values()) == result.truth.ended > 30
    assert replayed(tmp_path / "tape").snapshot(result.snapshot.at) == result.snapshot
    with Recording(tmp_path / "tape") as recording:
        assert {(device.method, device.model) for device in recording.header.devices} == {
            ("simulated", "SIMULATED H100")
        }


@pytest.mark.e2e
def test_the_command_ends_by_itself_with_a_summary_and_leaves_only_what_it_was_told_to(tmp_path: Path) -> None:
    arguments = ["--duration", "4s", "--listen", "127.0.0.1:0", "--port", "0", "--directory", str(tmp_path)]
    arguments += ["--record", str(tmp_path / "tape")]
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "simulate", *arguments, "--faults", "counter-reset", "--fault-every", "1s"],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("SIMULATED: simulated/llama-3.1-8b, GPUs: 2")
    assert "There is no GPU and no model behind this" in done.stderr
    assert "fault counter-reset: the energy counter of SIMULATED-0 begins anew" in done.stderr
    (device, *_) = replayed(tmp_path / "tape").snapshot(Instant(0.0)).devices
    assert (device.device.method, device.metered_joules > 0.0) == ("simulated", True)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["requests.jsonl"] * 2 + ["vllm.log"] * 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--model", "gpt-4"], "llama-3.1-8b"),
        (["--gpus", "3", "--model", "llama-3.1-70b"], "multiple of 4"),
        (["--duration", "90"], "90s"),
        (["--day", "1ms"], "at least 1s"),
        (["--faults", "fire"], "gpu-lost"),
        (["--load", "gale"], "bursts"),
        (["--listen", "nowhere"], "HOST:PORT"),
    ],
)
def test_wrong_usage_is_told_in_one_line_with_what_is_right(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *arguments]) == 2
    told = capsys.readouterr().err
    assert named in told
    assert told.count("\n") == 1
