import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.units import Instant
from exporter.gateway.reading import WHOLE_BYTES, PlainReading, Reading, Trust, Unread, has_content, reading_for

SSE = "text/event-stream; charset=utf-8"


def dumped(body: Any) -> bytes:
    return json.dumps(body).encode()


def stream(*bodies: Any) -> list[bytes]:
    return [b"data: " + (one if isinstance(one, bytes) else dumped(one)) + b"\n\n" for one in bodies]


def chat(**delta: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
        "usage": None,
    }


def read(reading: Reading, pieces: Sequence[bytes]) -> Reading:
    for second, piece in enumerate(pieces):
        reading.feed(piece, Instant(second))
    reading.end(Instant(len(pieces)))
    return reading


CONTENT = [
    chat(content="Hi"),
    chat(content="\n"),
    chat(content='"'),
    chat(reasoning_content="Hm"),
    chat(reasoning="Hm"),
    chat(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]),
    chat(function_call={"name": "f"}),
    {"choices": [{"text": "Hi"}]},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}},
    {"type": "response.output_text.delta", "delta": "Hi"},
    {"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": False},
    {"model": "m", "response": "Hi", "done": False},
    {"content": "Hi", "stop": False},
    {"token": {"id": 4, "text": " Hi", "special": False}, "generated_text": None},
    {"model_name": "m", "text_output": "Hi"},
]
NO_CONTENT = [
    chat(role="assistant", content=""),
    chat(role="assistant", content=None),
    chat(tool_calls=[]),
    chat(),
    {"choices": [], "usage": {"prompt_tokens": 1}},
    {"type": "message_start", "message": {"content": [], "usage": {}}},
    {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "response.created", "response": {"id": "resp_1", "text": {"format": {"type": "text"}}}},
    {"type": "response.output_text.done", "text": "Hi"},
    {"type": "response.completed", "response": {"output": [{"content": [{"type": "output_text", "text": "Hi"}]}]}},
    {"content": "", "stop": True, "prompt": 'say "content":"x"'},
]


@pytest.mark.parametrize("body", CONTENT, ids=str)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_content_is_seen(body: Any, separators: tuple[str, str]) -> None:
    assert has_content(json.dumps(body, separators=separators).encode())


@pytest.mark.parametrize("body", NO_CONTENT, ids=str)
def test_what_is_no_content_is_not(body: Any) -> None:
    assert not has_content(dumped(body))


def test_done_is_no_content() -> None:
    assert not has_content(b"[DONE]")


def test_a_stream_tells_its_first_token_its_pieces_and_its_bill() -> None:
    pieces = stream(
        chat(role="assistant", content=""),
        chat(content="H"),
        chat(content="i"),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}},
        b"[DONE]",
    )
    heard = read(reading_for(SSE, ""), pieces)
    assert (heard.first, heard.pieces, heard.dropped) == (1.0, 2, 0)
    assert (heard.bill.id, heard.bill.model, heard.bill.prompt_tokens, heard.bill.output_tokens) == (
        "chatcmpl-1",
        "m",
        9,
        2,
    )


def test_ollama_streams_lines_of_json() -> None:
    lines = [
        {"model": "m", "response": "H", "done": False},
        {"model": "m", "response": "", "done": True, "eval_count": 1},
    ]
    heard = read(reading_for("application/x-ndjson", ""), [dumped(line) + b"\n" for line in lines])
    assert (heard.first, heard.pieces, heard.bill.output_tokens, heard.bill.model) == (0.0, 1, 1, "m")


@given(st.lists(st.sampled_from([*CONTENT, *NO_CONTENT]), max_size=8), st.lists(st.integers(0, 2000), max_size=20))
def test_chopping_changes_nothing_but_when(bodies: list[Any], cuts: list[int]) -> None:
    text = b"".join(stream(*bodies))
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    pieces = [text[a:b] for a, b in pairwise(places)]
    chopped, whole = read(reading_for(SSE, ""), pieces), read(reading_for(SSE, ""), [text])
    assert (chopped.bill, chopped.pieces) == (whole.bill, whole.pieces)
    assert (chopped.first is None) == (whole.first is None)


