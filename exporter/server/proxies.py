"""`/api/v1/proxy`: what the proxies predict, how well, and what they learned, as JSON values. Unknown is null."""

import math
from collections.abc import Mapping
from typing import Any

from exporter.domain.snapshot import ProxyView, ScoreName, ScoreView, SettledRequest, Snapshot
from exporter.proxy.proxies import UNITS


def proxies(snapshot: Snapshot) -> Mapping[str, Any]:
    """All proxies, and the recent requests that they predicted, the one that ended last first.

    A request whose energy is itself a prediction is not among the points: it would be held against itself.
    """
    points = [one for one in snapshot.recent if one.predicted and one.has_energy and one.method != "time_proxy"]
    return {
        "at": snapshot.at,
        "proxies": [_proxy(view) for view in snapshot.proxies],
        "points": [_point(request) for request in sorted(points, key=lambda one: one.end, reverse=True)],
    }


def _proxy(view: ProxyView) -> Mapping[str, Any]:
    return {
        "server": view.server,
        "model": view.model,
        "proxy": view.proxy,
        "predicted_joules": view.predicted_joules,
        "unpredicted": view.unpredicted,
        "coefficients": {
            term: {
                "value": _finite(learned.value),
                "error": _finite(learned.error),
                "unit": UNITS[view.proxy].get(term),
            }
            for term, learned in view.coefficients.items()
        },
        "scores": {ground: _score(score) for ground, score in view.scores.items()},
    }


def _score(view: ScoreView) -> Mapping[str, Any]:
    return {
        "samples": view.samples,
        "recent": _scores(view.recent),
        "lifetime": _scores(view.lifetime),
        "drift": _finite(view.drift),
        "drifting": view.drifting,
    }


def _scores(known: Mapping[ScoreName, float]) -> Mapping[str, float | None]:
    return {name: _finite(value) for name, value in known.items()}


def _point(request: SettledRequest) -> Mapping[str, Any]:
    return {
        "id": request.id,
        "server": request.server,
        "model": request.model,
        "end": request.end,
        "method": request.method,
        "alone": request.metered_joules is not None,
        "concurrency": request.concurrency,
        "energy_joules": request.joules,
        "metered_joules": request.metered_joules,
        "predicted": {proxy: _finite(predicted) for proxy, predicted in request.predicted.items()},
    }


def _finite(value: float | None) -> float | None:
    """JSON has no word for infinity, nor for what is no number."""
    return value if value is not None and math.isfinite(value) else None
