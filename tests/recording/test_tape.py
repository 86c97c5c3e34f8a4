"""Trouble with the file ends the recording and nothing else."""

import logging
import os
import threading
from pathlib import Path

import pytest

from exporter.domain.errors import RecordingError, UsageError
from exporter.domain.readings import PowerReading
from exporter.domain.units import Watts, later
from exporter.recording.entries import Advance
from exporter.recording.recorder import RecordedPipeline, header
from exporter.recording.recording import Recording
from exporter.recording.tape import Tape
from tests.properties.tales import BEGIN, DEVICES, a_pipeline
from tests.recording.recorded import lines

HEADER = header(a_pipeline().settings, DEVICES, BEGIN, {})


def second(number: int) -> list[PowerReading | Advance]:
    """What is told in a second: numbers that hardly compress."""
    readings = [
        PowerReading("gpu1", later(BEGIN, number + tenth / 10), Watts((number * 7919 + tenth) ** 0.5))
        for tenth in range(10)
    ]
    return [*readings, Advance(later(BEGIN, number + 1.0))]


def test_a_tape_that_is_closed_is_complete(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "r")
    tape.start(HEADER)
    tape.take(second(0))
    tape.close()
    tape.close()
    assert (tape.ended, tape.failures) == ("stopped", 0)
    assert lines(tmp_path / "r")[-1] == '["end",3]'


def test_a_tape_that_was_never_started_leaves_nothing_behind(tmp_path: Path) -> None:
    Tape(tmp_path / "r").close()
    assert not (tmp_path / "r").exists()


def test_what_is_there_is_overwritten_by_force_only(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("precious")
    with pytest.raises(UsageError, match="--force"):
        Tape(tmp_path / "r")
    tape = Tape(tmp_path / "r", overwrite=True)
    assert (tmp_path / "r").read_text() == "precious"  # until it really begins
    tape.start(HEADER)
    tape.close()
    assert len(lines(tmp_path / "r")) == 2


def test_a_file_that_appears_meanwhile_is_not_overwritten_either(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "r")
    (tmp_path / "r").write_text("precious")
    with pytest.raises(RecordingError, match="cannot be written: File exists"):
        tape.start(HEADER)
    assert (tmp_path / "r").read_text() == "precious"


def test_a_folder_that_is_not_there_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file or directory"):
        Tape(tmp_path / "none" / "r").start(HEADER)


def test_a_full_disk_ends_the_recording_with_one_message_and_metering_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()
    tape = Tape(Path("/dev/full"), overwrite=True, on_end=ended.set)
    pipeline = RecordedPipeline(a_pipeline().settings, DEVICES, BEGIN, tape=tape)
    assert ended.wait(10.0)
    for number in range(50):
        for one in second(number)[:-1]:
            assert isinstance(one, PowerReading)
            pipeline.receive_reading(one)
        pipeline.advance(later(BEGIN, number + 1.0))
    tape.close()
    assert (tape.ended, tape.failures) == ("failed", 1)
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
    assert "No space left on device" in caplog.text
    assert pipeline.snapshot(later(BEGIN, 50.0)).devices[1].readings == 500


def test_a_disk_that_hangs_ends_the_recording_and_nobody_waits_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "r")
    reader = os.open(tmp_path / "r", os.O_RDONLY | os.O_NONBLOCK)  # takes what fits into a pipe, and then no more
    tape = Tape(tmp_path / "r", overwrite=True)
    tape.start(HEADER)
    for number in range(20_000):
        tape.take(second(number))
        if tape.ended is not None:
            break
    assert (tape.ended, tape.failures) == ("failed", 1)
    assert "the disk takes no more" in caplog.text
    os.close(reader)  # the thread meets a broken pipe, which is no news any more
    tape.close()
    assert len(caplog.records) == 1


def test_a_tape_is_full_at_its_size_and_complete(tmp_path: Path) -> None:
    ended = threading.Event()
    tape = Tape(tmp_path / "r", max_bytes=20_000, on_end=ended.set)
    tape.start(HEADER)
    number = 0
    while not ended.is_set() and number < 5_000:
        tape.take(second(number))
        number += 1
        ended.wait(0.001)
    tape.close()
    assert (tape.ended, tape.failures) == ("full", 0)
    assert (tmp_path / "r").stat().st_size < 40_000
    with Recording(tmp_path / "r") as recording:
        assert len(list(recording.entries())) > 50
        assert not recording.cut


def test_a_bug_in_the_writer_costs_the_recording_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tape = Tape(tmp_path / "r")
    tape.start(HEADER)
    tape.take([PowerReading("nobody", BEGIN, Watts(1.0))])
    tape.close()
    assert tape.failures == 1
    assert "a bug in the recorder" in caplog.text


def test_all_that_was_told_some_seconds_ago_is_readable_though_nobody_closed_it(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "r")
    tape.start(HEADER)
    for number in range(21):
        tape.take(second(number))
    while tape._waiting.qsize():
        pass
    (tmp_path / "copy").write_bytes((tmp_path / "r").read_bytes())
    with Recording(tmp_path / "copy") as recording:
        assert len(list(recording.entries())) >= 2 * 10
        assert recording.cut
    tape.close()
