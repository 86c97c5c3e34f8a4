"""The driver comes after the exporter: the process goes from an estimate to NVML, and no request is lost or doubled."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.e2e.exporter_process import Page, running_exporter
from tests.e2e.web import wait_until
from tests.fakes.nvml import Counter, DriverGone, FakeGpu, FakeNvml, RealTime, build

pytestmark = pytest.mark.e2e

CHANGED_SECONDS = 60.0
FIELDS = {"fields": {"id": "id", "start": "start", "end": "end", "output_tokens": "tokens"}, "where": {}}


@pytest.fixture
def late_driver(pytestconfig: pytest.Config, tmp_path: Path) -> FakeNvml:
    """A board whose driver is not loaded yet."""
    if shutil.which("gcc") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the fake NVML is C and there is no gcc")
    assert pytestconfig.cache is not None
    library = build(pytestconfig.cache.mkdir("fake-nvml"))
    board = FakeGpu(power=((0.0, 300.0),), counter=Counter(base=0.0))
    return FakeNvml(library, tmp_path, [board], driver=[DriverGone(0.0)], time=RealTime(epoch=time.time()))


class Log:
    """A log into which a request is written each time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.written = 0
        path.touch()

    def write(self) -> None:
        self.written += 1
        now = time.time()
        line = {"id": f"r{self.written}", "start": now - 0.3, "end": now, "tokens": 10}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def counted(page: Page) -> float:
    return page.sum("llm_requests_total")


def sources(page: Page) -> set[tuple[str, str]]:
    return {(one.labels["source"], one.labels["method"]) for one in page.of("llm_power_source_info")}


def test_metrics_turn_from_what_stood_in_to_nvml_and_the_counts_go_on(late_driver: FakeNvml, tmp_path: Path) -> None:
    log, state = Log(tmp_path / "requests.jsonl"), tmp_path / "state"
    state.mkdir()
    requests = {"source": "jsonl", "path": str(tmp_path / "requests.jsonl"), **FIELDS}
    config = {"servers": [{"name": "chat", "model": "tiny", "requests": requests}], "state_dir": str(state)}
    seen: list[float] = []
    with running_exporter(config, tmp_path, environment=late_driver.environment()) as exporter:
        first = exporter.page()
        assert "nvml" not in {source for source, _ in sources(first)}
        [fallback] = first.of("llm_power_source_fallback_info", wanted="nvml")
        assert fallback.labels["reason"] == "driver_not_loaded"
        late_driver.unload_driver()

        def changed() -> bool:
            log.write()
            page = exporter.page()
            seen.append(counted(page))
            return sources(page) == {("nvml", "measured")}

        wait_until(changed, CHANGED_SECONDS, "NVML is used")
        log.write()
        wait_until(lambda: counted(exporter.page()) >= log.written, CHANGED_SECONDS, "all requests are counted")
        page = exporter.page()
        assert exporter.stop() == 0
    assert counted(page) == log.written
    assert seen == sorted(seen)
    assert not page.of("llm_power_source_fallback_info", wanted="nvml")
    assert page.sum("llm_energy_exporter_duplicates_total") == 0
    assert page.sum("llm_energy_exporter_log_lines_total") == log.written
    assert page.sum("llm_device_energy_joules_total", kind="gpu") > 0.0
    assert page.sum("llm_energy_exporter_faults_total") == 0
    told = [line for line in exporter.errors.read_text().splitlines() if "changed over" in line]
    assert len(told) == 1
    assert "to nvml, which works now; it did not at first: NVML cannot start: driver_not_loaded" in told[0]
