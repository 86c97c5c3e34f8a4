"""Reading along while an answer passes: its bill, and when its content began. Pure, bounded in memory.

Nothing of an answer is kept but its numbers and names. Of a stream, most events are only looked at for content; JSON is
read of the first one, which has the names, and of those that speak of usage. That costs microseconds a piece.

A piece of content is an event with a part of the answer in it. Most servers send a piece for each token; with
speculative decoding, or when several tokens are ready at once, a piece holds more; and a token may bring no text, for
instance half a letter. So pieces are a count of their own, and `Trust` says whether they may stand for tokens.
"""

import json
import re
from collections import deque
from typing import Protocol

from exporter.completions.lines import Events, Lines
from exporter.domain.units import Instant
from exporter.gateway.bill import Bill

WHOLE_BYTES = 1 << 16
"""An answer in one piece that is longer, such as embeddings, is read at its beginning and its end only."""
_TAIL_BYTES = 1 << 14
_HEAD_BYTES = 1 << 10
_NAME_IN_HEAD = re.compile(rb'"(id|model|model_name)"\s*:\s*"([^"\\]{1,256})"')
_COUNTS_IN_TAIL = re.compile(rb'"(usage|timings|details|meta_info)"\s*:\s*(?=\{)')

# In JSON within a JSON text these quotes would be escaped, so nothing of what was said is taken for its frame.
_CONTENT = re.compile(
    rb'"(?:content|text|reasoning_content|reasoning|thinking|response|text_output|arguments|partial_json|refusal|delta)"'
    rb'\s*:\s*"[^"]|"(?:tool_calls|function_call)"\s*:\s*(?:\[\s*)?\{'
)
_TELLING = re.compile(
    rb'"(?:usage|timings|details|meta_info|error|prompt_eval_count|eval_count|tokens_evaluated)"\s*:\s*(?!null)'
)
_RESPONSES_EVENT = re.compile(rb'"type"\s*:\s*"response\.[a-z_.]*?(\.delta)?"')

_decode = json.JSONDecoder().raw_decode


class Reading(Protocol):
    """Reads along.

    Attributes:
        bill: what is known so far. first: when content began, None before or where that cannot be told.
        pieces: of content. dropped: parts that were too long to be read.
    """

    bill: Bill
    first: Instant | None
    pieces: int

    @property
    def dropped(self) -> int:
        """Parts that were too long to be read."""
        ...

    def feed(self, piece: bytes, at: Instant) -> None:
        """A piece of the body that came at `at`."""
        ...

    def end(self, at: Instant) -> None:
        """The body is complete, or no more of it comes."""
        ...


class Unread:
    """Reads nothing: there is nothing in it, or it is compressed."""

    pieces = 0
    dropped = 0

    def __init__(self) -> None:
        self.bill = Bill()
        self.first: Instant | None = None

    def feed(self, piece: bytes, at: Instant) -> None:
        """Let it pass."""

    def end(self, at: Instant) -> None:
        """It is over."""


class PlainReading:
    """Reads an answer in one piece. When its first token came it cannot tell."""

    pieces = 0
    dropped = 0

    def __init__(self) -> None:
        self.bill = Bill()
        self.first: Instant | None = None
        self._head = bytearray()
        self._tail = bytearray()

    def feed(self, piece: bytes, at: Instant) -> None:  # noqa: ARG002 - when it came says nothing
        """Keep what will be read at the end."""
        room = WHOLE_BYTES - len(self._head)
        if room > 0:
            self._head += piece[:room]
            piece = piece[room:]
        if piece:
            self._tail += piece
            if len(self._tail) > 2 * _TAIL_BYTES:
                del self._tail[:-_TAIL_BYTES]

    def end(self, at: Instant) -> None:  # noqa: ARG002
        """Read it."""
        if self._tail:
            self._read_edges()
        else:
            self.bill.read(_json(bytes(self._head)))
        self._head.clear()
        self._tail.clear()

    def _read_edges(self) -> None:
        """Names at the beginning, counts at the end."""
        for found in reversed(list(_NAME_IN_HEAD.finditer(self._head, 0, _HEAD_BYTES))):
            name = found[2].decode("utf-8", "replace")
            if found[1] == b"id":
                self.bill.id = name
            else:
                self.bill.model = name
        tail = bytes((self._head[-_TAIL_BYTES:] + self._tail)[-_TAIL_BYTES:])
        for found in _COUNTS_IN_TAIL.finditer(tail):
            self.bill.read({found[1].decode(): _json(tail[found.end() :])})


class StreamReading:
    """Reads server-sent events, or JSON lines."""

    def __init__(self, events: Events | Lines) -> None:
        self.bill = Bill()
        self.first: Instant | None = None
        self.pieces = 0
        self._events = events
        self._named = False

    @property
    def dropped(self) -> int:
        """Events that were too long to be read."""
        return self._events.dropped

    def feed(self, piece: bytes, at: Instant) -> None:
        """Look at the events that are complete."""
        for data in self._events.feed(piece):
            self._look(data, at)

    def end(self, at: Instant) -> None:
        """Look at an event that lacks its end."""
        for data in self._events.end():
            self._look(data, at)

    def _look(self, data: bytes, at: Instant) -> None:
        if has_content(data):
            self.pieces += 1
            if self.first is None:
                self.first = at
        if not self._named or _TELLING.search(data):
            body = _json(data)
            self.bill.read(body)
            self._named = self._named or isinstance(body, dict)


def has_content(data: bytes) -> bool:
    """Whether an event's JSON brings a part of the answer: text, thought, or a call of a tool."""
    if not _CONTENT.search(data):
        return False
    event = _RESPONSES_EVENT.search(data) if b'"response.' in data else None
    # Events of OpenAI's Responses repeat at the end what they brought in deltas before.
    return event is None or event[1] is not None


def reading_for(content_type: str, encoding: str) -> Reading:
    """What can be read of an answer with these headers."""
    if encoding.strip().lower() not in ("", "identity"):
        return Unread()
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return StreamReading(Events())
    if kind in ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"):
        return StreamReading(Lines())
    return PlainReading() if kind.endswith("json") else Unread()


def _json(text: bytes) -> object:
    """The JSON value that the text begins with; None where there is none."""
    try:
        return _decode(text.decode("utf-8", "replace").lstrip())[0]
    except (ValueError, RecursionError):
        return None


class Trust:
    """Learns from streams that tell their usage whether a server's pieces are its tokens.

    They are taken to be if the last streams say so, three at least: all but a few tokens had a piece of their own.
    """

    _LEAST = 3
    _LAST = 16
    _FEW_TOKENS = 2
    _FEW_SHARE = 0.05

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=self._LAST)

    def learn(self, pieces: int, output_tokens: int) -> None:
        """A stream of so many pieces had so many tokens."""
        if pieces > 0:
            allowed = max(self._FEW_TOKENS, self._FEW_SHARE * output_tokens)
            self._last.append(abs(output_tokens - pieces) <= allowed)

    @property
    def earned(self) -> bool:
        """Whether pieces may be taken for tokens."""
        return len(self._last) >= self._LEAST and all(self._last)
