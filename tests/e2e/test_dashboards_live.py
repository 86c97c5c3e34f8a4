"""Every query of every dashboard is asked of a real Prometheus that scrapes the real exporter under `simulate`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from deploy.prometheus.__main__ import rule_files
from grafana.check import Answer, ask
from tests.e2e.prometheus import Prometheus, running_prometheus
from tests.e2e.web import answers, free_port, wait_until

pytestmark = pytest.mark.e2e

START_SECONDS = 30.0
SETTLE_SECONDS = 90.0
SETTLED = 20
"""Requests: enough for a quantile and for a rate of five seconds."""

LEARNS_FOR_MINUTES = "llm-energy-proxy"
ASKS_THE_SERVER = "Told twice, ended without a start, server silent"


@contextmanager
def simulated(folder: Path) -> Iterator[str]:
    """`simulate`; yields the exporter's address."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "exporter", "simulate", "--listen", address, "--port", "0", "--batch", "4"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_until(lambda: answers(f"http://{address}/-/ready"), START_SECONDS, "simulate is ready")
            yield f"http://{address}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def asked(prometheus_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Answer]]:
    folder = tmp_path_factory.mktemp("prometheus")
    rules = folder / "recording.yml"
    rules.write_text(rule_files(1)["recording.yml"])
    with (
        simulated(tmp_path_factory.mktemp("simulated")) as url,
        running_prometheus(prometheus_program, url, folder, rules=[rules]) as prometheus,
    ):
        wait_until(lambda: _settled(prometheus) >= SETTLED, SETTLE_SECONDS, "requests are settled")
        for name in _LATE:
            wait_until(partial(_there, prometheus, name), SETTLE_SECONDS, f"there is {name}")
        yield list(ask(prometheus.url, minutes=1, interval="5s"))


_LATE = ("server_model:llm_joules_per_output_token:ratio_rate5m", "llm_device_idle_power_watts")


def _there(prometheus: Prometheus, name: str) -> bool:
    return bool(prometheus.query(name))


def _settled(prometheus: Prometheus) -> float:
    return sum(prometheus.query("increase(llm_requests_total[1m])").values())


def test_prometheus_understands_every_query(asked: list[Answer]) -> None:
    assert len(asked) > 100
    assert [(one.asked.title, one.error) for one in asked if one.error] == []


def test_every_query_returns_data_but_those_of_what_takes_minutes_to_learn_or_is_not_configured(
    asked: list[Answer],
) -> None:
    missing = {
        (one.asked.dashboard, one.asked.title)
        for one in asked
        if one.is_missing(everything=False) and one.asked.dashboard != LEARNS_FOR_MINUTES
    }

    assert missing <= {("llm-energy-quality", ASKS_THE_SERVER)}
