"""No line stalls a reader, however it is made: a megabyte costs it what a megabyte must, and never its square.

Time is not measured. What is read here takes a second or two; what is quadratic in the length of a line would take
hours, and an alarm ends it.
"""

import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from exporter.domain.events import Dropped, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.arrival.envelope import EnvelopeDecoder
from exporter.requests.registry import READERS
from tests.contracts.test_request_reader_contract import CASES
from tests.requests.replay import ALL_LOGS, texts

NOW = Instant(1795305600.0)
STAMP = "2026-11-22T00:00:00.000000000Z"
LENGTH = 1 << 20
SECONDS = 30.0
"""Of this process's own computing: a busy machine makes no difference."""
FILLS = (
    *"0 \"'\\([{<:,=-/.%_|a\t\x00\u2028",
    '\\"',
    "[]",
    "()",
    '{"a":',
    '{"a":[',
    "0 ",
    "0.",
    "a ",
    "a=",
    "a,",
    "'a', ",
    '"a": 1, ',
    "00:",
    "2026-",
    "\x1b[",
    "\x1b[0m",
    "%61",
    "\\u0041",
)
"""What a line is filled with: where a pattern looks for an end, and finds beginnings only."""
FEW_FILLS = ("0", " ", "%", '"', "a,", "\\", "[")
MOST_WAYS = 400


class StallError(Exception):
    """A line took longer than any may."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise StallError

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


def attacks(name: str) -> Iterator[str]:
    """One thing over and over; and the reader's own lines, with a part of theirs or something else over and over."""
    yield from (_long(fill) for fill in FILLS)
    own = {
        re.sub(r"[0-9a-f]{4,}|\d+", "0", text[:80]): text for log in ALL_LOGS if log.kind == name for text in texts(log)
    }
    lines = list(own.values())
    ways = [
        (text[: match.end()], fill, rest)
        for text in lines[:: max(1, len(lines) // 20)]
        for match in re.finditer(r"\w+|[^\w\s]", text[:600])
        for fill in (*FEW_FILLS, text[max(0, match.end() - 12) : match.end()])
        for rest in ("", text[match.end() :])
    ]
    step = max(1, len(ways) // MOST_WAYS)
    for begin, fill, rest in ways[:: step + 1 - step % 2]:  # an odd step: not the same fill every time
        yield begin + _long(fill) + rest


def _long(fill: str) -> str:
    return fill * (LENGTH // len(fill))


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_megabyte_of_malice_is_read_like_any_other(name: str, options: Mapping[str, Any]) -> None:
    reader = READERS[name].build(options, "UTC")
    with alarm(SECONDS):
        for text in attacks(name):
            assert isinstance(reader.feed(Line(text, NOW, NOW)), Used | Ignored | Dropped)


@pytest.mark.parametrize("wrap", [f"{STAMP} stdout P ", f"{STAMP} stdout F ", '{"log":"', ""], ids=str)
def test_nor_do_envelopes_stall(wrap: str) -> None:
    decoder = EnvelopeDecoder()
    with alarm(SECONDS):
        for fill in FILLS:
            for text in (wrap + _long(fill), wrap + _long(fill) + '","stream":"stdout","time":"' + _long(fill) + '"}'):
                decoder.feed(Line(text, NOW, NOW))


def test_the_alarm_ends_what_stalls() -> None:
    with pytest.raises(StallError), alarm(0.05):
        re.match("(a+)+$", "a" * 64 + "b")
