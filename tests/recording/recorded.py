"""Tales and runs on tape, for whoever reads them back."""

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

from exporter.domain.readings import Device
from exporter.domain.settings import Settings
from exporter.domain.units import Instant
from exporter.pipeline.pipeline import Pipeline
from exporter.proxy.calibration.calibration import Calibration
from exporter.recording.playing import Player, pipeline_of
from exporter.recording.recorder import RecordedPipeline
from exporter.recording.recording import Recording
from exporter.recording.tape import Tape
from tests.properties.tales import BEGIN, DEVICES, a_pipeline


@contextmanager
def recorded(
    path: Path,
    settings: Settings | None = None,
    devices: Sequence[Device] = DEVICES,
    since: Instant = BEGIN,
    calibrations: Mapping[str, Calibration] | None = None,
) -> Iterator[RecordedPipeline]:
    """A pipeline whose tape is complete when the context ends."""
    tape = Tape(path, overwrite=True)
    tape._waiting = Queue()  # an hour is told in a moment: what is bounded in life is not here
    chosen = settings or a_pipeline().settings
    pipeline = RecordedPipeline(chosen, devices, since, tape=tape, calibrations=calibrations)
    try:
        yield pipeline
    finally:
        pipeline.hand_over()
        tape.close()


def replayed(path: Path, watch: Callable[[Pipeline, Instant], None] = lambda *_: None) -> Pipeline:
    """A pipeline that was told the recording; `watch` sees it whenever time has advanced."""
    with Recording(path) as recording:
        pipeline = pipeline_of(recording.header)
        player = Player([pipeline], recording.header.begin)
        for moment in player.play(recording):
            watch(pipeline, moment.now)
        assert not recording.cut
        assert not player.faults
    return pipeline


def lines(path: Path) -> list[str]:
    """The recording as text."""
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def write_lines(path: Path, texts: Sequence[str]) -> None:
    """A recording of these lines."""
    path.write_bytes(gzip.compress("".join(f"{text}\n" for text in texts).encode()))
