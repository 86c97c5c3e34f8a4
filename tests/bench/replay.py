"""What a replay costs: an hour of a SIMULATED busy server, and whether memory grows with the recording.

    python -m tests.bench.replay [--quick] [--profile]

The recording holds ten requests a second, each with its start, first token and end, and one GPU read at 20 Hz, counter
and power. Seconds are those of one core. Memory is what the peak of a process of its own grows by: beside the books,
whose bounds are the horizon and 65,536 remembered ids, nothing may grow; so reading alone is measured too.
"""

import argparse
import cProfile
import gzip
import pstats
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from exporter.cli.run import spare_the_collector
from exporter.domain.readings import CounterReading, Device, PowerReading, Reading
from exporter.domain.units import Instant, Joules
from exporter.recording.entries import Advance, Entry, Finish, News
from exporter.recording.format import end_line, header_line
from exporter.recording.playing import Player, pipeline_of
from exporter.recording.recorder import header
from exporter.recording.recording import Recording
from exporter.recording.writing import Writer
from exporter.simulate.batching import Run
from tests.pipeline.telling import SERVER, settings
from tests.simulation.hearing import events
from tests.simulation.power import power_trace
from tests.simulation.scenarios import Scenario, poisson_run

REQUESTS_A_SECOND = 10.0
POLL_SECONDS = 0.05
_AFTER_SECONDS = 10.0
_DEVICE = Device("gpu0", "gpu", "GPU-0", "SIMULATED H100", has_counter=True, power_window_seconds=0.025)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One replay.

    Attributes:
        told: readings, events and advances.
        grown_mib: by how much the peak of resident memory grew. reading_mib: by how much if nobody listens.
    """

    story_seconds: float
    told: int
    requests: int
    file_bytes: int
    seconds: float
    grown_mib: float
    reading_mib: float

    def __str__(self) -> str:
        return (
            f"{self.story_seconds:>8.0f} s {self.requests:>8,} requests {self.told:>9,} told "
            f"{self.file_bytes / 1e6:>7.2f} MB   replayed in {self.seconds:>6.2f} s "
            f"({self.story_seconds / self.seconds:>5.0f}x, {self.told / self.seconds:>9,.0f} told/s)   "
            f"memory +{self.grown_mib:.1f} MiB (reading alone +{self.reading_mib:.1f})"
        )


def write_recording(path: Path, run: Run) -> int:
    """A recording of the run, as the engine would have told it. Returns how many things are told in it."""
    head = header(settings(), [_DEVICE], run.begin, {})
    writer, lines, told = Writer(head), 1, 0
    with gzip.open(path, "wt", encoding="ascii", compresslevel=6) as file:
        file.write(header_line(head) + "\n")
        for second in _seconds(run):
            written = list(writer.lines(second))
            file.writelines(f"{line}\n" for line in written)
            lines, told = lines + len(written), told + len(second)
        file.write(end_line(lines) + "\n")
    return told


def _seconds(run: Run) -> Iterator[Sequence[Entry | Reading]]:
    """What is told, second by second: news as it comes, then readings, then time advances."""
    news = iter(events(run))
    one = next(news, None)
    trace, end = power_trace(run), run.end + _AFTER_SECONDS
    for now in np.arange(run.begin + 1.0, end, 1.0).tolist():
        told: list[Entry | Reading] = []
        while one is not None and one.at <= now:
            told.append(News(SERVER, one.event, one.at))
            one = next(news, None)
        polls = now - 1.0 + np.arange(0.0, 1.0, POLL_SECONDS)
        steps = np.floor(polls * 10.0) / 10.0
        for at, joules, watts in zip(
            polls.tolist(), trace.counter(steps).tolist(), map(trace.power, polls.tolist()), strict=True
        ):
            told += (CounterReading("gpu0", Instant(at), Joules(joules)), PowerReading("gpu0", Instant(at), watts))
        yield [*told, Advance(Instant(now), {SERVER: Instant(now)})]
    yield [Finish(Instant(end))]


def replay(path: Path, told: int) -> Replayed:
    """Replay it, and see what that takes."""
    reading = _reading_mib(path)
    settled, before = 0, _peak_mib(reset=True)
    began = time.process_time()
    with Recording(path) as recording:
        player = Player([pipeline_of(recording.header)], recording.header.begin)
        for moment in player.play(recording):
            settled += len(moment.settled[0])
        assert not recording.cut
        assert not player.faults
    seconds = time.process_time() - began
    length = player.now - recording.header.begin
    return Replayed(length, told, settled, path.stat().st_size, seconds, _peak_mib() - before, reading)


def _reading_mib(path: Path) -> float:
    before = _peak_mib(reset=True)
    with Recording(path) as recording:
        for _ in recording.entries():
            pass
    return _peak_mib() - before


def _peak_mib(*, reset: bool = False) -> float:
    """The process's peak resident memory since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    [line] = [line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if "VmHWM" in line]
    return int(line.split()[1]) / 1024.0


def replays(folder: Path, lengths: Sequence[float]) -> Iterator[Replayed]:
    """A recording of each length in seconds, replayed."""
    for number, length in enumerate(lengths):
        path = folder / f"{number}.jsonl.gz"
        told = write_recording(path, _run(length))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=spare_the_collector) as process:
            yield process.submit(replay, path, told).result()


def _run(seconds: float) -> Run:
    return poisson_run(Scenario(), np.random.default_rng(1), rate=REQUESTS_A_SECOND, seconds=seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each length."""
    parser = argparse.ArgumentParser(description="what a replay costs")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the figures mean little")
    parser.add_argument("--profile", action="store_true", help="where the time goes, in ten minutes")
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        if options.profile:
            _profile(Path(folder))
            return
        for one in replays(Path(folder), (10.0, 20.0) if options.quick else (600.0, 1800.0, 3600.0)):
            print(one, flush=True)


def _profile(folder: Path) -> None:
    path = folder / "profile.jsonl.gz"
    told = write_recording(path, _run(600.0))
    with cProfile.Profile() as profile:
        replay(path, told)
    pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
