"""Whatever bytes a log holds: no reader raises, every line is accounted for once, and little of it is kept.

The bytes take the way of real ones: through a followed file or a pipe, envelopes, and the feed that counts them.
"""

import json
import os
import re
import tempfile
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Heard, RequestEvent, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.feeds.logs import LogFeed
from exporter.requests.arrival import Arrival, Bounds
from exporter.requests.arrival.follow import Follower
from exporter.requests.arrival.pipe import Pipe
from exporter.requests.registry import READERS
from tests.contracts.test_request_reader_contract import CASES
from tests.properties import PROPERTIES
from tests.requests.arrival.arriving import write
from tests.requests.reasons import reasons
from tests.requests.replay import ALL_LOGS, LOGS, texts

NOW = Instant(1795305600.0)
STAMP = "2026-11-22T00:00:00.000000000Z"
SMALL = Bounds(poll_bytes=40_000, poll_lines=50, line_bytes=3_000)

every_reader = pytest.mark.parametrize(("name", "options"), CASES, ids=str)
SOME = settings(PROPERTIES, max_examples=12)

Options = Mapping[str, Any]

SPICE = (
    b"\0",
    b"\r",
    b"\xff\xfe",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    "\u2028\u2029\x85\x0b\x0c".encode(),
    b"\x1b[31m",
    b'"',
    b"\\",
    b"[{",
    b'{"log":"',
    b"9" * 400,
    b"[" * 1200,
    b" " * 4000,
)
"""Half characters, characters that some take for line ends, and the beginnings of things that never end."""


@cache
def recorded(name: str) -> tuple[bytes, ...]:
    files = (LOGS / log.name for log in ALL_LOGS if log.kind == name)
    return tuple(sorted({line[:5_000] for file in files for line in file.read_bytes().split(b"\n")}))


def lines_like(name: str) -> st.SearchStrategy[bytes]:
    real = st.sampled_from(recorded(name))
    spice = st.one_of(st.sampled_from(SPICE), st.binary(max_size=40))
    place = st.integers(0, 400)
    spiced = st.builds(lambda text, at, bits, skip: text[:at] + bits + text[at + skip :], real, place, spice, place)
    joined = st.builds(lambda one, at, other: one[:at] + other[at:], real, place, real)
    return st.one_of(real, spiced, joined, spice).map(lambda text: text.replace(b"\n", b""))


def logs_like(name: str) -> st.SearchStrategy[bytes]:
    ended = st.tuples(lines_like(name), st.sampled_from([b"\n", b"\r\n"])).map(b"".join)
    return st.lists(ended, max_size=25).map(b"".join)


