"""The whole exporter on a dcgm-exporter's page: books and requests, through an outage."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.simulate.batching import BEGIN, Run
from exporter.simulate.physics import EIGHT_B
from tests.e2e.accelerated import LOADED, Pace
from tests.e2e.exporter_process import Page
from tests.e2e.log_writer import LogWriter
from tests.e2e.performance import imbalance
from tests.e2e.web import get
from tests.fakes.dcgm import FakeBoard, FakeDcgm, serving
from tests.simulation.logs.llamacpp import llamacpp_log
from tests.simulation.power import power_trace
from tests.simulation.scenarios import Scenario, batch_run

pytestmark = pytest.mark.e2e

SPEED, COLLECT_SECONDS, SECONDS, HORIZON_SECONDS, AFTER_SECONDS = 25.0, 10.0, 90.0, 30.0, 40.0
OUTAGE = (40.0, 65.0)


@dataclass(frozen=True)
class Told:
    """What was seen: pages, a real second apart. `true_joules`: what the board drew meanwhile."""

    run: Run
    pages: Sequence[Page]
    true_joules: float

    @property
    def last(self) -> Page:
        return self.pages[-1]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("dcgm")
    run = batch_run(Scenario(EIGHT_B), 3, mean_batch=4.0, seconds=SECONDS)
    trace = power_trace(run)
    pace = Pace(time.time(), SPEED, BEGIN)
    board = FakeBoard(joules=lambda at: 5e6 + float(trace.counter(np.array([at]))[0]), watts=trace.power)
    fake = FakeDcgm(pace.now, [board], collect=COLLECT_SECONDS, phase=BEGIN + 3.0)
    lines = llamacpp_log(run, np.random.default_rng(1))
    with serving(fake) as url, _exporter(folder, url) as process:
        pace = Pace(time.time() + 1.0, SPEED, BEGIN)
        fake.time = pace.now
        writer = LogWriter(folder / "chat.log", lines, (), pace)
        writer.start()
        pages = list(_watched(process, pace, fake))
        writer.stop()
    [since] = pages[0].of("llm_energy_exporter_process_start_time_seconds")
    [until] = pages[-1].of("llm_energy_exporter_snapshot_timestamp_seconds")
    return Told(run, pages, trace.energy(since.value, until.value))


@contextmanager
def _exporter(folder: Path, url: str) -> Iterator["subprocess.Popen[str]"]:
    log = {"source": "llamacpp", "path": str(folder / "chat.log"), "start": "beginning", "timezone": "UTC"}
    config = {
        "listen": "127.0.0.1:0",
        "power": {"source": "dcgm", "dcgm": {"url": url, "collect_interval": f"{COLLECT_SECONDS:g}s"}},
        "attribution": {"horizon": f"{HORIZON_SECONDS:g}s"},
        "servers": [{"name": "chat", "model": "m", "requests": log}],
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    (folder / "chat.log").touch()
    command = [sys.executable, "-m", "tests.e2e.accelerated", str(folder / "config.yaml")]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
    with (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(command, env=environment, stdin=PIPE, stdout=PIPE, stderr=errors, text=True)
        with process:
            try:
                assert _says(process) == LOADED
                yield process
            finally:
                process.kill()


def _watched(process: "subprocess.Popen[str]", pace: Pace, fake: FakeDcgm) -> Iterator[Page]:
    assert process.stdin is not None
    process.stdin.write(pace.json() + "\n")
    process.stdin.flush()
    url = _says(process)
    while pace.now() < BEGIN + SECONDS + HORIZON_SECONDS + AFTER_SECONDS:
        fake.down = OUTAGE[0] < pace.now() - BEGIN < OUTAGE[1]
        families = text_string_to_metric_families(get(f"{url}/metrics"))
        yield Page(tuple(sample for family in families for sample in family.samples))
        time.sleep(0.25)


def _says(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_books_balance_at_every_scrape(told: Told) -> None:
    assert len(told.pages) > 10
    assert max(imbalance(page) for page in told.pages if page.of("llm_device_energy_joules_total")) < 1e-9


def test_the_meter_tells_what_the_board_drew(told: Told) -> None:
    """But for what was drawn before the first collection and after the last."""
    most = 2.0 * COLLECT_SECONDS * 700.0
    assert abs(told.last.sum("llm_device_energy_joules_total") - told.true_joules) < most


def test_every_request_settles(told: Told) -> None:
    assert told.last.sum("llm_requests_total") == len(told.run.served)
    given = told.last.sum("llm_request_energy_joules_sum")
    assert given == pytest.approx(told.last.sum("llm_energy_joules_total", share="requests"), rel=1e-9)
    assert given == pytest.approx(told.run.busy_joules, rel=0.25)


def test_the_outage_is_said_and_bridged_by_the_counter(told: Told) -> None:
    assert told.last.sum("llm_energy_exporter_sample_errors_total", reason="unreachable") > 0
    assert told.last.sum("llm_energy_exporter_interpolated_joules_total") > 0
    assert told.last.sum("llm_energy_exporter_gap_seconds_total") == 0
    assert min(page.sum("llm_energy_exporter_meter_in_use") for page in told.pages[1:]) == 1.0


def test_it_says_where_power_comes_from(told: Told) -> None:
    [info] = told.last.of("llm_power_source_info")
    assert (info.labels["source"], info.labels["method"]) == ("dcgm", "measured")
    period = told.last.sum("llm_power_sensor_period_seconds")
    assert period == pytest.approx(COLLECT_SECONDS, rel=0.1)
