"""What a client asks, from the body of its request. Pure; every body is either understood or refused with a reason."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHARACTERS_PER_TOKEN = 4
"""Assumed, as is customary for English: there is no tokenizer here."""

MOST_CONTEXT_TOKENS = 16_384


class RefusedError(Exception):
    """The request cannot be served. `param`: the field at fault; `status`: of the answer."""

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.status = status


@dataclass(frozen=True, slots=True)
class Ask:
    """A request.

    Attributes:
        chat: whether it came as a chat or as a completion.
        prompt_tokens: estimated from the text; the text itself is forgotten.
        max_tokens: the longest answer wanted; None leaves it to the server.
        exact: whether the answer shall be just as long as that.
        stream: whether the answer comes piece by piece. usage: whether a stream ends with its token counts.
    """

    chat: bool
    prompt_tokens: int
    max_tokens: int | None = None
    exact: bool = False
    stream: bool = False
    usage: bool = False


def parse(body: bytes, model: str, *, chat: bool) -> Ask:
    """Understand a body.

    Args:
        body: as received.
        model: the one that is served; a body may leave it out.
        chat: whether it was sent to the chat endpoint.

    Raises:
        RefusedError: it is wrong, or asks for what is not simulated.
    """
    fields = _fields(body)
    _expect_model(fields, model)
    for name in ("n", "best_of"):
        if fields.get(name) not in (None, 1):
            raise RefusedError(f"{name} other than 1 is not simulated", name)
    prompt = _chat_tokens(fields.get("messages")) if chat else _prompt_tokens(fields.get("prompt"))
    most = _max_tokens(fields)
    if prompt + (most or 1) > MOST_CONTEXT_TOKENS:
        raise RefusedError(
            f"this model's context holds {MOST_CONTEXT_TOKENS} tokens; the prompt has about {prompt}, and "
            f"{most or 1} were asked for",
            "messages" if chat else "prompt",
        )
    return Ask(
        chat=chat,
        prompt_tokens=prompt,
        max_tokens=most,
        exact=_flag(fields, "ignore_eos") and most is not None,
        stream=_flag(fields, "stream"),
        usage=_flag(_mapping(fields, "stream_options"), "include_usage"),
    )


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError("the body is not JSON") from error
    if not isinstance(fields, dict):
        raise RefusedError("the body must be a JSON object")
    return fields


def _expect_model(fields: Mapping[str, Any], model: str) -> None:
    asked = fields.get("model")
    if asked is not None and asked != model:
        raise RefusedError(f"the model that was asked for does not exist; {model} does", "model", status=404)


def _chat_tokens(messages: Any) -> int:
    if not isinstance(messages, list) or not messages:
        raise RefusedError("messages must be a list of at least one message", "messages")
    return max(1, sum(_message_tokens(message) for message in messages))


def _message_tokens(message: Any) -> int:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise RefusedError("each message must be an object with a role", "messages")
    content = message.get("content")
    if content is None or isinstance(content, str):
        return _tokens(content or "")
    if not isinstance(content, list):
        raise RefusedError("a message's content must be text or a list of parts", "messages")
    return sum(_part_tokens(part) for part in content)


def _part_tokens(part: Any) -> int:
    if not isinstance(part, dict) or not isinstance(part.get("text"), str):
        raise RefusedError("only parts of type text are simulated", "messages")
    return _tokens(part["text"])


def _prompt_tokens(prompt: Any) -> int:
    """Text, a list of token numbers, or a list of just one of either."""
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return _tokens(prompt)
    if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        return len(prompt)
    raise RefusedError("prompt must be one text or one list of token numbers; several are not simulated", "prompt")


def _tokens(text: str) -> int:
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def _max_tokens(fields: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        most = fields.get(name)
        if most is None:
            continue
        if type(most) is not int or most < 1:
            raise RefusedError(f"{name} must be a whole number of at least 1", name)
        return most
    return None


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    flag = fields.get(name)
    if flag is not None and not isinstance(flag, bool):
        raise RefusedError(f"{name} must be true or false", name)
    return bool(flag)


def _mapping(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = fields.get(name)
    if inner is not None and not isinstance(inner, dict):
        raise RefusedError(f"{name} must be an object", name)
    return inner or {}
