"""Real logs in the envelopes of container runtimes: the same lines, better placed in time."""

import json
from collections import Counter
from math import inf
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from exporter.domain.events import Counted, Ended, RequestEvent, ServerRestarted, Started, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.arrival.envelope import EnvelopeDecoder, EnvelopeKind
from exporter.requests.arrival.splitting import LineSplitter
from exporter.requests.parts.stamps import ENVELOPE_UNCERTAINTY_SECONDS
from exporter.requests.registry import READERS
from tests.requests.arrival.api_server import SECOND, Pod, stamp_text
from tests.requests.arrival.following import following, served

LOGS = Path(__file__).parent.parent / "logs"
LATER = Instant(1_795_300_000.0)
PAIRS = {
    "llama-server-b7079.docker.log": ("llama-server-via-xllamacpp-0.2.6.log", "llamacpp"),
    "vllm-0.11.0-cpu-log-requests.docker.log": ("vllm-0.11.0-cpu-log-requests.log", "vllm"),
    "vllm-0.32.0-cpu-log-requests.cri.log": ("vllm-0.32.0-cpu-log-requests.log", "vllm"),
    "sglang-0.5.23-driver-limit2048.cri.log": ("sglang-0.5.23-driver.log", "sglang"),
}
VLLM = [name for name in PAIRS if name.startswith("vllm")]


def _bare(name: str) -> list[Line]:
    texts = (LOGS / name).read_bytes().decode("utf-8", "replace").removesuffix("\n").split("\n")
    return [Line(text.removesuffix("\r"), Instant(-inf), LATER) for text in texts]


def _unwrapped(name: str) -> list[Line]:
    decoder = EnvelopeDecoder()
    heard = [decoder.feed(line) for line in _bare(name)]
    return [line for line in heard if isinstance(line, Line)]


def _events(lines: list[Line], kind: str) -> list[RequestEvent]:
    reader = READERS[kind].build({}, "UTC")
    return [event for heard in map(reader.feed, lines) if isinstance(heard, Used) for event in heard.events]


@pytest.mark.parametrize("name", PAIRS)
def test_a_log_comes_out_of_its_envelopes_as_it_went_in(name: str) -> None:
    unwrapped = _unwrapped(name)
    assert [line.text for line in unwrapped] == [line.text for line in _bare(PAIRS[name][0])]
    assert all(line.envelope is not None for line in unwrapped)


@pytest.mark.parametrize("name", VLLM)
def test_envelopes_place_lines_of_whole_seconds_within_a_millisecond(name: str) -> None:
    bare, kind = PAIRS[name]
    vague = [event for event in _events(_bare(bare), kind) if isinstance(event, Started | Ended)]
    sharp = [event for event in _events(_unwrapped(name), kind) if isinstance(event, Started | Ended)]
    assert [(type(event), event.id) for event in sharp] == [(type(event), event.id) for event in vague]
    assert {event.uncertainty for event in vague} == {0.5}
    assert {event.uncertainty for event in sharp} == {ENVELOPE_UNCERTAINTY_SECONDS}


def test_envelopes_place_requests_of_a_log_that_has_no_time_at_all() -> None:
    name = "llama-server-b7079.docker.log"
    bare, kind = PAIRS[name]
    assert {type(event) for event in _events(_bare(bare), kind)} == {ServerRestarted, Counted}
    placed = [event for event in _events(_unwrapped(name), kind) if isinstance(event, Ended)]
    assert len(placed) == 8
    assert {event.uncertainty for event in placed} <= {ENVELOPE_UNCERTAINTY_SECONDS}


@pytest.mark.parametrize("name", VLLM)
async def test_over_the_kubernetes_api_a_log_says_what_it_says_in_envelopes(name: str) -> None:
    unwrapped = _unwrapped(name)
    async with served() as server, following(server) as one:
        server.piece = 5000
        server.cuts.extend([20_000, 50_000, 90_000])
        pod = server.pods["llm"] = Pod()
        for line in unwrapped:
            assert line.envelope is not None
            pod.write(round(line.envelope * 1e6) * (SECOND // 1_000_000), line.text)
        await one.until_lines(len(unwrapped))
        assert one.texts == [line.text for line in unwrapped]
        read = [line._replace(not_before=Instant(-inf), not_after=LATER) for line in one.lines]
        assert _events(read, PAIRS[name][1]) == _events(unwrapped, PAIRS[name][1])


# Pieces


def _cri(stream: str, piece: str, *, last: bool) -> str:
    return f"{stamp_text(1_767_268_800 * SECOND)} {stream} {'F' if last else 'P'} {piece}\n"


def _docker(stream: str, piece: str, *, last: bool) -> str:
    record = {"log": piece + "\n" * last, "stream": stream, "time": stamp_text(1_767_268_800 * SECOND)}
    return json.dumps(record, separators=(",", ":")) + "\n"


WRITERS = {"cri": _cri, "docker": _docker}
WORDS = st.text(st.characters(exclude_characters="\n\r\0", codec="utf-8"), max_size=12)
STREAM = st.lists(st.lists(WORDS, min_size=1, max_size=4), max_size=6)


@st.composite
def _interleaved(draw: st.DrawFn) -> tuple[list[tuple[str, str, bool]], list[str]]:
    """Pieces of both streams in any order that keeps each stream's own, and the lines in the order of their ends."""
    left = {
        name: [(piece, at == len(line) - 1, "".join(line)) for line in draw(STREAM) for at, piece in enumerate(line)]
        for name in ("stdout", "stderr")
    }
    pieces, lines = [], []
    while any(left.values()):
        name = draw(st.sampled_from([name for name, rest in left.items() if rest]))
        piece, last, line = left[name].pop(0)
        pieces.append((name, piece, last))
        lines += [line] if last else []
    return pieces, lines


@settings(deadline=None, max_examples=150)
@given(_interleaved(), st.sampled_from(["cri", "docker"]), st.lists(st.integers(1, 60)))
def test_pieces_of_both_streams_are_whole_lines_again_however_the_bytes_are_chopped(
    told: tuple[list[tuple[str, str, bool]], list[str]], kind: EnvelopeKind, sizes: list[int]
) -> None:
    pieces, lines = told
    raw = "".join(WRITERS[kind](stream, piece, last=last) for stream, piece, last in pieces).encode()
    decoder, splitter = EnvelopeDecoder(kind), LineSplitter(1 << 20, Counter())
    read, at = [], 0
    for size in [*sizes, len(raw)]:
        for text in splitter.feed(raw[at : at + size]):
            line = decoder.feed(Line(text, Instant(0.0), Instant(1.0)))
            read += [line.text] if isinstance(line, Line) else []
        at += size
    assert read == lines
    assert not decoder.joining
