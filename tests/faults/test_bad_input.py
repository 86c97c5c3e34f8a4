"""Bad input is said or counted, and the requests after it are metered as if nothing had happened.

The program is the real one from its engine down, on a clock that the test moves; a board of constant power makes every
request's joules known beforehand. What a user sees when it does not start is tested through the command line.
"""

import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.app import assemble
from exporter.clock import SystemClock
from exporter.domain.readings import CounterReading, Device, Reading
from exporter.domain.settings import AttributionSettings, RequestSettings, ServerSettings, Settings
from exporter.domain.snapshot import Snapshot
from exporter.domain.units import Joules
from exporter.engine import Engine
from exporter.metrics.exposition import render
from exporter.power.select import Opened
from tests.e2e.exporter_process import RunningExporter
from tests.e2e.web import answers, free_port, wait_until

WATTS = 100.0
NOBODY = 65534
_ROUND = 0.05
_BEGIN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
_SOURCE_TREE = Path(__file__).parents[2]


class Times:
    """The machine's two clocks. Somebody may set the one on the wall."""

    def __init__(self) -> None:
        self.steady = 1000.0
        self.set_by = 0.0

    def wall(self) -> float:
        """What the clock on the wall shows."""
        return _BEGIN + self.steady - 1000.0 + self.set_by


class Board:
    """A GPU that always draws the same."""

    devices = (Device("gpu0", "gpu", has_counter=True, limit_watts=700.0),)

    def __init__(self, clock: SystemClock, times: Times) -> None:
        self._clock = clock
        self._times = times

    def read(self) -> Sequence[Reading]:
        return [CounterReading("gpu0", self._clock.now(), Joules(WATTS * self._times.steady))]

    def close(self) -> None:
        """Nothing to let go."""


