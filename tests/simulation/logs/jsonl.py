"""The richest log there could be: one JSON object per request, written at its end."""

import json

from exporter.simulate.batching import Run, Served
from tests.simulation.logs import LogLine, in_order


def jsonl_log(run: Run) -> list[LogLine]:
    """One line a request; its instants are seconds since the epoch, to the microsecond."""
    return in_order(LogLine(served.end, _text(served, run.physics.model)) for served in run.served)


def _text(served: Served, model: str) -> str:
    fields = {
        "id": served.id,
        "start": round(served.start, 6),
        "first_token": round(served.first_token, 6),
        "end": round(served.end, 6),
        "prompt_tokens": served.prompt_tokens,
        "output_tokens": served.output_tokens,
        "model": model,
        "status": served.outcome,
    }
    return json.dumps(fields)
