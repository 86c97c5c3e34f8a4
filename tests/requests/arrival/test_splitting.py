"""The same bytes are the same lines, however they are chopped."""

from collections import Counter
from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import given, settings

from exporter.requests.arrival.splitting import LineSplitter

_STREAMS = st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"bc", b"\xe2\x98\x83", b"\xe2\x98", b"\xff", b"\0"]))


def _chopped(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@settings(deadline=None)
@given(_STREAMS.map(b"".join), st.lists(st.integers(0, 10_000)), st.integers(1, 12))
def test_pieces_do_not_matter(stream: bytes, cuts: list[int], longest: int) -> None:
    dropped: Counter[str] = Counter()
    splitter = LineSplitter(longest, dropped)
    lines = [line for piece in _chopped(stream, cuts) for line in splitter.feed(piece)]
    raw = stream.split(b"\n")[:-1]
    short = [line for line in raw if len(line) <= longest]
    assert lines == [line.decode("utf-8", "replace").removesuffix("\r").lstrip("\0") for line in short]
    assert dropped["line_too_long"] == len(raw) - len(short)
    assert splitter.returned == stream.rfind(b"\n") + 1
    assert splitter.taken == len(stream)


def test_the_end_of_the_stream_completes_the_half_line() -> None:
    splitter = LineSplitter(100, Counter())
    assert splitter.feed(b"a\nb") == ["a"]
    assert splitter.flush() == ["b"]
    assert splitter.flush() == []


def test_memory_is_bounded_however_long_the_line() -> None:
    splitter = LineSplitter(1000, Counter())
    for _ in range(1000):
        assert splitter.feed(b"x" * 900) == []
        assert sum(map(len, splitter._half)) <= 1000
    assert splitter.feed(b"\nb\n") == ["b"]
