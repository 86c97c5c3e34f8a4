"""Standard input is read as far as it goes, and never waited for."""

import os
from collections.abc import Iterator

import pytest

from exporter.domain.errors import ConfigError
from exporter.domain.units import Instant
from exporter.requests.arrival import Bounds
from exporter.requests.arrival.follow import Follower
from exporter.requests.arrival.opening import open_arrival
from exporter.requests.arrival.pipe import Pipe
from tests.requests.arrival.arriving import texts


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_an_empty_pipe_is_not_waited_for(ends: tuple[int, int]) -> None:
    reading, writing = ends
    pipe = Pipe(reading)
    assert pipe.poll(Instant(1.0), 0.0) == []
    assert pipe.caught_up_at == 1.0
    assert not pipe.ended
    os.close(writing)


def test_lines_come_between_two_polls(ends: tuple[int, int]) -> None:
    reading, writing = ends
    pipe = Pipe(reading)
    pipe.poll(Instant(1.0), 0.0)
    os.write(writing, b"a\nb\nha")
    lines = pipe.poll(Instant(2.0), 0.5)
    assert texts(lines) == ["a", "b"]
    assert {(line.not_before, line.not_after, line.wall_offset) for line in lines} == {(1.0, 2.0, 0.5)}
    os.write(writing, b"lf\n")
    assert texts(pipe.poll(Instant(3.0), 0.0)) == ["half"]
    os.close(writing)


def test_the_end_completes_the_half_line_and_is_remembered(ends: tuple[int, int]) -> None:
    reading, writing = ends
    pipe = Pipe(reading)
    os.write(writing, b"a\nlast")
    os.close(writing)
    assert texts(pipe.poll(Instant(1.0), 0.0)) == ["a", "last"]
    assert pipe.ended
    assert pipe.poll(Instant(2.0), 0.0) == []
    assert pipe.caught_up_at == 2.0


def test_a_backlog_is_worked_off_piece_by_piece(ends: tuple[int, int]) -> None:
    reading, writing = ends
    pipe = Pipe(reading, bounds=Bounds(poll_bytes=1))
    os.write(writing, b"x\n" * 30_000)
    lines = pipe.poll(Instant(1.0), 0.0)
    assert 0 < len(lines) < 30_000
    assert not pipe.caught_up
    assert pipe.caught_up_at is None
    while not pipe.caught_up:
        lines += pipe.poll(Instant(2.0), 0.0)
    assert len(lines) == 30_000
    assert pipe.tally.bytes == 60_000
    os.close(writing)


def test_envelopes_come_off(ends: tuple[int, int]) -> None:
    reading, writing = ends
    pipe = Pipe(reading)
    os.write(writing, b"2026-01-01T00:00:00Z stdout P a\n2026-01-01T00:00:00Z stdout F b\n")
    assert texts(pipe.poll(Instant(1.0), 0.0)) == ["ab"]
    os.close(writing)


def test_a_descriptor_that_is_closed_is_an_end_with_a_reason() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    os.close(reading)
    pipe = Pipe(reading)
    assert pipe.poll(Instant(1.0), 0.0) == []
    assert pipe.ended
    assert "cannot be read" in pipe.tally.problems["-"]


def test_a_dash_is_standard_input_and_anything_else_a_file() -> None:
    assert isinstance(open_arrival(["-"]), Pipe)
    assert isinstance(open_arrival(["/var/log/*.log"]), Follower)
    with pytest.raises(ConfigError, match="stands alone"):
        open_arrival(["-", "/var/log/*.log"])
