"""However a log is chopped, by the looks at it, by rotations, by its container runtime: it tells the same.

The clock stands still here: every look is at one instant, after all stamps in the logs. So the moment of reading, which
for some logs is the only clock, is the same however the text comes, and what is told must be equal to the last bit.
Only the last test lets the clock run: then instants may differ by what is not known of them, and nothing else may.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Counted, FirstToken, RequestEvent, ServerRestarted, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.feeds.logs import LogFeed
from exporter.requests.arrival import Arrival
from exporter.requests.arrival.envelope import EnvelopeDecoder
from exporter.requests.arrival.opening import open_arrival
from exporter.requests.arrival.pipe import Pipe
from tests.properties import PROPERTIES
from tests.requests.arrival.arriving import write
from tests.requests.replay import ALL_LOGS, LOGS, Log, texts, written

NOW = Instant(1795305600.0)
STAMP = "2026-11-22T00:00:00.000000000Z"  # the same, after every log here
BARE_LOGS = tuple(log for log in ALL_LOGS if log.envelope == "none")
SOME = settings(PROPERTIES, max_examples=6)
FEW = settings(PROPERTIES, max_examples=3)

every_log = pytest.mark.parametrize("log", ALL_LOGS, ids=lambda log: log.name)

Cut = tuple[int, str]
"""Where the writer pauses, and what happens then."""


# What is written


def raw_of(log: Log) -> bytes:
    raw = (LOGS / log.name).read_bytes()
    return raw if raw.endswith(b"\n") else raw + b"\n"


def lines_of(log: Log) -> tuple[str, ...]:
    return texts(log) if texts(log)[-1] else texts(log)[:-1]


Wrap = Callable[[str, str, str], str]
"""What a container runtime makes of a piece of a line: its text, its stream, and the line end after it or nothing."""


def cri(text: str, stream: str, end: str) -> str:
    return f"{STAMP} {stream} {'F' if end else 'P'} {text}\n"


def docker(text: str, stream: str, end: str) -> str:
    return json.dumps({"log": text + end, "stream": stream, "time": STAMP}, separators=(",", ":")) + "\n"


def wrapped(log: Log, wrap: Wrap, rng: Random) -> bytes:
    """Lines in pieces, every other line on standard error; a line may begin before the one before it has ended."""
    out: list[str] = []
    end_of_last: list[str] = []
    for number, text in enumerate(lines_of(log)):
        stream = ("stdout", "stderr")[number % 2]
        *pieces, last = pieces_of(text, rng)
        early = rng.randrange(len(pieces) + 1)
        out += (wrap(piece, stream, "") for piece in pieces[:early])
        out += end_of_last
        out += (wrap(piece, stream, "") for piece in pieces[early:])
        end_of_last = [wrap(last, stream, "\n")]
    return "".join(out + end_of_last).encode()


def pieces_of(text: str, rng: Random) -> list[str]:
    edges = sorted(rng.randrange(len(text) + 1) for _ in range(rng.choice((0, 0, 1, 4))))
    return [text[begin:end] for begin, end in pairwise((0, *edges, len(text)))]


def cuts_of(raw: bytes) -> st.SearchStrategy[list[Cut]]:
    """Cuts anywhere; more often than by chance inside characters and between the two bytes of a line end."""
    delicate = [at for at in range(1, len(raw)) if raw[at] & 0xC0 == 0x80 or raw[at - 1 : at + 1] == b"\r\n"]
    anywhere = st.integers(0, len(raw))
    at = st.one_of(anywhere, st.sampled_from(delicate)) if delicate else anywhere
    return st.lists(st.tuples(at, st.sampled_from(["look", "look", "rotate", "truncate"])), max_size=8).map(sorted)


# How it is read


class Reading:
    """An exporter that reads one log."""

    def __init__(self, arrival: Arrival, log: Log) -> None:
        self._feed = LogFeed("one", arrival, log.reader())
        self.told: list[RequestEvent] = []

    def look(self, now: Instant = NOW) -> None:
        self._look(now)
        while self._feed.behind:
            self._look(now)

    def _look(self, now: Instant) -> None:
        self.told += (told.event for told in self._feed.poll(now, 0.0))

    def close(self) -> None:
        self._feed.close()


@contextmanager
def following(log: Log) -> Iterator[tuple[Path, Reading]]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "server.log"
        path.touch()
        reading = Reading(open_arrival([str(path)], start_at="beginning"), log)
        yield path, reading
        reading.close()


def told_in_pieces(log: Log, raw: bytes, cuts: Sequence[Cut]) -> list[RequestEvent]:
    with following(log) as (path, reading):
        reading.look()
        begin = 0
        for number, (cut, happens) in enumerate(cuts):
            end = max(begin, cut if happens == "look" else end_of_line(raw, max(cut, begin)))
            write(path, raw[begin:end])
            begin = end
            reading.look()
            if happens == "rotate":
                path.rename(path.with_suffix(f".{number}"))
                path.touch()
            elif happens == "truncate":
                path.write_bytes(b"")
                reading.look()
        write(path, raw[begin:])
        reading.look()
        return reading.told


def end_of_line(raw: bytes, at: int) -> int:
    newline = raw.find(b"\n", at)
    return len(raw) if newline < 0 else newline + 1


def told_through_a_pipe(log: Log, raw: bytes, cuts: Sequence[Cut]) -> list[RequestEvent]:
    ours, theirs = os.pipe()
    try:
        reading = Reading(Pipe(ours), log)
        reading.look()
        for begin, end in pairwise((0, *(cut for cut, _ in cuts), len(raw))):
            for at in range(begin, end, 1 << 15):
                os.write(theirs, raw[at : min(at + (1 << 15), end)])
                reading.look()
    finally:
        os.close(theirs)
    reading.look()
    os.close(ours)
    return reading.told


@cache
def told_at_once(log: Log, envelope: Instant | None = None) -> list[RequestEvent]:
    """By the reader alone, from whole lines."""
    reader, decoder = log.reader(), EnvelopeDecoder(log.envelope)
    lines = [decoder.feed(Line(text, NOW, NOW, 0.0, envelope)) for text in texts(log)]
    heard = [reader.feed(line) for line in lines if isinstance(line, Line)]
    return [event for one in heard if isinstance(one, Used) for event in one.events]


@every_log
@SOME
@given(data=st.data(), line_end=st.sampled_from([b"\n", b"\r\n"]))
def test_looks_and_rotations_anywhere_change_nothing(log: Log, data: st.DataObject, line_end: bytes) -> None:
    raw = raw_of(log).replace(b"\r\n", b"\n").replace(b"\n", line_end)
    assert told_in_pieces(log, raw, data.draw(cuts_of(raw))) == told_at_once(log)


@every_log
@FEW
@given(data=st.data())
def test_a_pipe_says_what_a_file_says(log: Log, data: st.DataObject) -> None:
    raw = raw_of(log)
    assert told_through_a_pipe(log, raw, data.draw(cuts_of(raw))) == told_at_once(log)


@pytest.mark.parametrize("log", BARE_LOGS, ids=lambda log: log.name)
@pytest.mark.parametrize("wrap", [cri, docker])
@FEW
@given(data=st.data(), rng=st.randoms(use_true_random=True))
def test_envelopes_with_interleaved_streams_change_nothing(
    log: Log, wrap: Wrap, data: st.DataObject, rng: Random
) -> None:
    raw = wrapped(log, wrap, rng)
    assert told_in_pieces(log, raw, data.draw(cuts_of(raw))) == told_at_once(log, NOW)


# What may depend on the moments of reading

TIMED_LOGS = tuple(log for log in BARE_LOGS if log.truth)
"""Logs of which it is known when each line was written; made-up times would contradict the stamps in the others."""
INSTANTS = {"at": "uncertainty", "start": "start_uncertainty", "end": "end_uncertainty"}
UNSURE = {*INSTANTS, *INSTANTS.values(), "first_token", "queued_seconds"}


def told_live(log: Log, cuts: Sequence[int]) -> list[RequestEvent]:
    """Looked at when the lines before each cut had just been written, and at the end."""
    times, lines = written(log), lines_of(log)
    with following(log) as (path, reading):
        reading.look(Instant(times[0] - 1.0))
        for begin, end in pairwise((0, *cuts, len(lines))):
            write(path, "".join(f"{text}\n" for text in lines[begin:end]))
            reading.look(Instant(times[max(end - 1, 0)] + 0.01))
        # Where only the reading tells times, the first token is told if it came at another look than the start.
        return [event for event in reading.told if not isinstance(event, FirstToken)]


def what(event: RequestEvent) -> dict[str, Any]:
    return {"": type(event), **{key: value for key, value in asdict(event).items() if key not in UNSURE}}


def contradiction(one: RequestEvent, other: RequestEvent) -> float:
    """Seconds between what two events hold possible. A count and a restart say only when they were heard of."""
    if isinstance(one, Counted | ServerRestarted):
        return 0.0
    return max(
        abs(float(getattr(one, key)) - float(getattr(other, key)))
        - float(getattr(one, unsure) + getattr(other, unsure))
        for key, unsure in INSTANTS.items()
        if hasattr(one, key)
    )


@pytest.mark.parametrize("log", TIMED_LOGS, ids=lambda log: log.name)
@FEW
@given(data=st.data())
def test_seldom_looks_tell_the_same_requests_with_wider_instants(log: Log, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(lines_of(log))), max_size=20).map(sorted))
    often, once = told_live(log, cuts), told_live(log, [])
    assert [what(event) for event in often] == [what(event) for event in once]
    assert max(map(contradiction, often, once), default=0.0) < 0.001
