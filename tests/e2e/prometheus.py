"""A real Prometheus that scrapes one exporter every second."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.e2e.web import answers, free_port, get, wait_until

READY_SECONDS = 60.0

_PLAINLY: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that is ready, asked through its HTTP interface."""

    url: str

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The expression now: value by labels, the name and those of the target left out."""
        result = self._data("query", query=expression)["result"]
        return {_labels(series["metric"]): float(series["value"][1]) for series in result}

    def value(self, expression: str) -> float:
        """The expression now, which has exactly one series."""
        [value] = self.query(expression).values()
        return value

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """The exemplars of the last minutes."""
        found = self._data("query_exemplars", query=expression, start="0", end="9999999999")
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def targets(self) -> list[dict[str, Any]]:
        """The scraped targets, with their health and last error."""
        active: list[dict[str, Any]] = self._data("targets")["activeTargets"]
        return active

    def _data(self, endpoint: str, **query: str) -> Any:
        return json.loads(get(f"{self.url}/api/v1/{endpoint}", query))["data"]


def find_prometheus() -> str | None:
    """The installed Prometheus."""
    return shutil.which("prometheus")


@contextmanager
def running_prometheus(
    program: str, exporter_url: str, folder: Path, scrape: Mapping[str, Any] = _PLAINLY, rules: Sequence[Path] = ()
) -> Iterator[Prometheus]:
    """Starts Prometheus with its data in `folder`, scraping `exporter_url`; yields it when it is ready.

    `scrape`: more of its scrape configuration, such as TLS and a password. `rules`: rule files.
    """
    file, address = folder / "prometheus.yml", f"127.0.0.1:{free_port()}"
    file.write_text(yaml.safe_dump(_config(urlsplit(exporter_url).netloc, scrape, rules)))
    command = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            url = f"http://{address}"
            wait_until(lambda: answers(f"{url}/-/ready"), READY_SECONDS, "Prometheus is ready")
            yield Prometheus(url)
        finally:
            process.terminate()


def _config(target: str, scrape: Mapping[str, Any], rules: Sequence[Path]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "rule_files": [str(file) for file in rules],
        "storage": {"exemplars": {"max_exemplars": 1000}},
        "scrape_configs": [{"job_name": "exporter", "static_configs": [{"targets": [target]}], **scrape}],
    }


def _labels(metric: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in metric.items() if name not in {"__name__", "job", "instance"}))
