"""What the API server's refusals mean, in words for a person, and what is to be done about them."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

Meaning = Literal["nothing", "token", "expired", "later", "refused"]
"""There is no log yet; the token has run out; what was asked for is gone; the server has too much to do; or it will
not, until somebody changes something."""

LOST = "the log is not kept that far back (410): lines are lost, and it is followed from what is there"

_MOST_BYTES = 64 * 1024
_LONGEST_MESSAGE = 300
_LONGEST_WAIT = 300.0
_ACCOUNT = re.compile(r'User "system:serviceaccount:([^":]{1,63}):([^":]{1,253})"')
_CHOICE = re.compile(r"choose one of: \[([^\]]{1,200})\]")
_WAITING = re.compile(r"is waiting to start: ([A-Za-z]{1,60})")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no log.

    Attributes:
        meaning: what it comes to.
        words: for a person: what is wrong, a colon, what to do. Without any text of the log.
        retry_after: seconds that the server wants to be left alone, where it says so.
    """

    meaning: Meaning
    words: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked. `verb` and `resource` as RBAC calls them; `name` of the pod, empty for a list."""

    verb: Literal["get", "list"]
    resource: Literal["pods/log", "pods"]
    namespace: str
    name: str = ""


async def refusal_of(response: aiohttp.ClientResponse, question: Question) -> Refusal:
    """Read the answer as a refusal."""
    body = await read_up_to(response.content, _MOST_BYTES)
    return read_refusal(response.status, response.headers, body, question)


async def read_up_to(content: aiohttp.StreamReader, most: int) -> bytes:
    """The whole of a short answer, or the beginning of a long one."""
    pieces: list[bytes] = []
    while most > 0 and (piece := await content.read(most)):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def read_refusal(status: int, headers: Mapping[str, str], body: bytes, question: Question) -> Refusal:
    """What a status and a body mean. Pure."""
    told = _status_object(body)
    message = _printable(told.get("message"))
    if status in _MEANINGS and told:
        return _MEANINGS[status](message, question)
    if status == 429 or status >= 500:
        words = f"the API server answers {status}: tried again{_because(message)}"
        return Refusal("later", words, _seconds(headers.get("Retry-After")))
    return Refusal("refused", f"the answer is {status}: is `api` a Kubernetes API server?{_because(message)}")


def rule(question: Question) -> str:
    """The rule that a Role needs, in one line of YAML."""
    return f'{{apiGroups: [""], resources: ["{question.resource}"], verbs: ["{question.verb}"]}}'


def _bad_request(message: str, _question: Question) -> Refusal:
    if waiting := _WAITING.search(message):
        return Refusal("nothing", f"its container has not started yet ({waiting[1]}): followed once it has")
    if found := _CHOICE.search(message):
        names = ", ".join(found[1].split())
        return Refusal("refused", f"the pod has several containers: set `container` to one of {names}")
    return Refusal("refused", f"the question is refused (400): check pod and container{_because(message)}")


def _unauthorized(_message: str, _question: Question) -> Refusal:
    return Refusal("token", "the API server does not accept our token (401): is the service account still there?")


def _forbidden(message: str, question: Question) -> Refusal:
    found = _ACCOUNT.search(message)
    who = f"service account {found[2]} of namespace {found[1]}" if found else "our user"
    what = f"may not {question.verb} {question.resource} (403): bind it to a Role in namespace {question.namespace}"
    return Refusal("refused", f"{who} {what} with the rule {rule(question)}")


def _not_found(_message: str, question: Question) -> Refusal:
    return Refusal("nothing", f"there is no such pod in namespace {question.namespace} yet: followed once it is there")


def _gone(_message: str, _question: Question) -> Refusal:
    return Refusal("expired", LOST)


_MEANINGS: Mapping[int, Callable[[str, Question], Refusal]] = {
    400: _bad_request,
    401: _unauthorized,
    403: _forbidden,
    404: _not_found,
    410: _gone,
}


def _because(message: str) -> str:
    return f" ({message})" if message else ""


def _status_object(body: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) and told.get("kind") == "Status" else {}


def _printable(message: object) -> str:
    text = message if isinstance(message, str) else ""
    return "".join(char if char.isprintable() else " " for char in text[:_LONGEST_MESSAGE])


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds; its other form, a date, is not used by API servers."""
    return min(float(header), _LONGEST_WAIT) if header and header.isascii() and header.isdecimal() else None