class Story:
    """An exporter beside a vLLM whose log the test writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times = Times()
        self._clock = SystemClock(self.times.wall, lambda: self.times.steady)
        self._board = Board(self._clock, self.times)
        requests = RequestSettings("vllm", path=(str(path),), start_at="beginning", timezone="UTC")
        settings = Settings((ServerSettings("chat", (requests,)),), attribution=AttributionSettings(policy="time"))
        self.engine: Engine = assemble(settings, [Opened(self._board, "nvml")], self._clock)
        self._requests = 0

    def passes(self, seconds: float) -> None:
        """Time passes, and the engine does what it does in it."""
        for _ in range(round(seconds / _ROUND)):
            self.times.steady += _ROUND
            for reading in self._board.read():
                self.engine.pipeline.receive_reading(reading)
            self.engine._round()

    def write(self, text: bytes) -> None:
        """Append to the log, which then has the time of the wall clock."""
        with self.path.open("ab") as file:
            file.write(text)
        os.utime(self.path, (self.times.wall(), self.times.wall()))

    def started(self, prefix: str = "", params: bytes = b"x, lora_request: None.") -> str:
        """A request arrives at the server. Returns its id."""
        self._requests += 1
        id_ = f"chatcmpl-{self._requests}"
        self.write(self._prefix(prefix) + f"Received request {id_}: params: ".encode() + params + b"\n")
        return id_

    def ended(self, id_: str, prefix: str = "", output: bytes = b"''") -> None:
        """It has its answer."""
        line = f"Generated response {id_} (streaming complete): output: ".encode() + output
        self.write(self._prefix(prefix) + line + b", finish_reason: stop\n")

    def request(self, seconds: float = 3.0, prefix: str = "") -> None:
        """A whole request, alone."""
        id_ = self.started(prefix)
        self.passes(seconds)
        self.ended(id_, prefix)
        self.passes(2.0)

    def books(self) -> Snapshot:
        """The books once all is settled; they balance."""
        self.passes(10.0)
        (device,) = self.engine.snapshot.devices
        booked = sum(device.booked.values()) + device.unsettled_joules
        assert booked == pytest.approx(device.metered_joules, rel=1e-9)
        return self.engine.snapshot

    def metric(self, name: str, **labels: str) -> float:
        """What a scrape shows."""
        text = render(self.engine.published())[0].decode()
        found = [one for family in text_string_to_metric_families(text) for one in family.samples]
        return sum(one.value for one in found if one.name == name and labels.items() <= one.labels.items())

    def _prefix(self, prefix: str) -> bytes:
        stamp = datetime.fromtimestamp(self.times.wall(), UTC).strftime("%m-%d %H:%M:%S")
        return f"{prefix}INFO {stamp} [logger.py:40] ".encode()


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    told = Story(tmp_path / "vllm.log")
    told.path.touch()
    told.passes(2.0)
    yield told
    told.engine.close()


def assert_metered(books: Snapshot, seconds: Sequence[float]) -> None:
    """So many requests, each with the joules of its own seconds: they ran alone."""
    joules = [request.joules for request in sorted(books.recent, key=lambda one: one.end)]
    assert joules == [pytest.approx(WATTS * each, abs=WATTS * 0.25) for each in seconds]
    assert all(request.outcome == "ok" for request in books.recent)


# --- in the log ----------------------------------------------------------------------------------------------------


def test_binary_garbage_is_counted_and_requests_around_it_are_metered(story: Story) -> None:
    story.request(3.0)
    story.write(random.Random(1).randbytes(300_000) + b"\0" * 5000 + b"\n")  # noqa: S311 - garbage, no secret
    story.request(2.0)
    assert_metered(story.books(), [3.0, 2.0])
    assert story.metric("llm_energy_exporter_log_lines_total", outcome="ignored") > 500
    assert story.metric("llm_energy_exporter_faults_total") == 0.0


def test_a_line_of_ten_megabytes_is_dropped_and_counted(story: Story) -> None:
    story.request(3.0)
    story.write(b"x" * 10_000_000)
    story.passes(2.0)
    story.write(b"\n")
    story.request(2.0)
    assert_metered(story.books(), [3.0, 2.0])
    assert story.metric("llm_energy_exporter_log_lines_total", reason="line_too_long") == 1.0


def test_a_log_that_vanishes_and_comes_back_loses_no_request(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    id_ = story.started()
    story.passes(3.0)
    story.ended(id_)
    story.path.unlink()  # before anybody has read the end
    story.passes(20.0)
    assert story.metric("llm_energy_exporter_log_problems") == 1.0
    story.request(2.0)
    assert_metered(story.books(), [3.0, 2.0])
    assert story.metric("llm_energy_exporter_log_problems") == 0.0
    assert sum("it is followed as soon as it is there" in message for message in caplog.messages) == 1


def test_a_directory_in_place_of_the_log_is_said_until_the_log_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "vllm.log").mkdir()
    story = Story(tmp_path / "vllm.log")
    story.passes(5.0)
    assert story.metric("llm_energy_exporter_log_problems") == 1.0
    assert sum("is a directory: name the files in it" in message for message in caplog.messages) == 1
    story.path.rmdir()
    story.request(3.0)
    assert_metered(story.books(), [3.0])
    assert story.metric("llm_energy_exporter_log_problems") == 0.0
    story.engine.close()


def test_bytes_that_are_no_utf8_harm_no_request_not_even_their_own(story: Story) -> None:
    id_ = story.started(params=b"\xff\xfe caf\xe9 \xf0\x9f\x98")
    story.passes(3.0)
    story.ended(id_, output=b"'\x80\x80'")
    story.request(2.0)
    assert_metered(story.books(), [3.0, 2.0])


@pytest.mark.parametrize("coloured", ["\x1b[1;36m(APIServer pid=7)\x1b[0;0m ", "\x1b[32m\x1b[1m"])
def test_colours_harm_no_request(story: Story, coloured: str) -> None:
    story.request(3.0, prefix=coloured)
    story.write(b"\x1b[31mERROR\x1b[0m \x1b]0;title\x07 \x1b[2K\r 100%|#####|\n")
    story.request(2.0, prefix=coloured)
    assert_metered(story.books(), [3.0, 2.0])


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_by_an_hour_moves_no_request(story: Story, hours: int) -> None:
    story.request(3.0)
    id_ = story.started()
    story.passes(2.0)
    story.times.set_by = 3600.0 * hours
    story.passes(2.0)
    story.ended(id_)
    story.passes(5.0)
    story.request(2.0)
    assert_metered(story.books(), [3.0, 4.0, 2.0])
    assert story.metric("llm_energy_exporter_clock_steps_total") == 1.0


# --- before it starts: one line, an exit code, no traceback --------------------------------------------------------


def run_to_its_end(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exporter", "run", *arguments]
    return subprocess.run(command, cwd=_SOURCE_TREE, capture_output=True, text=True, timeout=30, check=False)


def complaint(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why; what was logged before it is no part of it."""
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("INFO ")]
    assert len(lines) == 1, ended.stderr
    return lines[0].removeprefix("llm-energy-exporter: ")


