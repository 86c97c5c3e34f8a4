"""What a replica logs of each request as JSON, when it ended: everything that the exporter can use, and no prompt."""

import json
from collections.abc import Mapping
from typing import Any

from exporter.simulate.engine import Passage

_SECONDS = {"unit": "s", "precision": 1e-6}

READER_OPTIONS: Mapping[str, Any] = {
    "fields": {
        "id": "id",
        "model": "model",
        "start": {"path": "arrival", **_SECONDS},
        "end": {"path": "end", **_SECONDS},
        "queued": {"path": "queued_seconds", "unit": "s"},
        "first_token": {"path": "first_token", **_SECONDS},
        "prompt_tokens": "prompt_tokens",
        "cached_tokens": "cached_tokens",
        "output_tokens": "output_tokens",
        "outcome": "outcome",
    },
    "unless": {"start": None},  # it left before its turn came: nothing was spent on it
}
"""How the exporter's reader `jsonl` is told to read it."""


def fact(passage: Passage, model: str, begin: float) -> str:
    """One line.

    Args:
        passage: a request that ended.
        model: the name under which it was served.
        begin: time zero of the simulation by the wall clock, in seconds since the epoch.
    """
    assert passage.end is not None
    arrival, end = round(begin + passage.arrival, 6), round(begin + passage.end, 6)
    first = passage.first_token
    fields = {
        "simulated": True,
        "id": passage.request.id,
        "model": model,
        "arrival": arrival,
        "start": round(begin + passage.start, 6) if passage.start is not None else None,
        "queued_seconds": round(passage.start - passage.arrival, 6) if passage.start is not None else None,
        "first_token": round(begin + first, 6) if first is not None else None,
        "end": end,
        "prompt_tokens": passage.request.prompt_tokens,
        "cached_tokens": passage.request.cached_tokens,
        "output_tokens": passage.output_tokens,
        "stream": passage.request.stream,
        "outcome": passage.outcome,
    }
    return json.dumps(fields)
