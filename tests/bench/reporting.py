"""What `report --prometheus` costs on a fleet: seconds and memory, here and in a real Prometheus.

    python -m tests.bench.reporting [--gpus 1000] [--hours 24] [--folder KEPT]

Writes the series of so many SIMULATED GPUs, an exporter each, into blocks of two hours by promtool, as a scrape every
minute would have left them; of the many series of an exporter only those that a report is made of. One exporter in
fifty begins new books half-way. A Prometheus opens the blocks and a report on all of them is asked for, in a process
of its own, whose time and peak memory are printed beside those of Prometheus. What was metered is known, and is held
against what the report says. `--folder` keeps the blocks for the next time.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from exporter.report.sources.series import ADDED_UP, LABELS
from tests.bench.series import SHAPES, page
from tests.e2e.programs import running_program
from tests.e2e.web import answers, free_port

SCRAPE_SECONDS, BLOCK_SECONDS = 60, 7200
BEGIN = 1_789_999_200
"""At a boundary of blocks."""
_AGE_SECONDS = 86_400
_RESTARTED_ONE_IN = 50
_PACES = 7
"""So many different loads there are."""
_WHOLE = ("_bucket", "llm_requests_total", "llm_tokens_total")
_BOOKS, _SNAPSHOT = "llm_energy_exporter_books_start_time_seconds", "llm_energy_exporter_snapshot_timestamp_seconds"
_WANTED = {*LABELS, "llm_energy_exporter_build_info"} - {_BOOKS, _SNAPSHOT}


@dataclass(frozen=True, slots=True)
class Fleet:
    """So many exporters of a GPU each, over so many hours."""

    gpus: int
    hours: int

    @property
    def end(self) -> int:
        """The last scrape."""
        return BEGIN + self.hours * 3600

    @property
    def restart(self) -> int:
        """When one in fifty begins anew."""
        return BEGIN + self.hours * 1800 + 20

    def metered(self) -> float:
        """What all GPUs used in the period, as far as scrapes tell."""
        [joules] = [value for name, _, value in template() if name == "llm_device_energy_joules_total"]
        return joules * sum(self._grown(number) for number in range(self.gpus))

    def _grown(self, number: int) -> float:
        if not restarts(number):
            return grown(number, self.end, BEGIN - _AGE_SECONDS) - grown(number, BEGIN, BEGIN - _AGE_SECONDS)
        before = self.restart - self.restart % SCRAPE_SECONDS
        first = grown(number, before, BEGIN - _AGE_SECONDS) - grown(number, BEGIN, BEGIN - _AGE_SECONDS)
        return first + grown(number, self.end, self.restart)


def restarts(number: int) -> bool:
    """Whether this exporter begins new books half-way."""
    return number % _RESTARTED_ONE_IN == _RESTARTED_ONE_IN - 1


def grown(number: int, at: float, began: float) -> float:
    """By how much the counters of the page are multiplied."""
    return (1.0 + number % _PACES / _PACES) * (at - began) / 60.0


def template() -> Iterator[tuple[str, str, float]]:
    """Name, labels and value of all that is stored of an exporter, beside two times."""
    text = page(SHAPES[0]).replace('method="measured"', 'method="simulated"').replace("NVIDIA H200", "SIMULATED H200")
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        name, _, labels = series.partition("{")
        if name in _WANTED:
            yield name, labels.removesuffix("}"), float(value)


# --- writing ---------------------------------------------------------------------------------------------------------


def write(fleet: Fleet, folder: Path, promtool: str) -> None:
    """All blocks, one after the other, to be gentle to disk and memory."""
    text = folder / "page.txt"
    blocks = range(BEGIN - BLOCK_SECONDS, fleet.end + 1, BLOCK_SECONDS)
    for begin in blocks:
        with text.open("w") as file:
            for number in range(fleet.gpus):
                file.writelines(_lines(fleet, number, _scrapes(fleet, begin)))
            file.write("# EOF\n")
        command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(text), str(folder / "data")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(f"\rblocks: {blocks.index(begin) + 1} of {len(blocks)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    text.unlink()


def _scrapes(fleet: Fleet, begin: int) -> range:
    """The hour before the period is there too, as it would be."""
    return range(max(begin, BEGIN - 3600), min(begin + BLOCK_SECONDS, fleet.end + 1), SCRAPE_SECONDS)


_told: dict[tuple[int, bool, range], list[tuple[str, str]]] = {}


def _lines(fleet: Fleet, number: int, scrapes: range) -> Iterator[str]:
    target = f'instance="10.{number >> 16}.{number >> 8 & 255}.{number & 255}:9460",job="llm-energy-exporter"'
    target += f',namespace="models",pod="vllm-{number}"'
    key = (number % _PACES, restarts(number), scrapes)
    if key not in _told:
        for old in [one for one in _told if one[2] != scrapes]:
            del _told[old]
        _told[key] = list(_series(fleet, number, scrapes))
    for prefix, told in _told[key]:
        head = f"{prefix}{target}}} "
        yield head + told.replace("\n", "\n" + head) + "\n"
    for at in scrapes:
        yield f"{_BOOKS}{{{target}}} {_began(fleet, number, at) + number / 250} {at}\n"


def _series(fleet: Fleet, number: int, scrapes: Sequence[int]) -> Iterator[tuple[str, str]]:
    began = [_began(fleet, number, at) for at in scrapes]
    factors = [grown(number, at, since) for at, since in zip(scrapes, began, strict=True)]
    for name, labels, value in template():
        rounded = name.endswith(_WHOLE)
        values = [value * one if name in ADDED_UP else value for one in factors]
        told = (f"{round(one) if rounded else one!r} {at}" for one, at in zip(values, scrapes, strict=True))
        yield f"{name}{{{labels}," if labels else f"{name}{{", "\n".join(told)
    yield f"{_SNAPSHOT}{{", "\n".join(f"{at - 0.5} {at}" for at in scrapes)


def _began(fleet: Fleet, number: int, at: int) -> int:
    return fleet.restart if restarts(number) and at >= fleet.restart else BEGIN - _AGE_SECONDS


# --- asking ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one report. `cpu_seconds`, `peak_bytes`: of the command."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def timed(url: str, fleet: Fleet, out: Path) -> Cost:
    """Ask for a report on all of it, in a process of its own."""
    command = [sys.executable, "-m", "exporter", "report", "--prometheus", url, "--out", str(out)]
    command += ["--since", _moment(BEGIN), "--until", _moment(fleet.end)]
    begin = time.perf_counter()
    with subprocess.Popen(command) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, "the report failed"
    return Cost(time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss << 10)


def _moment(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _prometheus_peak(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


def _prometheus_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(fleet: Fleet, folder: Path, program: str, runs: int) -> None:
    """Start Prometheus on what was written, report some times, print a row each."""
    file, address = folder / "prometheus.yml", f"127.0.0.1:{free_port()}"
    file.write_text(yaml.safe_dump({"global": {"scrape_interval": "1m"}}))
    command = [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=20y",
        "--storage.tsdb.min-block-duration=2h",
        "--storage.tsdb.max-block-duration=2h",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    url, out = f"http://{address}", folder / "report.json"
    with running_program(command, lambda: answers(f"{url}/-/ready"), log=folder / "log", seconds=120.0) as process:
        for _ in range(runs):
            before = _prometheus_cpu(process.pid)
            cost = timed(url, fleet, out)
            server = _prometheus_cpu(process.pid) - before
            print(
                f"| {fleet.gpus:,} GPUs, {fleet.hours} h | {cost.seconds:.1f} s | {cost.cpu_seconds:.1f} s | "
                f"{cost.peak_bytes >> 20} MiB | {server:.1f} s | {_prometheus_peak(process.pid) >> 20} MiB | "
                f"{off_by(fleet, out):.0e} |",
                flush=True,
            )


def off_by(fleet: Fleet, out: Path) -> float:
    """How far the report is from what was metered, relative to that."""
    said = json.loads(out.read_text())["totals"]["metered_joules"]
    return abs(float(said) - fleet.metered()) / fleet.metered()


def main() -> None:
    """Write, ask, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gpus", type=int, default=1000)
    options.add_argument("--hours", type=int, default=24)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--folder", type=Path, help="where the blocks are, or are to be kept")
    given = options.parse_args()
    programs = [shutil.which(name) for name in ("prometheus", "promtool")]
    if not all(programs):
        print("Prometheus is not installed: apt-get install prometheus")
        return
    fleet = Fleet(given.gpus, given.hours)
    print(
        "| SIMULATED fleet | report | its processor | its memory | Prometheus' processor | its memory, peak | off by |"
    )
    print("|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "data").exists():
            write(fleet, folder, str(programs[1]))
        ask(fleet, folder, str(programs[0]), given.runs)


if __name__ == "__main__":
    main()
