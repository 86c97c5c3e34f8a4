from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from exporter.completions.lines import Events, Lines

STREAMS = st.lists(
    st.sampled_from(
        [
            b"data: one",
            b"data:two",
            b"data:  three",
            b"event: x",
            b": comment",
            b"data",
            b"",
            b"data: \xff\xc3",
            b"x" * 40,
        ]
    )
    | st.binary(max_size=12),
    max_size=20,
).flatmap(
    lambda lines: st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=len(lines), max_size=len(lines)).map(
        lambda ends: b"".join(line + end for line, end in zip(lines, ends, strict=True))
    )
)


def chopped(text: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(places)] + [b""]


def heard(stream: Events | Lines, pieces: Sequence[bytes]) -> tuple[list[bytes], int]:
    found = [one for piece in pieces for one in stream.feed(piece)] + stream.end()
    return found, stream.dropped


@given(STREAMS, st.lists(st.integers(0, 300), max_size=30))
def test_chopping_changes_no_event(text: bytes, cuts: list[int]) -> None:
    assert heard(Events(), chopped(text, cuts)) == heard(Events(), [text])


@given(STREAMS, st.lists(st.integers(0, 300), max_size=30), st.integers(1, 60))
def test_chopping_changes_no_event_where_some_are_too_long(text: bytes, cuts: list[int], longest: int) -> None:
    assert heard(Events(longest), chopped(text, cuts)) == heard(Events(longest), [text])


@given(STREAMS, st.lists(st.integers(0, 300), max_size=30), st.integers(1, 60))
def test_chopping_changes_no_line(text: bytes, cuts: list[int], longest: int) -> None:
    assert heard(Lines(longest), chopped(text, cuts)) == heard(Lines(longest), [text])


@given(st.lists(st.binary(max_size=20).filter(lambda line: not {10, 13} & set(line)), max_size=10))
def test_lines_are_what_was_between_their_ends(lines: list[bytes]) -> None:
    assert heard(Lines(), [b"".join(line + b"\r\n" for line in lines)])[0] == lines


def test_an_event_is_its_lines_of_data_up_to_a_blank_one() -> None:
    text = b": hello\nevent: delta\nid: 7\ndata: {\ndata: }\n\nretry: 5\n\ndata:x\n\ndata: last"
    assert heard(Events(), [text])[0] == [b"{\n}", b"x", b"last"]


def test_events_come_as_soon_as_they_are_complete() -> None:
    events = Events()
    assert events.feed(b"data: 1\n") == []
    assert events.feed(b"\ndata: 2\r\r") == [b"1", b"2"]
    assert events.feed(b"\ndata: 3\r\n\r") == [b"3"]


def test_a_line_without_end_is_not_kept() -> None:
    lines = Lines(longest=1000)
    for _ in range(10_000):
        lines.feed(b"x" * 100)
    assert sum(len(part) for part in lines._parts) == 1001
    assert lines.feed(b"\nshort\n") == [b"short"]
    assert lines.dropped == 1


def test_a_letter_that_is_cut_comes_out_whole() -> None:
    text = "data: für €\n\n".encode()
    assert heard(Events(), [bytes([byte]) for byte in text])[0] == ["für €".encode()]


def test_an_event_of_endless_lines_is_not_kept() -> None:
    events = Events(longest=1000)
    for _ in range(1_000):
        events.feed(b"data: " + b"x" * 100 + b"\n")
    assert sum(len(data) for data in events._data) <= 1000
    assert events.feed(b"\ndata: y\n\n") == [b"y"]
    assert events.dropped == 1
