"""uvicorn's access line, which a dozen servers print, and which paths ask for inference.

    INFO:     127.0.0.1:37558 - "POST /v1/chat/completions HTTP/1.1" 200 OK

It is written when the *response starts*: the end of an answer in one piece, but the start of a stream, and it does not
say which. It has no duration, id, model or tokens, and by default no time. So it can count requests, never place them.
Servers put their own time, process or logger before it; colour may be on.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote

INFERENCE_ENDPOINTS = (
    "/completions",
    "/completion",
    "/chat/completions",
    "/chat/completions/batch",
    "/responses",
    "/messages",
    "/generate",
    "/generate_stream",
    "/embeddings",
    "/embedding",
    "/embed",
    "/rerank",
    "/score",
    "/classify",
    "/pooling",
    "/infill",
    "/invocations",
    "/infer",
    ":predict",
    "/api/chat",
    "/audio/transcriptions",
    "/audio/translations",
)
"""How the paths end that ask a server of ours for work: OpenAI's, Anthropic's, and the servers' own."""

_LONGEST_LINE = 4_096
_LONGEST_END = 256  # of a path, more than any endpoint with every character escaped
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# Before the address: nothing that a prompt within another line would need.
_LINE = re.compile(
    r"(?:[^\"'{}]{0,160}:\d+(?: \d+)?|(?:[A-Z]+: +)?) - "  # an address and maybe a pid; none behind a Unix socket
    r'"([A-Z]+) (\S+) HTTP/[\d.]+" (\d{3})(?: |$)'
)


class Access(NamedTuple):
    """What an access line says. The path has its query still."""

    method: str
    path: str
    status: int

    @property
    def asks_inference(self) -> bool:
        """Whether this is a request for work of the model."""
        return self.method == "POST" and is_inference(self.path)


def access(text: str) -> Access | None:
    """The access line in this text, whatever its logger put before it; None where it is none."""
    if " HTTP/" not in text[:_LONGEST_LINE]:
        return None
    head = text[:_LONGEST_LINE]
    found = _LINE.match(_ANSI.sub("", head) if "\x1b" in head else head)
    return Access(found[1], found[2], int(found[3])) if found else None


def is_inference(path: str) -> bool:
    """Whether a path, with or without its query, is one that servers do inference for."""
    plain = path.partition("?")[0][-_LONGEST_END:]
    return (unquote(plain) if "%" in plain else plain).rstrip("/").endswith(INFERENCE_ENDPOINTS)
