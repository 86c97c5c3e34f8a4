"""A streamed completion as it comes: when its tokens came, how many they were, whether it is whole. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.completions.lines import Events
from exporter.completions.observation import Observation

LEAST_STREAMED = 8
"""Tokens that must have come in more than one piece, or else something held them back."""

CUT = "cut off before its end"
BUFFERED = "came in one piece: something on the way does not stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """A timing. `counted_pieces`: its output tokens are pieces of the stream, the server not having told how many."""

    observation: Observation
    counted_pieces: bool


@dataclass(slots=True)
class Stream:
    """A streamed answer as it comes. Times are the loop's."""

    begin: float
    events: Events = field(default_factory=Events)
    first: float | None = None
    last: float = 0.0
    pieces: int = 0
    reads: int = 0
    complete: bool = False
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    problem: str = ""

    def take(self, piece: bytes, now: float) -> None:
        """Bytes that came now."""
        before = self.pieces
        self._hear(self.events.feed(piece))
        if self.pieces > before:
            self.first = now if self.first is None else self.first
            self.last = now
            self.reads += 1

    def end(self) -> None:
        """No more bytes will come."""
        self._hear(self.events.end())

    def _hear(self, events: Sequence[bytes]) -> None:
        for event in events:
            data = event.decode("utf-8", "replace")
            if data.strip() == "[DONE]":
                self.complete = True
                continue
            chunk = _mapping(data)
            if "error" in chunk:
                self.problem = "broke off with an error in the stream"
            self._count(chunk)
            self._bill(chunk.get("usage"))

    def _count(self, chunk: dict[str, Any]) -> None:
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self.pieces += _has_text(choice)
                self.complete = self.complete or choice.get("finish_reason") is not None

    def _bill(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self.prompt_tokens = _tokens(usage.get("prompt_tokens"), self.prompt_tokens)
            self.output_tokens = _tokens(usage.get("completion_tokens"), self.output_tokens)

    def answer(self) -> Answer | str:
        """What it amounts to, once it has ended."""
        if self.problem or not self.complete:
            return self.problem or CUT
        if self.first is None:
            return "held no text"
        tokens = self.pieces if self.output_tokens is None else self.output_tokens
        if self.reads == 1 and tokens >= LEAST_STREAMED:
            return BUFFERED
        seen = Observation(self.first - self.begin, self.last - self.begin, self.prompt_tokens, tokens)
        return Answer(seen, counted_pieces=self.output_tokens is None)


def _mapping(data: str) -> dict[str, Any]:
    """The event's JSON object; empty where it is none, which servers send as keep-alives and comments."""
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return chunk if isinstance(chunk, dict) else {}


def _has_text(choice: dict[str, Any]) -> bool:
    """Whether it brings a token of the answer, or of the thoughts that some models have before it."""
    delta = choice.get("delta")
    delta = delta if isinstance(delta, dict) else {}
    return any(bool(delta.get(name)) for name in ("content", "reasoning_content", "reasoning")) or bool(
        choice.get("text")
    )


def _tokens(value: Any, known: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else known