def pieces(raw: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """Nobody looks right behind a bracket: there, a JSON array may be a whole line without its line end."""
    edges = sorted(cut for cut in cuts if raw[cut - 1 : cut] != b"]" and cut < len(raw))
    return (raw[begin:end] for begin, end in pairwise((0, *edges, len(raw))))


class Account:
    """What a feed says of a log, and what it told."""

    def __init__(self, name: str, options: Options, arrival: Arrival) -> None:
        self._feed = LogFeed("one", arrival, READERS[name].build(options, "UTC"))
        self._told: list[RequestEvent] = []

    def look(self) -> None:
        self._look()
        while self._feed.behind:
            self._look()

    def _look(self) -> None:
        self._told += (told.event for told in self._feed.poll(NOW, 0.0))

    def balances(self, lines: int) -> None:
        counted = self._feed.view().lines
        self._feed.close()
        assert sum(counted.values()) == lines
        assert {reason for _, reason in counted} <= reasons_known()
        for event in self._told:
            times = [getattr(event, key) for key in ("at", "start", "end") if hasattr(event, key)]
            assert all(map(isfinite, times))


@cache
def reasons_known() -> frozenset[str]:
    return frozenset(reasons()) | {""}


@contextmanager
def followed(name: str, options: Options, envelope: Any) -> Iterator[tuple[Path, Account]]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "server.log"
        path.touch()
        follower = Follower([str(path)], start_at="beginning", envelope=envelope, bounds=SMALL)
        yield path, Account(name, options, follower)


@every_reader
@SOME
@given(data=st.data(), cuts=st.lists(st.integers(1, 4_000), max_size=5))
def test_every_line_of_a_followed_file_is_accounted_for(
    name: str, options: Options, data: st.DataObject, cuts: list[int]
) -> None:
    raw = data.draw(logs_like(name))
    with followed(name, options, "none") as (path, account):
        for piece in pieces(raw, cuts):
            write(path, piece)
            account.look()
        account.balances(raw.count(b"\n"))


@every_reader
@SOME
@given(data=st.data(), cuts=st.lists(st.integers(1, 4_000), max_size=5))
def test_every_line_of_a_pipe_is_accounted_for_and_its_unended_last(
    name: str, options: Options, data: st.DataObject, cuts: list[int]
) -> None:
    raw = data.draw(logs_like(name)) + data.draw(lines_like(name))
    ours, theirs = os.pipe()
    account = Account(name, options, Pipe(ours, envelope="none", bounds=SMALL))
    for piece in pieces(raw, cuts):
        os.write(theirs, piece)
        account.look()
    os.close(theirs)
    account.look()
    os.close(ours)
    account.balances(raw.count(b"\n") + (not raw.endswith(b"\n") and raw != b""))


def cri(text: bytes, stream: str, tag: str) -> bytes:
    return f"{STAMP} {stream} {tag} ".encode() + text


def docker(text: bytes, stream: str, tag: str) -> bytes:
    log = text.decode("utf-8", "replace") + "\n" * (tag == "F")
    return json.dumps({"log": log, "stream": stream, "time": STAMP}, separators=(",", ":")).encode()


@every_reader
@pytest.mark.parametrize("wrap", [cri, docker])
@SOME
@given(data=st.data())
def test_every_line_in_envelopes_is_accounted_for_once_it_is_complete(
    name: str, options: Options, wrap: Any, data: st.DataObject
) -> None:
    text = lines_like(name).map(lambda text: text[:400])  # what is too long in its envelope is a lost piece
    piece = st.tuples(text, st.sampled_from(["stdout", "stderr"]), st.sampled_from("FFP"))
    written = [(b"", "stdout", "F"), *data.draw(st.lists(piece, max_size=25))]
    with followed(name, options, "auto") as (path, account):
        write(path, b"".join(wrap(*one) + b"\n" for one in written))
        account.look()
        account.balances(sum(tag == "F" for _, _, tag in written))


LONG = 16_384
MOST_KEPT = 128 * 1024
LONGEST_NAME = 1_024


def inflated(name: str, options: Options) -> Iterator[str]:
    """Recorded lines with one word or number grown to be as long as nobody's is, each time another one."""
    own = [log for log in ALL_LOGS if log.kind == name and (log.options == options or name != "jsonl")]
    different = {re.sub(r"[0-9a-f]{4,}|\d+", "0", text[:300]): text for log in own for text in texts(log)}
    for text in list(different.values())[:40]:
        words = list(re.finditer(r"\w+", text[:3_000]))
        for number, word in enumerate(words[:: max(1, len(words) // 30)]):
            more = f"{number}{text[:9]}" if not word[0].isdigit() else f"{number}0"
            yield text[: word.end()] + more * (LONG // len(more)) + text[word.end() :]


@every_reader
def test_what_is_kept_and_told_does_not_grow_with_what_is_read(name: str, options: Options) -> None:
    lines = [Line(text, NOW, NOW) for text in inflated(name, options)]
    other = READERS[name].build(options, "UTC")  # fills what is filled once, such as caches
    assert max((len(text) for text in _texts_told(map(other.feed, lines))), default=0) <= LONGEST_NAME
    reader = READERS[name].build(options, "UTC")
    tracemalloc.start()
    for line in lines:
        reader.feed(line)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < MOST_KEPT
    assert len(json.dumps(reader.snapshot())) < MOST_KEPT


def _texts_told(heard: Iterable[Heard]) -> Iterator[str]:
    for one in heard:
        for event in one.events if isinstance(one, Used) else ():
            yield from (value for value in asdict(event).values() if isinstance(value, str))
