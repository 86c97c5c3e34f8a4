"""Which model a request asks for: from the beginning of its JSON body, or from its path. Pure.

The body is scanned, not parsed: it may be megabytes, and only its beginning is at hand. Nothing else of it is kept.
"""

import json
import re
from itertools import islice

PEEKED_BYTES = 1 << 16
_LONGEST_NAME = 256
_MOST_TOKENS = 4_096
# A text (and whether it is a key), or a bracket. Numbers and words between them need not be looked at. A text without
# its end goes on to the end, or else a search would begin anew in its midst.
_TOKEN = re.compile(rb'"((?:[^"\\]++|\\.)*+)(?:"(\s*:)?)?|[\[{]|[\]}]', re.DOTALL)
_IN_PATH = re.compile(r"/models/([^/:?]{1,256})(?:/versions/[^/?]+)?(?:/(?:infer|generate|generate_stream)|:predict)")


def model_asked(path: str, body: bytes) -> str | None:
    """The model's name; None where it is not told, or not within the first 64 KiB."""
    return _in_json(body[:PEEKED_BYTES]) or _in_path(path)


def _in_path(path: str) -> str | None:
    found = _IN_PATH.search(path) if "/models/" in path else None
    return found[1] if found else None


def _in_json(body: bytes) -> str | None:
    """The value of the outermost object's `model`, if it is a text."""
    depth, wanted = 0, False
    for token in islice(_TOKEN.finditer(body), _MOST_TOKENS):
        if token[1] is None:
            depth += 1 if token[0] in b"[{" else -1
            wanted = False
        elif wanted:
            return _text(token[0])
        else:
            wanted = depth == 1 and token[2] is not None and token[1] == b"model"
    return None


def _text(quoted: bytes) -> str | None:
    try:
        text = json.loads(quoted)
    except ValueError:
        return None
    return text[:_LONGEST_NAME] or None if isinstance(text, str) else None
