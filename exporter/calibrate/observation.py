"""Timings of requests as a client took them, and the file that holds them: a JSON object on each line.

    {"prompt_tokens": 412, "output_tokens": 128, "time_to_first_token_seconds": 0.21, "seconds": 2.9}

Other tools call these by other names and count milliseconds; `ALIASES` says which are understood. Either number of
tokens may be missing, not both.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporter.completions.observation import Observation
from exporter.proxy.calibration.matching.timings import Timings

ALIASES: Mapping[str, Mapping[str, float]] = {
    "prompt_tokens": {"prompt_tokens": 1.0, "input_tokens": 1.0, "prompt_len": 1.0},
    "output_tokens": {"output_tokens": 1.0, "completion_tokens": 1.0, "generated_tokens": 1.0, "output_len": 1.0},
    "time_to_first_token_seconds": {
        "time_to_first_token_seconds": 1.0,
        "ttft_seconds": 1.0,
        "ttft": 1.0,
        "time_to_first_token_ms": 1e-3,
        "ttft_ms": 1e-3,
    },
    "seconds": {
        "seconds": 1.0,
        "duration_seconds": 1.0,
        "duration": 1.0,
        "latency": 1.0,
        "duration_ms": 1e-3,
        "latency_ms": 1e-3,
        "e2el_ms": 1e-3,
    },
}
"""By what it is, the keys under which it is looked for, in this order, and what their unit is in ours."""

EXAMPLE = '{"prompt_tokens": 412, "output_tokens": 128, "time_to_first_token_seconds": 0.21, "seconds": 2.9}'
MOST_LINES = 200_000
_LONGEST_LINE = 1 << 16
_SHOWN = 3


class BadLineError(Exception):
    """A line that tells no timing: says why, without the line."""


@dataclass(frozen=True, slots=True)
class Observations:
    """All of a file.

    Attributes:
        bad: lines that were skipped. examples: number and reason of the first few. beyond: whether more lines follow
            than are read.
    """

    good: Sequence[Observation]
    bad: int = 0
    examples: Sequence[str] = field(default_factory=tuple)
    beyond: bool = False


def read(lines: Iterable[str]) -> Observations:
    """The timings on these lines; blank ones are nothing at all."""
    good: list[Observation] = []
    bad: list[str] = []
    for number, line in enumerate(lines, start=1):
        if number > MOST_LINES:
            return Observations(good, len(bad), bad[:_SHOWN], beyond=True)
        if not line.strip():
            continue
        try:
            good.append(parse(line))
        except BadLineError as reason:
            bad.append(f"line {number}: {reason}")
    return Observations(good, len(bad), bad[:_SHOWN])


def parse(line: str) -> Observation:
    """The timing on a line.

    Raises:
        BadLineError: there is none.
    """
    row = _object(line)
    first, seconds = _needed(row, "time_to_first_token_seconds"), _needed(row, "seconds")
    if not 0.0 < first <= seconds:
        raise BadLineError("the first token came before the request or after the end")
    prompt, output = _whole(row, "prompt_tokens"), _whole(row, "output_tokens")
    if prompt is None and output is None:
        raise BadLineError("neither prompt_tokens nor output_tokens is told")
    return Observation(first, seconds, prompt, output)


def columns(observations: Sequence[Observation]) -> Timings:
    """For matching."""

    def column(name: str) -> Any:
        values = [getattr(one, name) for one in observations]
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)

    return Timings(
        prompt_tokens=column("prompt_tokens"),
        output_tokens=column("output_tokens"),
        time_to_first_token_seconds=column("time_to_first_token_seconds"),
        seconds=column("seconds"),
    )


def _object(line: str) -> Mapping[str, Any]:
    if len(line) > _LONGEST_LINE:
        raise BadLineError(f"longer than {_LONGEST_LINE} characters")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLineError("no JSON") from None
    if not isinstance(row, dict):
        raise BadLineError("no JSON object")
    return row


def _needed(row: Mapping[str, Any], what: str) -> float:
    value = _number(row, what)
    if value is None:
        raise BadLineError(f"{what} is missing")
    return value


def _whole(row: Mapping[str, Any], what: str) -> int | None:
    value = _number(row, what)
    if value is not None and value != int(value):
        raise BadLineError(f"{what} is no whole number")
    return None if value is None else int(value)


def _number(row: Mapping[str, Any], what: str) -> float | None:
    for name, unit in ALIASES[what].items():
        value = row.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1e9:
            raise BadLineError(f"{name} is no number from 0 to 1e9")
        return unit * value
    return None
