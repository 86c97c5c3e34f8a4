"""Estimate mode as its users run it: a calibration from one machine, a log on another, and no sensor."""

import json
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from exporter.domain.units import later
from exporter.pipeline.pipeline import Pipeline
from exporter.proxy.calibration.calibration import Calibration, Machine, to_json
from exporter.simulate.batching import Run
from tests.e2e.exporter_process import RunningExporter, running_exporter
from tests.e2e.web import get, wait_until
from tests.pipeline.telling import AFTER_SECONDS, SERVER, counters, gpus, hear, settings, tell
from tests.simulation.hearing import events
from tests.simulation.logs.jsonl import jsonl_log
from tests.simulation.scenarios import Scenario, batch_run

pytestmark = pytest.mark.e2e

FIELDS = {
    "id": "id",
    "start": "start",
    "end": "end",
    "first_token": "first_token",
    "prompt_tokens": "prompt_tokens",
    "output_tokens": "output_tokens",
    "model": "model",
}


@cache
def metered_elsewhere() -> Calibration:
    run = batch_run(Scenario(), 11, mean_batch=4.0, seconds=600.0)
    pipeline, end = Pipeline(settings(), gpus(1), run.begin), later(run.end, AFTER_SECONDS)
    tell(pipeline, counters(run, until=end), hear(events(run)), begin=run.begin, end=end)
    (calibration,) = pipeline.calibrations("2026-11-21T00:00:00+00:00", Machine("linux", "0"))[SERVER]
    return calibration


@cache
def fresh() -> Run:
    return batch_run(Scenario(), 12, mean_batch=4.0, seconds=60.0)


def configuration(folder: Path, **server: Any) -> dict[str, Any]:
    log = folder / "requests.jsonl"
    log.write_text("".join(f"{_as_if_just_now(line.text)}\n" for line in jsonl_log(fresh())))
    requests = {"source": "jsonl", "path": str(log), "start": "beginning", "fields": FIELDS}
    return {"power": {"source": "none"}, "servers": [{"name": "api", "requests": requests, **server}]}


def _as_if_just_now(line: str) -> str:
    ago = time.time() - 60.0 - fresh().end
    told = json.loads(line)
    return json.dumps(told | {name: told[name] + ago for name in ("start", "first_token", "end")})


@pytest.fixture
def estimating(tmp_path: Path) -> Iterator[RunningExporter]:
    file = tmp_path / "calibration.json"
    file.write_text(to_json(metered_elsewhere()))
    with running_exporter(configuration(tmp_path, calibration=str(file)), tmp_path) as exporter:
        wait_until(
            lambda: exporter.page().sum("llm_request_energy_joules_count") == len(fresh().served), 60.0, "all settled"
        )
        yield exporter


def test_a_log_and_a_calibration_give_joules_with_intervals_labelled_as_what_they_are(
    estimating: RunningExporter,
) -> None:
    page = estimating.page()
    assert {one.labels["method"] for one in page.of("llm_request_energy_joules_count")} == {"time_proxy"}
    assert not page.of("llm_device_energy_joules_total")
    assert page.sum("llm_request_energy_joules_sum") == pytest.approx(fresh().busy_joules, rel=0.05)
    truth = {one.id: one.joules for one in fresh().served}
    receipts = estimating.receipts()
    inside = [_covers(one["interval"], truth[one["id"]]) for one in receipts]
    assert sum(inside) / len(inside) > 0.7  # one load; coverage itself is tested over many
    assert "time proxy" in get(f"{estimating.url}/").lower()
    assert estimating.stop() == 0


def _covers(interval: dict[str, float], joules: float) -> bool:
    return interval["low_joules"] <= joules <= interval["high_joules"]


def test_without_a_calibration_requests_are_counted_and_have_no_joules(tmp_path: Path) -> None:
    with running_exporter(configuration(tmp_path), tmp_path) as exporter:
        wait_until(lambda: exporter.page().sum("llm_requests_total") == len(fresh().served), 60.0, "all counted")
        assert exporter.page().sum("llm_request_energy_joules_count") == 0
        assert all(one["energy_joules"] is None for one in exporter.receipts())
        json.loads(get(f"{exporter.url}/api/v1/proxy"))
        assert "has no calibration" in exporter.errors.read_text()
