"""Envelopes come off, and what is in none passes untouched."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from exporter.domain.events import Dropped
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.arrival.envelope import EnvelopeDecoder, EnvelopeKind

STAMP = "2026-01-01T12:00:00.123456789Z"
SECONDS = 1767268800.123456


def _line(text: str, wall_offset: float | None = 0.0) -> Line:
    return Line(text, Instant(1.0), Instant(2.0), wall_offset)


def _docker(log: str, stream: str = "stdout", **more: object) -> str:
    return json.dumps({"log": log, "stream": stream, **more, "time": STAMP}, separators=(",", ":"))


def _texts(decoder: EnvelopeDecoder, *texts: str) -> list[str]:
    heard = [decoder.feed(_line(text)) for text in texts]
    return [line.text for line in heard if isinstance(line, Line)]


def test_a_cri_line_says_when_the_runtime_read_it() -> None:
    line = EnvelopeDecoder().feed(_line(f"{STAMP} stdout F INFO: hello  world", wall_offset=10.0))
    assert isinstance(line, Line)
    assert line.text == "INFO: hello  world"
    assert line.envelope == pytest.approx(SECONDS + 10.0, abs=1e-6)
    assert (line.not_before, line.not_after, line.wall_offset) == (1.0, 2.0, 10.0)


@pytest.mark.parametrize("stamp", ["2026-01-01T13:00:00.123456789+01:00", "2026-01-01T06:30:00.123456-05:30"])
def test_a_cri_stamp_may_have_a_zone(stamp: str) -> None:
    line = EnvelopeDecoder().feed(_line(f"{stamp} stderr F x"))
    assert isinstance(line, Line)
    assert line.envelope == pytest.approx(SECONDS, abs=1e-6)


def test_while_the_wall_clock_is_being_set_the_runtimes_stamp_is_not_trusted() -> None:
    line = EnvelopeDecoder().feed(_line(f"{STAMP} stdout F x", wall_offset=None))
    assert isinstance(line, Line)
    assert line.text == "x"
    assert line.envelope is None


def test_cri_pieces_are_joined_stream_by_stream() -> None:
    pieces = [f"{STAMP} stdout P a", f"{STAMP} stderr P 1", f"{STAMP} stdout P b", f"{STAMP} stderr F 2"]
    decoder = EnvelopeDecoder()
    assert _texts(decoder, *pieces) == ["12"]
    assert decoder.joining
    assert _texts(decoder, f"{STAMP} stdout F c") == ["abc"]
    assert not decoder.joining


def test_a_cri_line_may_be_empty() -> None:
    assert _texts(EnvelopeDecoder(), f"{STAMP} stdout F ", f"{STAMP} stdout F") == ["", ""]


def test_a_docker_line_says_when_the_runtime_read_it() -> None:
    line = EnvelopeDecoder().feed(_line(_docker('say "hi"\n', attrs={"tag": "x"})))
    assert isinstance(line, Line)
    assert line.text == 'say "hi"'
    assert line.envelope == pytest.approx(SECONDS, abs=1e-6)


def test_docker_pieces_are_joined_stream_by_stream() -> None:
    pieces = [_docker("a"), _docker("x\r\n", "stderr"), _docker("b\n")]
    assert _texts(EnvelopeDecoder(), *pieces) == ["x", "ab"]


def test_a_line_whose_pieces_are_too_many_is_dropped_and_the_next_is_not() -> None:
    decoder = EnvelopeDecoder(longest=10)
    for _ in range(100):
        assert decoder.feed(_line(f"{STAMP} stdout P 12345")) is None
    assert decoder.feed(_line(f"{STAMP} stdout F end")) == Dropped("line_too_long")
    assert _texts(decoder, f"{STAMP} stdout F next") == ["next"]


def test_a_line_without_the_envelope_of_the_others_passes_untouched() -> None:
    decoder = EnvelopeDecoder()
    assert _texts(decoder, f"{STAMP} stdout F a", "garbage", f"{STAMP} stdout F b") == ["a", "garbage", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "INFO: plain",
        '{"log":"my message","level":"info"}',
        '{"log":"my message","stream":"stdout"}',
        '{"log":"my message","stream":"audit","time":"2026-01-01T12:00:00Z"}',
        '{"log":"my message","stream":"stdout","time":"noon"}',
        '{"log":"my message","stream":"stdout","time":"2026-01-01T12:00:00Z","level":"info"}',
        '{"log":{"a":1},"stream":"stdout","time":"2026-01-01T12:00:00Z"}',
        '{"log":"torn',
        '{"log":"deep","stream":' + "[" * 100_000,
        f"{STAMP} stdout X not ours",
        f"{STAMP} stdin F not ours",
        f"{STAMP} INFO F not ours",
    ],
)
def test_a_log_that_only_resembles_an_envelope_passes_untouched(text: str) -> None:
    decoder = EnvelopeDecoder()
    assert _texts(decoder, *[text] * 20) == [text] * 20
    assert decoder.kind == "none"


def test_a_few_lines_before_the_first_envelope_do_not_decide() -> None:
    decoder = EnvelopeDecoder()
    assert _texts(decoder, "torn rest of a line", f"{STAMP} stdout F a") == ["torn rest of a line", "a"]


@pytest.mark.parametrize("kind", ["none", "cri", "docker"])
def test_a_kind_that_is_given_is_kept(kind: EnvelopeKind) -> None:
    decoder = EnvelopeDecoder(kind)
    for text in ("plain", f"{STAMP} stdout F a", _docker("a\n")):
        decoder.feed(_line(text))
    assert decoder.kind == kind


@settings(deadline=None)
@given(st.lists(st.text()), st.sampled_from(["auto", "none", "cri", "docker"]))
def test_nothing_raises_and_plain_text_comes_out_as_it_went_in(texts: list[str], kind: EnvelopeKind) -> None:
    assert _texts(EnvelopeDecoder(kind), *texts) == texts


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.lists(st.text("abc ", max_size=9), min_size=1))))
def test_lines_cut_into_pieces_are_whole_again(lines: list[tuple[str, list[str]]]) -> None:
    wrapped = [
        f"{STAMP} {stream} {'F' if at == len(pieces) - 1 else 'P'} {piece}"
        for stream, pieces in lines
        for at, piece in enumerate(pieces)
    ]
    assert _texts(EnvelopeDecoder("cri"), *wrapped) == ["".join(pieces) for _, pieces in lines]
