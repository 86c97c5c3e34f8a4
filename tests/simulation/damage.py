"""What may happen to a log between the server and its reader: lines lost, repeated, late, or never a log's at all."""

import math
from collections.abc import Sequence

import numpy as np

from exporter.domain.lines import Line
from exporter.domain.units import Instant, later
from tests.simulation.logs import LogLine, in_order

GARBAGE = (
    "",
    " \t ",
    "\x1b[31m\ufffd\ufffd\x00\x7f",
    "{",
    '{"id": null, "start": "soon", "end": NaN}',
    "[1, [2, [3",
    "Traceback (most recent call last):",
    '  File "server.py", line 1, in <module>',
    "\u2028\U0001f525 9999999999999999999999999999",
    "(APIServer pid=1) INFO 13-45 99:99:99 [request_logger.py:65] Received request",
    "0.99.999.999 I slot print_timing: id  x | task y | prompt eval time =        nan ms /     z tokens",
    "INFO " + "x" * 5000,
)
"""Lines that no server writes, and some that only nearly are a server's."""


def lose(lines: Sequence[LogLine], rng: np.random.Generator, fraction: float) -> list[LogLine]:
    """Without about this fraction of the lines."""
    return [line for line in lines if rng.random() >= fraction]


def repeat(
    lines: Sequence[LogLine], rng: np.random.Generator, fraction: float, *, within_seconds: float = 1.0
) -> list[LogLine]:
    """With about this fraction of the lines written again a little later."""
    again = [_put_off(line, rng, within_seconds) for line in lines if rng.random() < fraction]
    return in_order([*lines, *again])


def delay(
    lines: Sequence[LogLine], rng: np.random.Generator, fraction: float, *, within_seconds: float = 5.0
) -> list[LogLine]:
    """With about this fraction of the lines written later, and so out of order; their text stays as it was."""
    return in_order(_put_off(line, rng, within_seconds) if rng.random() < fraction else line for line in lines)


def litter(lines: Sequence[LogLine], rng: np.random.Generator, count: int) -> list[LogLine]:
    """With `count` lines more that mean nothing: garbage, or the beginning of some true line."""
    assert lines, "nothing says when garbage would come"
    return in_order([*lines, *(_garbage(lines, rng) for _ in range(count))])


def flush(lines: Sequence[LogLine], every_seconds: float) -> list[LogLine]:
    """As a server writes them that holds its log back and flushes it every so often."""
    return [LogLine(_next_tick(line.at, every_seconds), line.text) for line in lines]


def read_by_polls(lines: Sequence[LogLine], every_seconds: float) -> list[Line]:
    """As a reader sees them that looks every so often: not there at one poll, there at the next."""
    polls = [_next_tick(line.at, every_seconds) for line in lines]
    return [Line(line.text, later(poll, -every_seconds), poll) for line, poll in zip(lines, polls, strict=True)]


def _put_off(line: LogLine, rng: np.random.Generator, within_seconds: float) -> LogLine:
    return LogLine(later(line.at, rng.uniform(0.0, within_seconds)), line.text)


def _garbage(lines: Sequence[LogLine], rng: np.random.Generator) -> LogLine:
    near = lines[int(rng.integers(len(lines)))]
    choice = int(rng.integers(len(GARBAGE) + 1))
    torn = near.text[: int(rng.integers(len(near.text) + 1)) // 2]
    return LogLine(near.at, torn if choice == len(GARBAGE) else GARBAGE[choice])


def _next_tick(at: float, every_seconds: float) -> Instant:
    return Instant(math.ceil(at / every_seconds) * every_seconds)
