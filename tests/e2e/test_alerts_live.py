"""Alerts proven for once by nothing but real programs: a simulation overspends its budget, a real Prometheus with the
shipped rules fires, a real Alertmanager with the shipped routes delivers to a receiver.

    ALERTS_LIVE=1 python -m pytest -s tests/e2e/test_alerts_live.py

It takes three minutes, of which an alert must hold for one and Alertmanager gathers others for half a one; nothing is
shortened but the scrape and the evaluation, to a second, and the receivers' address.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.prometheus.__main__ import rule_files
from tests.deploy.promql import TARGET_LABELS, level_of
from tests.e2e.prometheus import Prometheus
from tests.e2e.web import answers, free_port, get, wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.opt_in,
    pytest.mark.skipif(not os.environ.get("ALERTS_LIVE"), reason="takes three minutes: set ALERTS_LIVE=1"),
]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "prometheus" / "alertmanager-example.yml"
OVERSPENT = "0.001"
"""Of full power: what the hour's budget allows is used in a few seconds."""


class Receiver:
    """Takes what Alertmanager delivers. `delivered`: notifications by the path they came to."""

    def __init__(self) -> None:
        self.delivered: list[tuple[str, dict[str, Any]]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{path}"

    def alerts(self, path: str) -> dict[str, dict[str, Any]]:
        """Firing alerts that came there, by name."""
        return {
            alert["labels"]["alertname"]: alert
            for came_to, notification in self.delivered
            for alert in notification["alerts"]
            if came_to == path and alert["status"] == "firing"
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        delivered = self.delivered

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                delivered.append((self.path.strip("/"), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                pass

        return Handler


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, Receiver]]:
    alertmanager = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    prometheus = shutil.which("prometheus")
    if alertmanager is None or prometheus is None:
        pytest.skip("apt-get install prometheus prometheus-alertmanager")
    folder, receiver = tmp_path_factory.mktemp("live"), Receiver()
    with ExitStack() as programs:
        exporter = programs.enter_context(_simulation(folder))
        manager = programs.enter_context(_alertmanager(alertmanager, folder, receiver))
        yield programs.enter_context(_prometheus(prometheus, folder, exporter, manager)), receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@contextmanager
def _running(command: list[str], folder: Path, ready: str) -> Iterator[None]:
    name = Path(command[0]).name
    with (
        (folder / f"{name}.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)}
        ) as process,
    ):
        try:
            wait_until(lambda: answers(ready), 60.0, f"{name} is ready: {folder}")
            yield
        finally:
            process.terminate()


@contextmanager
def _simulation(folder: Path) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "exporter", "simulate", "--port", str(free_port()), "--listen", address]
    with _running([*command, "--budget", OVERSPENT], folder, f"http://{address}/-/ready"):
        yield address


@contextmanager
def _alertmanager(program: str, folder: Path, receiver: Receiver) -> Iterator[str]:
    config = yaml.safe_load(EXAMPLE.read_text())
    for one in config["receivers"]:
        one["webhook_configs"] = [{"url": receiver.url(one["name"])}]
    file, address = folder / "alertmanager.yml", f"127.0.0.1:{free_port()}"
    file.write_text(yaml.safe_dump(config))
    command = [program, f"--config.file={file}", f"--storage.path={folder / 'alerts'}"]
    command += [f"--web.listen-address={address}", "--cluster.listen-address="]
    with _running(command, folder, f"http://{address}/-/ready"):
        yield address


@contextmanager
def _prometheus(program: str, folder: Path, exporter: str, alertmanager: str) -> Iterator[Prometheus]:
    for name, text in rule_files(interval_seconds=1).items():
        (folder / name).write_text(text)
    target = {"job_name": "llm-energy-exporter", "static_configs": [{"targets": [exporter]}]}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [*rule_files()],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [target],
    }
    file, address = folder / "prometheus.yml", f"127.0.0.1:{free_port()}"
    file.write_text(yaml.safe_dump(config))
    command = [program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    with _running([*command, f"--web.listen-address={address}"], folder, f"http://{address}/-/ready"):
        yield Prometheus(f"http://{address}")


def test_a_budget_that_is_overspent_reaches_somebody(live: tuple[Prometheus, Receiver]) -> None:
    _, receiver = live
    wanted = "LLMEnergyBudgetExhausted"
    wait_until(lambda: wanted in receiver.alerts("pager"), 300.0, f"{wanted} is delivered to the pager")
    alert = receiver.alerts("pager")[wanted]
    print(json.dumps(alert, indent=2))
    assert alert["labels"]["budget"] in {"simulated-hour", "simulated-day"}
    assert alert["annotations"]["runbook_url"].endswith("/llm-energy-budget-exhausted.md")
    assert "% of budget simulated-" in alert["annotations"]["description"]


def test_nothing_else_is_said_to_be_wrong_with_a_simulation_that_is_well(live: tuple[Prometheus, Receiver]) -> None:
    prometheus, _ = live
    firing = prometheus.query('count by (alertname) (ALERTS{alertstate="firing"})')
    assert {dict(labels)["alertname"] for labels in firing} <= {
        "LLMEnergyBudgetExhausted",
        "LLMEnergyBudgetPace",
        "LLMEnergyBudgetFastBurn",
    }


def test_every_recorded_series_has_the_labels_that_its_level_says(live: tuple[Prometheus, Receiver]) -> None:
    prometheus, _ = live
    series = json.loads(get(f"{prometheus.url}/api/v1/series", {"match[]": '{__name__=~".+:.+:.+"}'}))["data"]
    assert series
    for labels in series:
        own = set(labels) - TARGET_LABELS - {"__name__"}
        assert own == level_of(labels["__name__"]), labels


def test_every_rule_was_evaluated_without_an_error(live: tuple[Prometheus, Receiver]) -> None:
    prometheus, _ = live
    groups = json.loads(get(f"{prometheus.url}/api/v1/rules"))["data"]["groups"]
    assert [
        (rule["name"], rule["lastError"]) for group in groups for rule in group["rules"] if rule.get("lastError")
    ] == []
