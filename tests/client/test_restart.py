"""An exporter that restarts in the middle of a program: nothing is lost, and nothing is counted twice."""

from pathlib import Path
from typing import Any

import pytest

from exporter.client import EnergyClient
from tests.e2e.exporter_process import running_exporter
from tests.e2e.web import free_port, wait_until

SETTLED_SECONDS = 30.0


@pytest.mark.e2e
def test_windows_before_during_and_after_a_restart_are_known_once(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "power": {"source": "cpu"},
        "servers": [{"name": "train", "requests": {"source": "push"}}],
        "state_dir": str(tmp_path / "state"),
    }
    (tmp_path / "state").mkdir()
    address = f"127.0.0.1:{free_port()}"
    with EnergyClient(f"http://{address}") as client:
        across = client.window("across", model="m")
        with running_exporter(config, tmp_path, address) as first:
            across.begin()
            with client.window("before", model="m") as before:
                sum(range(3_000_000))
            assert client.flush()
            assert first.stop() == 0
        with client.window("during", model="m") as during:
            sum(range(3_000_000))
        with running_exporter(config, tmp_path, address) as second:
            with client.window("after", model="m") as after:
                sum(range(3_000_000))
            across.end()
            for one in (before, during, after, across):
                energy = one.energy(SETTLED_SECONDS)
                assert energy is not None, one.unknown
                assert energy.method == "estimated"
            assert client.dropped == 0
            wait_until(lambda: second.page().sum("llm_requests_total") == 4, SETTLED_SECONDS, "all are counted")
