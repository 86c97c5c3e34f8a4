r"""A line of llama-server's log and what comes before its text: a router's port, a clock, a level; or JSON around it.

    [8001] 0.01.234.567 I slot launch_slot_: id  3 | task 0 | processing task
    {"type":"log","time":1234567,"level":"info","msg":"slot launch_slot_: id  3 | task 0 | processing task\n"}

The clock is the time since the process started: minutes, seconds, milliseconds, microseconds. All of it is optional.
"""

import json
import re
from typing import NamedTuple

from exporter.domain.events import Dropped, Ignored

_HEAD = 400
_JSON_START = '{"type":"log"'

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(r"(?:\[(\d{1,5})\] )?(?:(\d{1,9})\.(\d\d)\.(\d{3})\.(\d{3}) )?(?:([A-Z]) )?")
_JSON_OF_2024 = re.compile(r'\{"function":"|\{"tid":"')

_JSON_RECORD = Ignored("json_record")
_FORMAT_OF_2024 = Ignored("format_of_2024")
_BAD_JSON = Dropped("bad_json")


class Said(NamedTuple):
    """A line without its prefix."""

    port: str
    elapsed: float | None
    json: bool
    text: str


def read(text: str) -> Said | None:
    """Take the prefix off; None where the line is JSON, but none of llama-server's."""
    if text.startswith("{"):
        return _read_json(text)
    head = text[:_HEAD]
    if "\x1b" in head:
        head = _ANSI.sub("", head)
    found = _PREFIX.match(head)
    assert found  # every part of the pattern is optional
    port, minutes, seconds, millis, micros, _ = found.groups()
    elapsed = None if minutes is None else int(minutes) * 60 + int(seconds) + int(millis) / 1e3 + int(micros) / 1e6
    return Said(port or "", elapsed, json=False, text=head[found.end() :])


def _read_json(text: str) -> Said | None:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    message, micros = record.get("msg"), record.get("time")
    if record.get("type") != "log" or not isinstance(message, str) or type(micros) is not int:
        return None
    return Said("", micros / 1e6 if 0 <= micros < 1 << 62 else None, json=True, text=message[:_HEAD].rstrip("\n"))


def foreign(text: str) -> Ignored | Dropped:
    """What a JSON line is that is none of llama-server's log."""
    if text.startswith(_JSON_START) and not text.endswith("}"):
        return _BAD_JSON
    return _FORMAT_OF_2024 if _JSON_OF_2024.match(text) else _JSON_RECORD
