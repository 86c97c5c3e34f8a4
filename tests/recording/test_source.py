"""A recording as a power source: its readings again, moved to now, and nothing that is not on the tape."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from exporter.config import load
from exporter.demo.shipped import FOLDER
from exporter.domain.errors import ConfigError, SourceError
from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.domain.settings import PlayedRecording, PowerSettings, Settings
from exporter.domain.units import Instant, Joules, Watts, later
from exporter.ledger.meter import Meter
from exporter.recording.entries import Readings
from exporter.recording.recorder import header
from exporter.recording.recording import Recording
from exporter.recording.source import CUT, DAMAGED, JOIN_SECONDS, OVER, RecordedSource
from tests.properties.tales import BEGIN
from tests.recording.recorded import lines, recorded, replayed, write_lines

GPU = Device("gpu0", "gpu", uuid="GPU-0123456789", model="NVIDIA H100", has_counter=True, limit_watts=700.0)
CPU = Device("cpu0", "cpu", has_counter=True, counter_range_joules=1_000.0)
ESTIMATE = Device("cpu0", "cpu", model="CPU (estimated)", method="estimated", power_window_seconds=0.1)
SHIPPED = FOLDER / "cpu.jsonl.gz"


class Time:
    """An instant that tests move, far from the recorded ones."""

    def __init__(self) -> None:
        self.now = Instant(2_000_000_000.25)

    def __call__(self) -> Instant:
        return self.now


def tape(path: Path, readings: Iterable[Reading], devices: Sequence[Device] = (GPU,)) -> Path:
    """A recording of these readings, advanced once a second."""
    advanced = BEGIN
    with recorded(path, devices=devices) as pipeline:
        for reading in readings:
            if reading.at - advanced >= 1.0:
                advanced = reading.at
                pipeline.advance(advanced)
            pipeline.receive_reading(reading)
        pipeline.advance(later(advanced, 1.0))
    return path


def counted(device: Device, joules: Sequence[float], seconds: float = 0.05) -> list[Reading]:
    return [CounterReading(device.name, later(BEGIN, seconds * n), Joules(one)) for n, one in enumerate(joules)]


def drawn(device: Device, watts: Sequence[float], seconds: float = 0.05) -> list[Reading]:
    return [PowerReading(device.name, later(BEGIN, seconds * n), Watts(one)) for n, one in enumerate(watts)]


def stepping(seconds: float, watts: float = 400.0, first: float = 8.0e6) -> list[float]:
    """An energy counter that steps every 100 ms, polled every 50 ms."""
    return [first + round(watts * 0.1 * (n // 2), 3) for n in range(round(seconds / 0.05))]


class Opener:
    """Opens sources, and closes them when a test is over."""

    def __init__(self) -> None:
        self.opened: list[RecordedSource] = []

    def __call__(
        self, path: Path, now: Time, *, loop: bool = False, gpus: tuple[str, ...] | None = None
    ) -> RecordedSource:
        played = PlayedRecording(str(path), loop)
        settings = PowerSettings(source=("recording",), recording=played, gpus="all" if gpus is None else gpus)
        self.opened.append(RecordedSource(settings, now))
        return self.opened[-1]


@pytest.fixture
def source() -> Iterator[Opener]:
    opener = Opener()
    yield opener
    for each in opener.opened:
        each.close()


def play(one: RecordedSource, now: Time, seconds: float, step: float = 0.07) -> list[Reading]:
    """All that it says in so much time, asked at a pace of our own."""
    said = list(one.read())
    for _ in range(round(seconds / step)):
        now.now = later(now.now, step)
        said += one.read()
    return said


def metered(readings: Iterable[Reading], device: Device) -> tuple[Meter, float]:
    meter = Meter(device)
    mine = [reading for reading in readings if reading.device == device.name]
    return meter, sum(segment.joules for reading in mine for segment in meter.receive(reading))


def values(readings: Iterable[Reading]) -> list[Reading]:
    return [reading for reading in readings if not isinstance(reading, ReadFailure)]


def test_what_was_said_is_said_again_as_fast_as_it_was_said(source: Opener, tmp_path: Path) -> None:
    said = drawn(GPU, [100.0, 200.0, 300.0])
    said.insert(2, ReadFailure("gpu0", later(BEGIN, 0.08), "gpu_is_lost"))
    now = Time()
    one, begin = source(tape(tmp_path / "r", said), now), now.now
    again = play(one, now, 0.14)
    assert [(type(reading), reading.at - begin) for reading in again] == [
        (type(reading), reading.at - BEGIN) for reading in said
    ]
    assert [reading.watts for reading in again if isinstance(reading, PowerReading)] == [100.0, 200.0, 300.0]
    assert [reading.reason for reading in again if isinstance(reading, ReadFailure)] == ["gpu_is_lost"]


def test_nothing_is_said_before_its_time_and_nothing_twice(source: Opener, tmp_path: Path) -> None:
    now = Time()
    one = source(tape(tmp_path / "r", drawn(GPU, [100.0] * 40)), now)
    assert len(one.read()) == 1
    assert one.read() == []
    now.now = later(now.now, 1.0)
    said = one.read()
    assert len(said) == 20
    assert max(reading.at for reading in said) <= now.now


def test_the_joules_are_those_of_the_recordings_own_books(source: Opener) -> None:
    now = Time()
    one = source(SHIPPED, now)
    _, joules = metered(play(one, now, 130.0, 0.053), one.devices[0])
    books = replayed(SHIPPED).snapshot(now.now).devices[0].metered_joules
    assert joules == pytest.approx(books, rel=1e-9)
    assert joules > 300.0


def test_so_they_are_where_a_counter_wraps_and_where_one_begins_anew(source: Opener, tmp_path: Path) -> None:
    up = stepping(20.0)
    fell = up[:200] + [joules - 8.0e6 for joules in up[200:]]
    wrapped = [joules % 1_000.0 for joules in up]
    path = tape(tmp_path / "r", sorted(counted(GPU, fell) + counted(CPU, wrapped), key=lambda one: one.at), (GPU, CPU))
    now = Time()
    one = source(path, now)
    said = play(one, now, 21.0)
    books = {view.device.name: view for view in replayed(path).snapshot(now.now).devices}
    for device in one.devices:
        meter, joules = metered(said, device)
        assert joules == pytest.approx(books[device.name].metered_joules, abs=0.01)
        assert meter.resets == books[device.name].counter_resets
    assert all(reading.joules >= 0.0 for reading in said if isinstance(reading, CounterReading))
    assert {device.counter_range_joules for device in one.devices} == {None}


def test_played_again_a_counter_goes_on_from_where_it_was(source: Opener, tmp_path: Path) -> None:
    up = stepping(10.0)
    wrapped = [joules % 1_000.0 for joules in up]
    path = tape(tmp_path / "r", sorted(counted(GPU, up) + counted(CPU, wrapped), key=lambda one: one.at), (GPU, CPU))
    now = Time()
    said = play(one := source(path, now, loop=True), now, 3 * 9.95, 0.05)
    for device in one.devices:
        counts = [
            reading.joules for reading in said if isinstance(reading, CounterReading) and reading.device == device.name
        ]
        rises = {round(after - before, 6) for before, after in pairwise(counts)}
        assert rises == {0.0, 40.0}
        assert counts[-1] == pytest.approx(3 * (up[-1] - up[0]))
        meter, joules = metered(said, device)
        assert meter.resets == meter.interpolated_joules == meter.lost_seconds == 0
        assert joules == pytest.approx(counts[-1] - 40.0)  # a meter cannot know the first step it sees


def test_played_again_power_adds_no_energy_that_is_not_on_the_tape(source: Opener, tmp_path: Path) -> None:
    path = tape(tmp_path / "r", drawn(GPU, [300.0] * 100 + [500.0] * 101))
    now, power = Time(), Device("gpu0", "gpu")
    said = play(source(path, now, loop=True), now, 30.05, 0.05)
    meter, joules = metered(said, power)
    _, once = metered(drawn(GPU, [300.0] * 100 + [500.0] * 101), power)
    assert joules == pytest.approx(3 * once, abs=0.002)
    assert meter.lost_seconds == 0.0


def test_from_round_to_round_instants_never_go_back(source: Opener, tmp_path: Path) -> None:
    now = Time()
    said = play(source(tape(tmp_path / "r", drawn(GPU, [1.0] * 25)), now, loop=True), now, 10.0)
    assert min(after.at - before.at for before, after in pairwise(said)) == JOIN_SECONDS
    assert len(said) > 200


def test_a_counter_that_fell_falls_in_every_round_and_joins_are_no_falls(source: Opener, tmp_path: Path) -> None:
    path = tape(tmp_path / "r", counted(GPU, [float(n) for n in (*range(500, 530), *range(20))]))
    now = Time()
    said = play(source(path, now, loop=True), now, 3 * 49 * 0.05, 0.05)
    counts = [reading.joules for reading in said if isinstance(reading, CounterReading)]
    falls = [(before, after) for before, after in pairwise(counts) if after < before]
    assert falls == [(29.0, 0.0), (48.0, 0.0), (48.0, 0.0)]


def test_after_a_restart_a_counter_that_begins_anew_is_a_reset_and_adds_only_what_it_then_counts(
    source: Opener, tmp_path: Path
) -> None:
    path = tape(tmp_path / "r", counted(GPU, stepping(10.0)))
    now = Time()
    before, _ = metered(play(one := source(path, now), now, 8.0, 0.05), one.devices[0])
    after = Meter(one.devices[0])
    after.restore(before.snapshot())
    now.now = later(now.now, 60.0)
    again = [segment for reading in play(source(path, now), now, 9.95, 0.05) for segment in after.receive(reading)]
    assert after.resets == 1
    assert 3_800.0 < sum(segment.joules for segment in again) <= 99 * 40.0
    assert after.lost_seconds > 59.0


def test_power_that_was_read_seldom_leaves_a_counted_gap_behind_a_join(source: Opener, tmp_path: Path) -> None:
    now, power = Time(), Device("gpu0", "gpu")
    said = play(source(tape(tmp_path / "r", drawn(GPU, [100.0] * 11, 2.0)), now, loop=True), now, 41.0, 0.5)
    meter, joules = metered(said, power)
    assert joules == pytest.approx(2 * 1_800.0, abs=0.001)  # a first interval of two seconds is a hole anywhere
    assert meter.lost_seconds == pytest.approx(2.0, abs=0.001)


def test_at_its_end_every_device_is_silent_and_says_why(
    source: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tape(tmp_path / "r", drawn(GPU, [100.0] * 40) + drawn(CPU, [5.0] * 40), (GPU, CPU))
    now = Time()
    one = source(path, now)
    assert len(values(play(one, now, 3.0))) == 80
    now.now = later(now.now, 0.1)
    assert one.read() == [ReadFailure("gpu0", now.now, OVER), ReadFailure("cpu0", now.now, OVER)]
    assert one._recording._file.closed
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"power.source recording has nothing more to say: {path} is over"
    ]


def test_what_was_cut_off_is_played_up_to_the_cut(
    source: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = tape(tmp_path / "r", drawn(GPU, [100.0] * 100))
    write_lines(tmp_path / "cut", lines(whole)[:-3])
    with Recording(tmp_path / "cut") as recording:
        known = sum(len(entry.readings) for entry in recording.entries() if isinstance(entry, Readings))
    now = Time()
    one = source(tmp_path / "cut", now)
    said = play(one, now, 6.0)
    assert len(values(said)) == known > 50
    assert said[-1] == ReadFailure("gpu0", now.now, CUT)
    assert "was cut off after line" in caplog.text
    now = Time()
    assert len(values(play(source(tmp_path / "cut", now, loop=True), now, 12.0))) > 2 * known


@pytest.mark.parametrize("loop", [False, True])
def test_what_is_damaged_is_played_up_to_the_damage_and_not_again(
    source: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, loop: bool
) -> None:
    whole = lines(tape(tmp_path / "r", drawn(GPU, [100.0] * 100)))
    write_lines(tmp_path / "bad", [*whole[:6], '["readings",0', *whole[7:]])
    now = Time()
    said = play(source(tmp_path / "bad", now, loop=loop), now, 12.0)
    assert 20 < len(values(said)) < 100
    assert said[-1] == ReadFailure("gpu0", now.now, DAMAGED)
    assert "bad, line 7: this is no line of a recording" in caplog.text


def test_a_file_that_became_another_is_not_played_on(
    source: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tape(tmp_path / "r", drawn(GPU, [100.0] * 40))
    now = Time()
    one = source(path, now, loop=True)
    play(one, now, 1.0)
    tape(path, drawn(CPU, [5.0] * 40), (CPU,))
    assert play(one, now, 2.0)[-1] == ReadFailure("gpu0", now.now, DAMAGED)
    assert "is another recording than it was" in caplog.text
    assert caplog.text.count("nothing more to say") == 1


def test_a_file_that_was_emptied_is_not_played_on(
    source: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tape(tmp_path / "r", drawn(GPU, [100.0] * 40))
    now = Time()
    one = source(path, now, loop=True)
    play(one, now, 1.0)
    write_lines(path, lines(path)[:1])
    assert play(one, now, 2.0)[-1] == ReadFailure("gpu0", now.now, DAMAGED)
    assert "holds no readings" in caplog.text


def test_a_round_ends_with_its_latest_reading_even_if_another_was_told_after_it(source: Opener, tmp_path: Path) -> None:
    with recorded(tmp_path / "r", devices=(GPU, CPU)) as pipeline:
        for reading in drawn(GPU, [100.0] * 41):
            pipeline.receive_reading(reading)
        pipeline.advance(later(BEGIN, 2.1))
        pipeline.receive_reading(PowerReading("cpu0", later(BEGIN, 1.9), Watts(5.0)))
        pipeline.advance(later(BEGIN, 2.2))
    now = Time()
    said = play(source(tmp_path / "r", now, loop=True), now, 6.0)
    of_gpu = [reading.at for reading in said if reading.device == "gpu0"]
    assert len(of_gpu) > 2 * 41
    assert all(after > before for before, after in pairwise(of_gpu))


def test_a_moment_is_not_played_over_and_over(source: Opener, tmp_path: Path) -> None:
    now = Time()
    said = play(source(tape(tmp_path / "r", drawn(GPU, [100.0] * 5)), now, loop=True), now, 2.0)
    assert len(values(said)) == 5
    assert isinstance(said[-1], ReadFailure)


def test_after_a_long_pause_no_call_says_it_all_and_nothing_is_lost(source: Opener, tmp_path: Path) -> None:
    path = tape(tmp_path / "r", drawn(GPU, [100.0] * 12_000, 0.01))
    now = Time()
    one = source(path, now)
    one.read()
    now.now = later(now.now, 3_600.0)
    first, rest = one.read(), one.read()
    assert len(first) == 10_000
    assert 1 + len(first) + len(rest) == 12_000


def test_the_file_is_read_as_it_is_played(source: Opener, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).uniform(100.0, 700.0, 30_000).tolist()
    path = tmp_path / "r"
    with recorded(path, devices=(GPU,)) as pipeline:
        for reading in drawn(GPU, noise, 0.01):
            pipeline.receive_reading(reading)
    assert path.stat().st_size > 2 * 65_536
    one = source(path, now := Time())
    play(one, now, 5.0, 0.5)
    assert one._recording.progress < 0.5


def test_what_several_sources_said_one_after_the_other_is_said_in_order(source: Opener, tmp_path: Path) -> None:
    said = [*drawn(GPU, [100.0] * 15), *drawn(CPU, [5.0] * 15)]
    now = Time()
    again = play(source(tape(tmp_path / "r", said, (GPU, CPU)), now), now, 0.7)
    assert [reading.at for reading in again] == sorted(reading.at for reading in again)
    assert [reading.device for reading in again[:4]] == ["gpu0", "cpu0", "gpu0", "cpu0"]


def test_nobody_takes_its_devices_for_measured_ones(source: Opener, tmp_path: Path) -> None:
    gpu, cpu = source(tape(tmp_path / "r", drawn(GPU, [1.0]), (GPU, ESTIMATE)), Time()).devices
    assert (gpu.method, gpu.model) == ("recorded", "NVIDIA H100 (recorded)")
    assert (cpu.method, cpu.model) == ("recorded", "CPU (estimated) (recorded)")
    with Recording(tmp_path / "r") as recording:
        wall, cores = recording.header.wall, recording.header.machine.cores
    assert gpu.origin.startswith(wall[:10])
    assert gpu.origin.endswith(f"{cores} cores")
    assert cpu.origin == f"{gpu.origin}; ESTIMATED then"


def test_a_recording_of_what_was_played_says_where_that_came_from(source: Opener, tmp_path: Path) -> None:
    played = source(tape(tmp_path / "r", drawn(GPU, [1.0])), Time()).devices
    assert source(tape(tmp_path / "again", drawn(GPU, [1.0]), played), Time()).devices == played


def test_only_gpus_that_are_meant_are_played(source: Opener, tmp_path: Path) -> None:
    other = Device("gpu1", "gpu", uuid="GPU-9876543210")
    path = tape(
        tmp_path / "r", drawn(GPU, [1.0] * 9) + drawn(other, [2.0] * 9) + drawn(CPU, [3.0] * 9), (GPU, other, CPU)
    )
    for selector in ("1", "gpu1", "GPU-98765432"):
        now = Time()
        one = source(path, now, gpus=(selector,))
        assert [device.name for device in one.devices] == ["gpu1", "cpu0"]
        assert {reading.device for reading in play(one, now, 0.35)} == {"gpu1", "cpu0"}
    with pytest.raises(SourceError, match=r"power\.gpus: '2' fits no GPU of the recording.*gpu0 GPU-0.*gpu1 GPU-9"):
        source(path, Time(), gpus=("1", "2"))


def test_a_file_that_cannot_be_played_is_refused_in_one_line_that_says_what_to_do(
    source: Opener, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no recording")
    tape(tmp_path / "silent", [])
    write_lines(tmp_path / "garbled", [*lines(tmp_path / "silent")[:1], "nonsense"])
    for name, problem in {
        "missing": "No such file",
        "text": "this is no recording",
        "silent": "holds no readings",
        "garbled": "line 2: this is no line of a recording",
    }.items():
        with pytest.raises(SourceError, match=problem) as refused:
            source(tmp_path / name, Time())
        assert str(refused.value).startswith("power.recording.path: ")
        assert "name a file that `record` made" in str(refused.value)
        assert "\n" not in str(refused.value)


def test_the_configuration_says_which_recording(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("power: {source: recording, recording: {path: r.jsonl.gz, loop: true}}")
    assert load(file, {}).power.recording == PlayedRecording("r.jsonl.gz", loop=True)
    file.write_text("power: {source: recording}")
    with pytest.raises(ConfigError, match=r"power\.recording\.path: name the recording to play"):
        load(file, {})


def test_where_a_recording_lies_stays_on_this_machine() -> None:
    settings = Settings(power=PowerSettings(source=("recording",), recording=PlayedRecording("/home/me/r", loop=True)))
    assert header(settings, (GPU,), BEGIN, {}).settings.power.recording == PlayedRecording(None, loop=True)
