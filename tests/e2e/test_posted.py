"""Requests that are posted to the exporter as its users run it: pushed windows, and spans."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.e2e.exporter_process import RunningExporter, running_exporter
from tests.e2e.web import free_port, wait_until
from tests.requests.test_otlp import VLLM, export, span

EXAMPLE = Path(__file__).parents[2] / "examples" / "push_training_step.py"
SETTLED_SECONDS = 30.0
POSTED = {
    "power": {"source": "cpu"},
    "servers": [
        {"name": "train", "requests": {"source": "push"}},
        {"name": "chat", "model": "qwen3-8b", "requests": {"source": "otlp", "service": "vllm-server"}},
    ],
}


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningExporter]:
    with running_exporter(POSTED, tmp_path_factory.mktemp("exporter")) as running:
        yield running


def run_example(events_url: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "ENERGY_EVENTS_URL": events_url}
    return subprocess.run(
        [sys.executable, EXAMPLE], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def settled(exporter: RunningExporter, server: str, number: int) -> list[dict[str, Any]]:
    def found() -> list[dict[str, Any]]:
        return [one for one in exporter.receipts() if one["server"] == server]

    wait_until(lambda: len(found()) >= number, SETTLED_SECONDS, f"{number} requests of {server} have settled")
    return found()


@pytest.mark.e2e
def test_the_example_books_its_training_steps(exporter: RunningExporter) -> None:
    done = run_example(f"{exporter.url}/api/v1/events")
    assert (done.returncode, done.stderr) == (0, "")
    steps = settled(exporter, "train", 3)
    assert len(steps) == 3
    assert {one["model"] for one in steps} == {"my-model"}
    assert all(one["energy_joules"] > 0 for one in steps)
    page = exporter.page()
    assert page.sum("llm_requests_total", server="train", outcome="ok") == 3
    assert page.sum("llm_energy_exporter_log_lines_total", server="train", outcome="used") == 6


@pytest.mark.e2e
def test_a_span_becomes_a_receipt_and_its_resending_does_not(exporter: RunningExporter) -> None:
    ended_ns = time.time_ns() - 1_000_000_000
    one = span(VLLM) | {"startTimeUnixNano": str(ended_ns - 2_000_000_000), "endTimeUnixNano": str(ended_ns)}
    for _ in range(2):
        body = json.dumps(export(one)).encode()
        request = Request(f"{exporter.url}/v1/traces", body, {"Content-Type": "application/json"})  # noqa: S310
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            assert (answer.status, answer.read()) == (200, b"{}")
    (receipt,) = settled(exporter, "chat", 1)
    assert (receipt["id"], receipt["model"]) == ("chatcmpl-1", "qwen3-8b")
    assert receipt["energy_joules"] > 0
    assert exporter.page().sum("llm_energy_exporter_log_lines_total", server="chat", reason="duplicate") == 1


def test_training_goes_on_without_an_exporter() -> None:
    done = run_example(f"http://127.0.0.1:{free_port()}/api/v1/events")
    assert done.returncode == 0
    assert done.stderr.count("this step is not metered: ") == 6
