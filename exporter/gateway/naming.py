"""What requests are called: their id, their trace (W3C Trace Context), and whose they are. Pure but for chance."""

import hashlib
import re
from collections import OrderedDict
from random import Random
from typing import NamedTuple
from uuid import UUID

from multidict import MultiMapping

from exporter.domain.settings import TenantSettings

LONGEST_NAME = 128
_MOST_RECENT = 65_536

_ID = re.compile(r"[\x21-\x7e]{1,128}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.DOTALL)
_random = Random()  # noqa: S311 - seeded by the system; ids must differ, they are no secrets


def valid_id(text: str | None) -> str | None:
    """A request id that a client sent, if it is printable ASCII without spaces and not too long."""
    return text if text is not None and _ID.fullmatch(text) else None


def new_id() -> str:
    """A request id that nobody had: a UUID in its usual form, because some servers refuse any other."""
    return str(UUID(int=_random.getrandbits(128), version=4))


class Trace(NamedTuple):
    """A W3C trace context. `header`: the `traceparent`. `made`: it is ours, the client sent none that is valid."""

    header: str
    trace_id: str
    made: bool


def trace_of(headers: MultiMapping[str]) -> Trace:
    """The trace that a request belongs to: the one that its client names, or a new one.

    A new one is marked as sampled: a server that decides by itself then decides as if there were no trace yet.
    """
    given = headers.getall("traceparent", ())
    if len(given) == 1 and (trace_id := valid_traceparent(given[0])) is not None:
        return Trace(given[0], trace_id, made=False)
    trace_id = f"{_random.getrandbits(128) or 1:032x}"
    return Trace(f"00-{trace_id}-{_random.getrandbits(64) or 1:016x}-01", trace_id, made=True)


def valid_traceparent(text: str) -> str | None:
    """The trace id in a `traceparent`; None where it is not a valid one.

    Version 00 ends with the flags; a later one may go on; ff is none. Ids of zeros only are invalid.
    """
    found = _TRACEPARENT.fullmatch(text) if len(text) <= 512 else None
    if found is None or found[1] == "ff" or (found[1] == "00" and found[4]):
        return None
    return found[2] if found[2].strip("0") and found[3].strip("0") else None


class UniqueIds:
    """Makes ids unique among requests: clients use theirs again, when they try again for instance."""

    def __init__(self) -> None:
        self._recent: OrderedDict[str, int] = OrderedDict()

    def unique(self, id_: str) -> str:
        """The id itself, or if it was used lately, with `~2`, `~3` ... behind it."""
        times = self._recent.pop(id_, 0) + 1
        self._recent[id_] = times
        if len(self._recent) > _MOST_RECENT:
            self._recent.popitem(last=False)
        return id_ if times == 1 else f"{id_}~{times}"


def tenant_of(headers: MultiMapping[str], settings: TenantSettings) -> str | None:
    """Who is to be billed: what the header says, else a hash of the API key, as configured. Never the key itself."""
    if settings.header is not None:
        named = _printable(headers.get(settings.header))
        if named:
            return named
    key = _api_key(headers) if settings.api_key else ""
    return f"key-{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}" if key else None


def _printable(text: str | None) -> str | None:
    cleaned = "".join(letter for letter in text.strip()[:LONGEST_NAME] if letter.isprintable()) if text else ""
    return cleaned or None


def _api_key(headers: MultiMapping[str]) -> str:
    """OpenAI's, Anthropic's and Azure's ways to send one."""
    scheme, _, credentials = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return (headers.get("x-api-key") or headers.get("api-key") or "").strip()