@pytest.mark.e2e
def test_a_typo_in_a_key_is_named_with_what_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("servers:\n  - {name: chat, requests: {source: vllm, paht: /logs/x}}\n")
    ended = run_to_its_end("--config", str(file))
    assert ended.returncode == 2
    assert complaint(ended).startswith("servers[0].requests.paht: ")
    assert "did you mean `path`?" in complaint(ended)


@pytest.mark.e2e
def test_a_typo_in_the_yaml_itself_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("servers:\n  - name: chat\n requests: {\n")
    ended = run_to_its_end("--config", str(file))
    assert ended.returncode == 2
    assert complaint(ended).startswith(f"{file}:3:")


@pytest.mark.e2e
def test_a_port_in_use_is_named_with_what_to_change(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        ended = run_to_its_end("--source", "vllm", "--log", str(tmp_path / "x"), "--listen", address)
    assert ended.returncode == 1
    assert complaint(ended).startswith(f"cannot listen on {address}: ")
    assert "--listen HOST:PORT" in complaint(ended)


# --- without the right to read -------------------------------------------------------------------------------------

# What is imported late must be here before: nobody may not be allowed to read the interpreter's own files either.
_AS_NOBODY = f"""
import encodings.ascii, os, sys
from exporter import cli
if os.geteuid() == 0:
    os.seteuid({NOBODY})
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def unreadable() -> Iterator[Path]:
    """A file that its reader, who is nobody, may not open. Beside pytest's folders, which any other pytest shuts."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "vllm.log"
        path.write_bytes(b"")
        path.chmod(0)
        Path(folder).chmod(0o711)
        yield path


@pytest.mark.e2e
def test_an_unreadable_configuration_is_named(unreadable: Path) -> None:
    command = [sys.executable, "-c", _AS_NOBODY, "run", "--config", str(unreadable)]
    ended = subprocess.run(command, cwd=_SOURCE_TREE, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert complaint(ended) == f"{unreadable}: cannot be read: Permission denied"


@contextmanager
def running_as_nobody(log: Path) -> Iterator[RunningExporter]:
    address, errors = f"127.0.0.1:{free_port()}", log.with_name("stderr")
    arguments = ["run", "--source", "vllm", "--log", str(log), "--listen", address]
    command = [sys.executable, "-c", _AS_NOBODY, *arguments]
    with errors.open("wb") as file, subprocess.Popen(command, cwd=_SOURCE_TREE, stderr=file) as process:
        try:
            exporter = RunningExporter(f"http://{address}", process, errors)
            wait_until(lambda: answers(f"{exporter.url}/-/ready"), 30.0, "the exporter is ready")
            yield exporter
        finally:
            process.kill()


@pytest.mark.e2e
def test_an_unreadable_log_is_said_and_read_as_soon_as_it_may_be(unreadable: Path) -> None:
    def logged(message: str) -> None:
        with unreadable.open("a") as file:
            file.write(f"INFO {datetime.now().astimezone():%m-%d %H:%M:%S} [logger.py:40] {message}\n")

    with running_as_nobody(unreadable) as exporter:
        wait_until(lambda: "the right to read it" in exporter.errors.read_text(), 10.0, "the problem is said")
        assert exporter.page().sum("llm_energy_exporter_log_problems") == 1.0
        unreadable.chmod(0o666)
        logged("Received request chatcmpl-1: params: x, lora_request: None.")
        wait_until(lambda: exporter.page().sum("llm_running_requests") == 1.0, 10.0, "the request is seen to run")
        logged("Generated response chatcmpl-1 (streaming complete): output: '', finish_reason: stop")
        wait_until(lambda: exporter.page().sum("llm_requests_total") == 1.0, 20.0, "the request is settled")
        assert exporter.page().sum("llm_request_energy_joules_sum") > 0.0
        assert exporter.page().sum("llm_energy_exporter_log_problems") == 0.0
