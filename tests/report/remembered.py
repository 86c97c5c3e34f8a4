"""A Prometheus that remembers an afternoon: pages written into its store with their times, so that nobody waits."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter.domain.units import Instant
from exporter.metrics.exposition import render
from exporter.report.sources.series import ADDED_UP, LABELS
from tests.e2e.programs import running_program
from tests.e2e.web import answers, free_port
from tests.metrics.examples import published

SCRAPE_SECONDS = 60.0
MODEL = "llama-3.1-8b"
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n"}


@dataclass(frozen=True)
class Life:
    """An exporter that is scraped every minute, with books that grow evenly.

    Attributes:
        target: its labels. since, until: between which instants it is scraped.
        began: when its books did. scale: how often the books of the example page are added each hour.
        model: that it serves.
    """

    target: str
    since: float
    until: float
    began: float
    scale: float = 1.0
    model: str = MODEL

    def grown(self, at: float) -> float:
        """By how much the counters of the example page are to be multiplied."""
        return self.scale * (at - self.began) / 3600.0

    def scraped(self) -> Iterator[float]:
        at = self.since
        while at <= self.until:
            yield at
            at += SCRAPE_SECONDS

    def lines(self) -> Iterator[str]:
        for at in self.scraped():
            times = self.grown(at)
            for name, labels, value in _template():
                known = {
                    "llm_energy_exporter_books_start_time_seconds": self.began,
                    "llm_energy_exporter_snapshot_timestamp_seconds": at - 0.5,
                }.get(name, value * times if name in ADDED_UP else value)
                yield f"{name}{{{labels.replace(MODEL, self.model)}{self.target}}} {known!r} {at:.3f}"


@cache
def _template() -> Sequence[tuple[str, str, float]]:
    """The example page: what is wanted of it, with labels as they are written, and a build besides."""
    shown = published()
    page = render(replace(shown, snapshot=replace(shown.snapshot, at=Instant(0.0))))[0].decode()
    wanted = {*LABELS, "llm_energy_exporter_build_info"}
    return [
        (one.name, "".join(f'{label}="{_escaped(value)}",' for label, value in one.labels.items()), float(one.value))
        for family in text_string_to_metric_families(page)
        for one in family.samples
        if one.name in wanted and one.labels.get("model", MODEL) == MODEL
    ]


def _escaped(text: str) -> str:
    return re.sub(r'[\\"\n]', lambda found: _ESCAPES[found[0]], text)


@contextmanager
def remembering(program: str, promtool: str, folder: Path, lives: Sequence[Life]) -> Iterator[str]:
    """A Prometheus that has scraped all these; yields its URL."""
    page, data, file = folder / "page.txt", folder / "data", folder / "prometheus.yml"
    lines = sorted((line for life in lives for line in life.lines()), key=lambda line: line.rpartition(" ")[2])
    page.write_text("\n".join([*lines, "# EOF", ""]))
    made = subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", str(page), str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    file.write_text(yaml.safe_dump({"global": {"scrape_interval": "1m"}}))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=20y",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    with running_program(command, lambda: answers(f"http://{address}/-/ready"), log=folder / "log", seconds=60.0):
        yield f"http://{address}"
