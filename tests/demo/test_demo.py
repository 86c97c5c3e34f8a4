import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from exporter.demo import DemoExporter, DemoOptions, demo_settings, run
from exporter.demo.inference import InferenceError, RunningInference
from exporter.domain.settings import Settings
from exporter.domain.snapshot import Snapshot
from tests.demo.books import books
from tests.demo.conftest import MakeInference


@dataclass
class FakeExporter:
    settings: Settings
    url: str = "http://127.0.0.1:9460"
    lived: list[str] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        self.lived.append("snapshot")
        return books()

    async def finish(self) -> Snapshot:
        self.lived.append("finish")
        return books()


@dataclass
class Recorder:
    """Makes one exporter and keeps it to be asked about."""

    made: list[FakeExporter] = field(default_factory=list)

    def __call__(self, settings: Settings) -> AbstractAsyncContextManager[DemoExporter]:
        return self._make(settings)

    @asynccontextmanager
    async def _make(self, settings: Settings) -> AsyncIterator[DemoExporter]:
        exporter = FakeExporter(settings)
        self.made.append(exporter)
        try:
            yield exporter
        finally:
            exporter.lived.append("closed")


@pytest.fixture
def options(make_inference: MakeInference) -> DemoOptions:
    inference = make_inference("well")
    return DemoOptions(inference.binary, inference.model, seconds=0.5, idle_seconds=0)


def test_it_prints_the_result_and_nothing_else_in_a_pipe(
    options: DemoOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    exporters = Recorder()
    assert run(options, exporters) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Joules per request: well")
    assert err == ""
    assert exporters.made[0].lived == ["finish", "closed"]


def test_kept_running_it_ends_with_an_interrupt_and_names_its_page(
    options: DemoOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    exporters = Recorder()
    _interrupt_when(lambda: bool(exporters.made) and "snapshot" in exporters.made[0].lived)
    assert run(replace(options, keep=True), exporters) == 0
    assert "http://127.0.0.1:9460/metrics" in capsys.readouterr().out
    assert exporters.made[0].lived == ["snapshot", "finish", "closed"]


def test_a_request_to_terminate_stops_everything_like_an_interrupt(options: DemoOptions) -> None:
    exporters = Recorder()
    _interrupt_when(lambda: bool(exporters.made), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(replace(options, idle_seconds=60), exporters)
    assert exporters.made[0].lived == ["closed"]


def test_a_server_that_answers_nothing_is_an_error(make_inference: MakeInference, options: DemoOptions) -> None:
    with pytest.raises(InferenceError, match="answered none of"):
        run(replace(options, model=make_inference("refuses").model), Recorder())


def test_the_exporter_reads_the_servers_log_from_its_beginning(tmp_path: Path) -> None:
    server = RunningInference("http://127.0.0.1:1", tmp_path / "log", "tiny", 1)
    [watched] = demo_settings(server, DemoOptions()).servers
    assert watched.model == "tiny"
    assert watched.requests[0].path == (str(tmp_path / "log"),)
    assert watched.requests[0].start_at == "beginning"


def test_the_processor_is_metered_and_no_gpu(tmp_path: Path) -> None:
    server = RunningInference("http://127.0.0.1:1", tmp_path / "log", "tiny", 1)
    assert demo_settings(server, DemoOptions()).power.source in {("rapl",), ("cpu",)}


def test_proxies_are_scored_on_windows_that_fit_into_the_demo(tmp_path: Path) -> None:
    server = RunningInference("http://127.0.0.1:1", tmp_path / "log", "tiny", 1)
    assert demo_settings(server, DemoOptions()).scoring.window_seconds <= DemoOptions().seconds / 6


def _interrupt_when(condition: Callable[[], bool], kind: signal.Signals = signal.SIGINT) -> None:
    def watch() -> None:
        while not condition():
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(os.getpid(), kind)

    threading.Thread(target=watch, daemon=True).start()
