"""The exporter as its users run it: a process with a configuration file, asked over HTTP, stopped by a signal."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.e2e.web import answers, free_port, get, wait_until

READY_SECONDS = 30.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Page:
    """One scrape."""

    samples: tuple[Sample, ...]

    def sum(self, name: str, **labels: str) -> float:
        """The sum over all series of that name that have these labels; 0 where there are none."""
        return sum(sample.value for sample in self.of(name, **labels))

    def of(self, name: str, **labels: str) -> list[Sample]:
        """All series of that name that have these labels."""
        return [one for one in self.samples if one.name == name and labels.items() <= one.labels.items()]


@dataclass(frozen=True)
class RunningExporter:
    """An exporter that said it is ready."""

    url: str
    process: subprocess.Popen[bytes]
    errors: Path

    @property
    def text(self) -> str:
        """The metrics page in the plain text format."""
        return get(f"{self.url}/metrics")

    def page(self) -> Page:
        """The metrics page, parsed."""
        return Page(tuple(sample for family in text_string_to_metric_families(self.text) for sample in family.samples))

    def receipts(self) -> list[dict[str, Any]]:
        """Recently settled requests, one by one."""
        found: list[dict[str, Any]] = json.loads(get(f"{self.url}/api/v1/requests"))["requests"]
        return found

    def stop(self) -> int:
        """Asks it to terminate and waits. The exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running_exporter(
    config: Mapping[str, Any], folder: Path, address: str | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[RunningExporter]:
    """Starts `llm-energy-exporter run` in `folder`, at a free port without `address`; yields it when it is ready."""
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(dict(config)))
    address, errors = address or f"127.0.0.1:{free_port()}", folder / "stderr"
    command = [sys.executable, "-m", "exporter", "run", "--config", str(file), "--listen", address]
    around = {**_environment(), **(environment or {})}
    with errors.open("wb") as log, subprocess.Popen(command, cwd=folder, stderr=log, env=around) as process:
        exporter = RunningExporter(f"http://{address}", process, errors)
        try:
            _wait_until_ready(exporter)
            yield exporter
        finally:
            process.kill()


def watching(log: Path, model: str) -> dict[str, Any]:
    """A configuration: this llama-server's log from its end on, and the energy of the CPU that runs it."""
    server = {"name": "real", "model": model, "requests": {"source": "llamacpp", "path": str(log)}}
    return {"servers": [server], "power": {"source": "cpu"}}


def _wait_until_ready(exporter: RunningExporter) -> None:
    def ready_or_dead() -> bool:
        return answers(f"{exporter.url}/-/ready") or exporter.process.poll() is not None

    wait_until(ready_or_dead, READY_SECONDS, "the exporter is ready")
    status = exporter.process.poll()
    assert status is None, f"the exporter ended with status {status}: {exporter.errors.read_text()}"


def _environment() -> dict[str, str]:
    """Nothing of the tests' own, but the way to this source tree."""
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
