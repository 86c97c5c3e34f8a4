"""The exporter as a process of its own under load, and what the kernel says that it costs."""

import compileall
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import yaml

from exporter.domain.units import Instant
from tests.bench.traffic import LOGS, OPTIONS, invented_run
from tests.e2e.web import answers, free_port
from tests.fakes.nvml import FakeGpu, FakeNvml, RealTime
from tests.simulation.logs import LogLine

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1 << 20
_START_SECONDS = 30.0
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Setup:
    """What the exporter meters and reads. `rate`: requests a second, 0 for a silent server."""

    gpus: int
    source: str
    rate: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a process, in MiB: resident, its proportional share of that, and what is its alone."""

    rss: float
    pss: float
    uss: float


@dataclass(frozen=True, slots=True)
class Watched:
    """A running exporter. `seconds_to_ready`: from the start of its process until it said that it was ready."""

    pid: int
    url: str
    seconds_to_ready: float

    def cpu_seconds(self) -> float:
        """User and system time of all its threads: to the nanosecond where the scheduler keeps it, else to a tick."""
        threads = list(Path(f"/proc/{self.pid}/task").glob("*/schedstat"))
        if threads:
            return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> Memory:
        """What it holds now."""
        sizes = {name: int(rest.split()[0]) * 1024 for name, rest in _pairs(self._proc("smaps_rollup"))}
        own = sizes["Private_Clean"] + sizes["Private_Dirty"]
        return Memory(sizes["Rss"] / _MIB, sizes["Pss"] / _MIB, own / _MIB)

    def threads(self) -> int:
        """How many threads it runs."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def written_bytes(self) -> int:
        """All that it wrote to files; sockets are not counted."""
        return int(dict(_pairs(self._proc("io")))["wchar"])

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, colon, rest = line.partition(": ")
        if colon:
            yield name, rest


@contextmanager
def watched(setup: Setup, library: Path, folder: Path) -> Iterator[Watched]:
    """Run an exporter with this setup in an empty folder, with its log growing, until the context ends."""
    log = folder / "server.log"
    log.touch()
    (folder / "state").mkdir()
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(_config(setup, log, folder / "state")))
    fake = FakeNvml(library, folder, _boards(setup.gpus), time=RealTime(epoch=time.time()))
    with ExitStack() as stack:
        stack.enter_context(_growing(log, setup))
        exporter = stack.enter_context(_process(config, fake.environment()))
        yield exporter


def _config(setup: Setup, log: Path, state: Path) -> dict[str, Any]:
    requests = {"source": setup.source, "path": str(log), **OPTIONS[setup.source]}
    return {
        "power": {"source": "nvml"},
        "servers": [{"name": "chat", "requests": requests}],
        "state_dir": str(state),
    }


def _boards(count: int) -> Sequence[FakeGpu]:
    """Boards whose power changes every second, so that nothing in the exporter gets away with a constant."""
    return [
        FakeGpu(
            power=tuple((float(second), 150.0 + 50.0 * ((second + board) % 9)) for second in range(600)),
            uuid=f"GPU-{board:08}-2222-3333-4444-555555555555",
            bus=f"00000000:{0x10 + board:02X}:00.0",
        )
        for board in range(count)
    ]


@contextmanager
def _process(config: Path, environment: Mapping[str, str]) -> Iterator[Watched]:
    compileall.compile_dir(_REPOSITORY / "exporter", quiet=1)  # as installed: to compile at the start takes megabytes
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "exporter", "run", "--config", str(config), "--listen", address]
    began = time.monotonic()
    with (
        config.with_name("stderr").open("wb") as errors,
        subprocess.Popen(command, cwd=_REPOSITORY, stderr=errors, env={**os.environ, **environment}) as process,
    ):
        try:
            _wait_until_ready(process, f"http://{address}", config.with_name("stderr"))
            yield Watched(process.pid, f"http://{address}", time.monotonic() - began)
        finally:
            process.terminate()


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, errors: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers(f"{url}/-/ready"):
        assert process.poll() is None, f"the exporter ended: {errors.read_text()}"
        assert time.monotonic() < deadline, f"not ready after {_START_SECONDS:g} s: {errors.read_text()}"
        time.sleep(0.01)


@contextmanager
def _growing(log: Path, setup: Setup) -> Iterator[None]:
    """Append the log's lines when their time comes, from a thread of this process."""
    if not setup.rate:
        yield
        return
    count = int(setup.rate * 600)
    lines = LOGS[setup.source](invented_run(count, setup.rate, begin=Instant(time.time())))
    stopping = Event()
    writer = Thread(target=_write, args=(log, lines, stopping), daemon=True)
    writer.start()
    try:
        yield
    finally:
        stopping.set()
        writer.join()


def _write(log: Path, lines: Sequence[LogLine], stopping: Event) -> None:
    with log.open("a", buffering=1) as out:
        for line in lines:
            if stopping.wait(max(line.at - time.time(), 0.0)):
                return
            out.write(line.text + "\n")
