"""A log is bounded, rotates as logs do, and loses only what it is told to lose."""

from pathlib import Path
from random import Random

from exporter.domain.units import Instant
from exporter.requests.arrival.opening import open_arrival
from exporter.simulate.logfile import LogFile


def a_log(tmp_path: Path, *, limit_bytes: int = 1 << 20) -> LogFile:
    return LogFile(tmp_path / "server" / "a.log", Random(1), limit_bytes=limit_bytes)  # noqa: S311 - repeatable


def test_it_grows_no_larger_than_its_bound_and_one_old_file_is_kept(tmp_path: Path) -> None:
    log = a_log(tmp_path, limit_bytes=1000)
    for number in range(1000):
        log.write([f"line {number}"])
    log.close()
    sizes = {path.name: path.stat().st_size for path in log.path.parent.iterdir()}
    assert sizes.keys() == {"a.log", "a.log.1"}
    assert max(sizes.values()) < 1020
    assert log.path.read_text().splitlines()[-1] == "line 999"


def test_a_follower_reads_every_line_across_both_ways_of_rotation(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    follower = open_arrival([str(log.path)], start_at="beginning")
    read: list[str] = []
    for number in range(40):
        log.write([f"line {number}"])
        read += [line.text for line in follower.poll(Instant(1e9 + number), 0.0)]
        if number % 10 == 9:
            log.rotate("rename" if number % 20 == 9 else "copy and truncate")
    log.close()
    assert read == [f"line {number}" for number in range(40)]


def test_a_log_goes_on_where_it_was_left(tmp_path: Path) -> None:
    for text in ("one", "two"):
        log = a_log(tmp_path)
        log.write([text])
        log.close()
    assert log.path.read_text() == "one\ntwo\n"


def test_only_while_it_is_told_to_are_lines_lost(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    for loss in (0.0, 0.5, 0.0):
        log.loss = loss
        log.write(f"{loss}" for _ in range(400))
    log.close()
    lines = log.path.read_text().splitlines()
    assert lines.count("0.0") == 800
    assert 150 < lines.count("0.5") < 250
