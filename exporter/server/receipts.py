"""`/api/v1/requests`: recently settled requests as JSON values. Instants are seconds since the Unix epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.domain.snapshot import SettledRequest, Snapshot


def recent(snapshot: Snapshot) -> Mapping[str, Any]:
    """The latest settled requests, the one that ended last first."""
    requests: Sequence[SettledRequest] = sorted(snapshot.recent, key=lambda request: request.end, reverse=True)
    return {"at": snapshot.at, "requests": [receipt(request) for request in requests]}


def receipt(request: SettledRequest) -> Mapping[str, Any]:
    """One request's energy. What is unknown is null."""
    return {
        "id": request.id,
        "server": request.server,
        "model": request.model,
        "start": request.start,
        "end": request.end,
        "duration_seconds": request.end - request.start,
        "queued_seconds": request.queued_seconds,
        "time_to_first_token_seconds": request.time_to_first_token_seconds,
        "outcome": request.outcome,
        "method": request.method,
        "energy_joules": request.joules,
        "energy_joules_by_device": dict(request.joules_by_device),
        "late_joules": request.late_joules,
        "prompt_tokens": request.prompt_tokens,
        "output_tokens": request.output_tokens,
    }
