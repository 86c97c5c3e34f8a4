"""Answers in OpenAI's forms, for chats and completions, whole and streamed. Their text says what it is: simulated."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

WORD = " simulated"
"""Every token of every answer."""

DONE = b"data: [DONE]\n\n"


class Usage(NamedTuple):
    """Token counts of an answer."""

    prompt_tokens: int
    completion_tokens: int

    def fields(self) -> Mapping[str, int]:
        """As the body says it."""
        return {**self._asdict(), "total_tokens": self.prompt_tokens + self.completion_tokens}


class Answer(NamedTuple):
    """What all pieces of an answer have in common. `created`: seconds since the epoch."""

    id: str
    model: str
    chat: bool
    created: int

    def whole(self, usage: Usage, finish_reason: str) -> Mapping[str, Any]:
        """The body of an answer in one piece."""
        text = (WORD * usage.completion_tokens).strip()
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage.fields()}

    def opening(self) -> bytes | None:
        """What a stream begins with."""
        return self._piece({"role": "assistant", "content": ""}, None) if self.chat else None

    def tokens(self, count: int) -> bytes:
        """The next tokens of a stream, a piece each."""
        return self._piece({"content": WORD}, None) * count

    def closing(self, finish_reason: str) -> bytes:
        """What says that a stream is complete."""
        return self._piece({}, finish_reason)

    def usage(self, usage: Usage) -> bytes:
        """The token counts, in a piece without choices."""
        return _event({**self._head("chat.completion.chunk"), "choices": [], "usage": usage.fields()})

    def _piece(self, delta: Mapping[str, str], finish_reason: str | None) -> bytes:
        said = {"delta": delta} if self.chat else {"text": delta.get("content", "")}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish_reason}
        return _event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _head(self, what: str) -> Mapping[str, Any]:
        return {
            "id": self.id,
            "object": what if self.chat else "text_completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "simulated",
        }


def error(message: str, status: int, param: str | None = None) -> Mapping[str, Any]:
    """The body of an error."""
    kind = _TYPES.get(status, "InternalServerError")
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def error_event(message: str, status: int) -> bytes:
    """An error in the middle of a stream."""
    return _event(error(message, status))


_TYPES = {
    400: "BadRequestError",
    404: "NotFoundError",
    413: "BadRequestError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}


def _event(fields: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()