@given(st.lists(st.binary(max_size=60) | st.sampled_from(stream(*CONTENT[:4], b"{", b"[" * 100_000)), max_size=8))
def test_no_stream_hurts(pieces: list[bytes]) -> None:
    for kind in (SSE, "application/x-ndjson", "application/json", "text/html"):
        read(reading_for(kind, ""), pieces)


def test_an_answer_in_one_piece_is_read_at_its_end() -> None:
    body = dumped({"id": "cmpl-1", "model": "m", "usage": {"prompt_tokens": 9, "completion_tokens": 4}})
    heard = read(reading_for("application/json", ""), [body[:20], body[20:]])
    assert (heard.bill.id, heard.bill.model, heard.bill.output_tokens, heard.first) == ("cmpl-1", "m", 4, None)


@pytest.mark.parametrize("spare", [-1, 0, 1, 100_000, 5_000_000])
def test_of_a_long_answer_the_edges_are_read(spare: int) -> None:
    frame = {"id": "embd-1", "model": "m", "data": [], "usage": {"prompt_tokens": 9, "total_tokens": 9}}
    data = "x" * (WHOLE_BYTES - len(dumped(frame)) + spare - 2)
    body = dumped(frame | {"data": [data]})
    reading = PlainReading()
    held = 0
    for at in range(0, len(body), 10_000):
        reading.feed(body[at : at + 10_000], Instant(0.0))
        held = max(held, len(reading._head) + len(reading._tail))
    reading.end(Instant(0.0))
    assert (reading.bill.id, reading.bill.model) == ("embd-1", "m")
    assert (reading.bill.prompt_tokens, reading.bill.output_tokens) == (9, 0)
    assert held < 2 * WHOLE_BYTES


def test_what_was_said_is_not_taken_for_the_bill() -> None:
    lie = '{"id": "no", "usage": {"prompt_tokens": 1000000, "completion_tokens": 1000000}}'
    body = dumped(
        {"id": "cmpl-1", "choices": [{"text": lie * 2000}], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
    )
    assert len(body) > WHOLE_BYTES
    bill = read(PlainReading(), [body]).bill
    assert (bill.id, bill.prompt_tokens, bill.output_tokens) == ("cmpl-1", 9, 4)


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP, br"])
def test_compressed_answers_are_not_read(encoding: str) -> None:
    assert isinstance(reading_for(SSE, encoding), Unread)


def test_identity_is_no_compression_and_other_kinds_are_not_read() -> None:
    assert not isinstance(reading_for(SSE, "Identity"), Unread)
    assert not isinstance(reading_for("application/problem+json", ""), Unread)
    assert isinstance(reading_for("audio/mpeg", ""), Unread)


def test_pieces_are_trusted_after_three_streams_whose_pieces_were_their_tokens() -> None:
    trust = Trust()
    for _ in range(2):
        trust.learn(pieces=99, output_tokens=100)
        assert not trust.earned
    trust.learn(pieces=40, output_tokens=41)
    assert trust.earned


def test_one_stream_whose_pieces_held_more_ends_the_trust_for_long() -> None:
    trust = Trust()
    for _ in range(16):
        trust.learn(pieces=100, output_tokens=100)
    trust.learn(pieces=50, output_tokens=100)
    assert not trust.earned
    for _ in range(15):
        trust.learn(pieces=100, output_tokens=100)
        assert not trust.earned
    trust.learn(pieces=100, output_tokens=100)
    assert trust.earned


def test_a_stream_without_pieces_teaches_nothing() -> None:
    trust = Trust()
    for _ in range(5):
        trust.learn(pieces=0, output_tokens=1)
    assert not trust.earned
