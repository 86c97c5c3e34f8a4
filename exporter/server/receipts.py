"""Settled requests as JSON values: recent ones, and one's receipt. Instants are seconds since the Unix epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.domain.readings import Method
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.server.quantities import joules

INTERVAL_PROBABILITY = 0.9
"""An estimate's interval is to hold this part of the true values."""

_ALONE = 1.005  # "1.00 requests at a time" would be a strange way of saying that it was alone


_HOW_KNOWN: Mapping[Method, str] = {
    "measured": "measured",
    "estimated": "ESTIMATED by a model of the device: no sensor was read",
    "simulated": "SIMULATED: nothing real used this energy",
    "recorded": "RECORDED at another time and place: this request did not draw it",
    "time_proxy": "PREDICTED from time by a calibration: nothing was metered",
}


def recent(snapshot: Snapshot) -> Mapping[str, Any]:
    """The latest settled requests, the one that ended last first."""
    requests: Sequence[SettledRequest] = sorted(snapshot.recent, key=lambda request: request.end, reverse=True)
    return {"at": snapshot.at, "requests": [receipt(request) for request in requests]}


def receipt_of(snapshot: Snapshot, request_id: str) -> Mapping[str, Any] | None:
    """The energy receipt of the request with this id, which ended last if several have it; None if it is not recent."""
    found = [request for request in snapshot.recent if request.id == request_id]
    if not found:
        return None
    request = max(found, key=lambda one: one.end)
    return {**receipt(request), "at": snapshot.at, "in_words": in_words(request)}


def not_among(snapshot: Snapshot) -> Mapping[str, str]:
    """What is said instead of a receipt."""
    return {
        "error": f"no request with this id is among the {len(snapshot.recent)} that settled last",
        "hint": "a request settles some seconds after its end, is kept in memory only, and makes room for later ones; "
        "/api/v1/requests lists those that are here",
    }


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
        "concurrency": request.concurrency,
        "outcome": request.outcome,
        "method": request.method if request.has_energy else None,
        "energy_joules": request.joules if request.has_energy else None,
        "interval": _interval(request),
        "metered_joules": request.metered_joules,
        "energy_joules_by_device": dict(request.joules_by_device),
        "late_joules": request.late_joules,
        "predicted": dict(request.predicted),
        "prompt_tokens": request.prompt_tokens,
        "output_tokens": request.output_tokens,
        "tenant": request.tenant,
        "trace_id": request.trace_id,
    }


def in_words(request: SettledRequest) -> str:
    """How its energy came to be known, so that nobody takes one kind of number for another."""
    if not request.has_energy:
        return "Nothing meters its server and there is no calibration: its energy is not known."
    known = f"{joules(request.joules)}, {_HOW_KNOWN[request.method]}."
    return f"{known} {_odds(request) if request.method == 'time_proxy' else _split(request)}"


def _split(request: SettledRequest) -> str:
    if request.metered_joules is not None:
        return f"It ran alone: all energy of that time is its own, {joules(request.metered_joules)}."
    if request.concurrency < _ALONE:
        return "It ran alone, but too briefly for energy of its own to be told from the rest."
    return (
        f"It was one of {request.concurrency:.1f} at a time on average: this is its share, by the attribution policy."
    )


def _odds(request: SettledRequest) -> str:
    if request.interval is None:
        return "How far off that may be is not known."
    low, high = request.interval
    return f"Nine of ten true values are to lie between {joules(low)} and {joules(high)}."


def _interval(request: SettledRequest) -> Mapping[str, float] | None:
    if request.interval is None:
        return None
    low, high = request.interval
    return {"low_joules": low, "high_joules": high, "probability": INTERVAL_PROBABILITY}
