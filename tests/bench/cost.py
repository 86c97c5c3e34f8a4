"""What the exporter costs its machine: processor, memory, disk, and a scraper's patience.

    python -m tests.bench.cost [--quick]

One table, each row with its aim beside it. The first half watches the real program in a process of its own, on fake
NVML boards polled at 20 Hz in real time, its state on disk, its log growing; the kernel says what it used. It is
scraped every 15 s, as Prometheus would. Processor shares are medians over short windows, because this machine may have
other work: that adds to single windows, and never takes away. The second half runs parts of it in this process.

The fake NVML is a few microseconds of C where the real one asks a driver: on a real board add the driver's own time,
which `llm_energy_exporter_sample_call_seconds` shows.
"""

import argparse
import gzip
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from exporter.cli.run import spare_the_collector
from exporter.engine import CHECKPOINT_SECONDS
from tests.bench.checkpoints import Checkpoints, checkpoints
from tests.bench.throughput import held, put_through
from tests.bench.watched import Setup, Watched, watched
from tests.fakes.nvml import build

OPENMETRICS = {"Accept": "application/openmetrics-text"}
SCRAPES: Mapping[str, Mapping[str, str]] = {
    "plain": {},
    "gzip": {"Accept-Encoding": "gzip"},
    "OpenMetrics": OPENMETRICS,
    "OpenMetrics, gzip": {**OPENMETRICS, "Accept-Encoding": "gzip"},
}
SETUPS: Mapping[str, Setup] = {
    "1 GPU, no requests": Setup(1, "llamacpp", 0.0),
    "1 GPU, llamacpp 5/s": Setup(1, "llamacpp", 5.0),
    "8 GPUs, jsonl 5/s, 3 models": Setup(8, "jsonl", 5.0),
}
THROUGHPUTS = (
    ("jsonl", 5_000.0, ">= 30,000/s"),  # near capacity: what a second costs by itself hardly counts
    ("jsonl", 200.0, ""),
    ("llamacpp", 200.0, ""),
    ("vllm", 200.0, ""),
)
_SCRAPE_EVERY_SECONDS = 15.0
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Length:
    """How long each part takes."""

    warm_up_seconds: float = 10.0
    windows: int = 9
    window_seconds: float = 5.0
    scrapes: int = 100
    starts: int = 5
    requests: int = 200_000
    checkpoints: int = 60
    story_seconds: int = 1_000


QUICK = Length(
    warm_up_seconds=3.0,
    windows=3,
    window_seconds=1.0,
    scrapes=10,
    starts=1,
    requests=2_000,
    checkpoints=3,
    story_seconds=60,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    what: str
    figure: str
    aim: str = ""

    def __str__(self) -> str:
        return f"| {self.what:<58} | {self.figure:<44} | {self.aim:<13} |"


# --- the program in a process of its own ----------------------------------------------------------------------------


def process_rows(length: Length) -> Iterator[Row]:
    """Processor, memory and disk of the running program, and its scrapes where it has most to show."""
    with TemporaryDirectory() as cache:
        library = build(Path(cache))
        for name, setup in SETUPS.items():
            with TemporaryDirectory() as folder, watched(setup, library, Path(folder)) as exporter:
                yield from _watch(name, exporter, length, aims=setup.gpus == 1)
                if setup.gpus > 1:
                    yield from _scrape_rows(exporter, length.scrapes)
        yield _start_row(library, length.starts)


def _watch(name: str, exporter: Watched, length: Length, *, aims: bool) -> Iterator[Row]:
    time.sleep(length.warm_up_seconds)
    before, written, began = exporter.memory(), exporter.written_bytes(), time.monotonic()
    shares = sorted(_shares(exporter, length))
    elapsed = time.monotonic() - began
    after, written = exporter.memory(), exporter.written_bytes() - written
    spread = f"{median(shares):.2%} of a core ({shares[0]:.2%} to {shares[-1]:.2%})"
    yield Row(f"processor: {name}", spread, "<= 1 %" if aims else "")
    resident = f"{after.rss:.1f} MiB resident (PSS {after.pss:.1f}, USS {after.uss:.1f})"
    yield Row(f"memory: {name}", resident, "<= 60 MiB")
    yield Row(f"memory: {name}, at first", f"{before.rss:.1f} MiB, {exporter.threads()} threads")
    yield Row(f"written to files at first: {name}", f"{written / elapsed * _DAY_SECONDS / 1e9:.2f} GB a day")


def _shares(exporter: Watched, length: Length) -> Iterator[float]:
    """The processor share of each window, with a scrape now and then, as there would be."""
    scraped = time.monotonic()
    for _ in range(length.windows):
        began, spent = time.monotonic(), exporter.cpu_seconds()
        if began - scraped >= _SCRAPE_EVERY_SECONDS:
            _scrape(exporter.url, {})
            scraped = began
        time.sleep(length.window_seconds)
        yield (exporter.cpu_seconds() - spent) / (time.monotonic() - began)


def _scrape_rows(exporter: Watched, count: int) -> Iterator[Row]:
    for name, headers in SCRAPES.items():
        taken = sorted(_scrape(exporter.url, headers) for _ in range(count))
        seconds = [one[0] for one in taken]
        figure = f"p50 {median(seconds) * 1e3:.1f} ms, p99 {seconds[int(0.99 * count)] * 1e3:.1f} ms"
        yield Row(f"scrape: {name}, {taken[0][1] / 1e3:.0f} kB", figure, "<= 20 ms")


def _scrape(url: str, headers: Mapping[str, str]) -> tuple[float, int]:
    """One scrape: how long it took, and how much came."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port or 80, timeout=10)
    began = time.perf_counter()
    connection.request("GET", "/metrics", headers=dict(headers))
    response = connection.getresponse()
    body = response.read()
    taken = time.perf_counter() - began
    connection.close()
    packed = response.getheader("Content-Encoding") == "gzip"
    assert b"llm_device_energy_joules" in (gzip.decompress(body) if packed else body), "this is not our page"
    return taken, len(body)


def _start_row(library: Path, count: int) -> Row:
    seconds, spent = [], []
    for _ in range(count):
        with TemporaryDirectory() as folder, watched(Setup(1, "llamacpp", 0.0), library, Path(folder)) as exporter:
            seconds.append(exporter.seconds_to_ready)
            spent.append(exporter.cpu_seconds())
    return Row(
        "start: until ready (the first advance is after 1 s)", f"{median(seconds):.2f} s, {median(spent):.2f} s CPU"
    )


# --- parts of it in this process ------------------------------------------------------------------------------------


def throughput_rows(length: Length) -> Iterator[Row]:
    """Requests for a second of one core, from the log's line to the histogram."""
    for source, rate, aim in THROUGHPUTS:
        count = length.requests if source == "jsonl" else length.requests // 4
        through = put_through(source, count, rate)
        figure = f"{through.requests_a_second:,.0f}/s ({through.lines / through.requests:.1f} lines each)"
        yield Row(f"throughput: {source}, {rate:,.0f} requests a second of log", figure, aim)
    day = put_through("jsonl", length.requests // 8, rate=200_000 / _DAY_SECONDS)
    share = day.cpu_seconds / day.story_seconds
    yield Row(
        "throughput: jsonl, a day of 200,000 requests", f"{share * _DAY_SECONDS:.0f} s ({share * 1e3:.2f} ms a second)"
    )


def books_row(length: Length) -> Row:
    """What hours of work add to a process that has only begun: the horizon's slices, all ids that are remembered."""
    count, devices = length.requests * 7 // 20, 8
    size = held(count, count / (length.story_seconds * 1.5), devices)
    return Row(f"memory: the books after {count:,} requests on {devices} GPUs", f"{size:.1f} MiB")


def checkpoint_rows(length: Length) -> Iterator[Row]:
    """What a checkpoint takes and writes, once the horizon is full."""
    for devices in (1, 8):
        made = checkpoints(devices, rate=5.0, warm_up_seconds=length.story_seconds, count=length.checkpoints)
        name = f"checkpoint: {devices} GPU{'s' if devices > 1 else ''}, 5 requests a second"
        yield Row(name, _weight(made))


def _weight(made: Checkpoints) -> str:
    a_day = made.mean_bytes * _DAY_SECONDS / CHECKPOINT_SECONDS
    return f"{made.median_seconds * 1e3:.1f} ms, {made.mean_bytes / 1e3:.0f} kB, {a_day / 1e9:.1f} GB a day"


def table(rows: Iterator[Row]) -> Iterator[str]:
    """The lines of the table, each as it becomes known."""
    yield str(Row("what", "measured", "aim"))
    yield f"|{'-' * 60}|{'-' * 46}|{'-' * 15}|"
    yield from map(str, rows)


def all_rows(length: Length) -> Iterator[Row]:
    """Everything."""
    yield from process_rows(length)
    yield books_row(length)
    yield from throughput_rows(length)
    yield from checkpoint_rows(length)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="what the exporter costs its machine")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the figures mean little")
    spare_the_collector()
    length = QUICK if parser.parse_args(arguments).quick else Length()
    for line in table(all_rows(length)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
