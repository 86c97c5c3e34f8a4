"""All that is kept of one model's proxies: how they did, what is booked, how far off they were, how long requests take.

A request is predicted and scored the moment it settles. The rest is not urgent and costs the same for one request as
for hundreds, so it waits until there are many, or until a window is to be closed. When that happens depends on nothing
but what was settled, or a replay would not say what was said live.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from exporter.domain.settings import ProxyName
from exporter.ledger.claims import Claims, Floats
from exporter.pipeline.booking import Bookings
from exporter.pipeline.requests import Finished
from exporter.proxy.calibrator import Calibrator
from exporter.proxy.latency import LatencyProfile
from exporter.proxy.proxy import Features
from exporter.proxy.scorer import Scorer

_MANY = 256


class _Settled(NamedTuple):
    """Requests that have been predicted; columns, a row each. `told`: whether the first token was."""

    claims: Claims
    told: Floats
    seen: Features
    attributed: Floats
    metered: Floats
    predicted: Mapping[ProxyName, Floats]


@dataclass(slots=True)
class Student:
    """One model on one server."""

    scorer: Scorer
    booked: Bookings
    calibrator: Calibrator = field(default_factory=Calibrator)
    latency: LatencyProfile = field(default_factory=LatencyProfile)
    _waiting: list[_Settled] = field(default_factory=list)

    def settle(
        self, finished: Sequence[Finished], seen: Features, attributed: Floats, metered: Floats
    ) -> Mapping[ProxyName, Floats]:
        """Predict requests that settle. Arguments and result as of `Proxying.settle`."""
        predicted = self.scorer.settle(seen, attributed, metered)
        claims = Claims.of([one.life for one in finished])
        told = np.array([one.news.first_token is not None for one in finished], dtype=np.float64)
        self._waiting.append(_Settled(claims, told, seen, attributed, metered, predicted))
        if sum(len(each.told) for each in self._waiting) >= _MANY:
            self.take_in()
        return predicted

    def take_in(self) -> None:
        """Book what has been predicted, and learn from it how far predictions are off and how long requests take."""
        if not self._waiting:
            return
        all_of = _together(self._waiting)
        self._waiting.clear()
        self.calibrator.observe(all_of.seen, all_of.predicted, all_of.attributed, all_of.metered)
        self.booked.add(all_of.claims, all_of.seen, {str(name): joules for name, joules in all_of.predicted.items()})
        self.latency.learn(*_latencies(all_of))

    def samples(self) -> dict[str, Any]:
        """What is saved now and then, as JSON values."""
        return {
            "scores": self.scorer.samples(),
            "calibrator": self.calibrator.snapshot(),
            "latency": self.latency.snapshot(),
        }

    def restore(self, books: Mapping[str, Any], samples: Mapping[str, Any]) -> None:
        """Go on from what was saved."""
        self.scorer.restore(books, samples.get("scores"))
        if samples:
            self.calibrator.restore(samples["calibrator"])
            self.latency.restore(samples["latency"])


def _together(parts: Sequence[_Settled]) -> _Settled:
    return _Settled(
        claims=Claims(*_columns([each.claims for each in parts], Claims)),
        told=np.concatenate([each.told for each in parts]),
        seen=Features(*_columns([each.seen for each in parts], Features)),
        attributed=np.concatenate([each.attributed for each in parts]),
        metered=np.concatenate([each.metered for each in parts]),
        predicted={name: np.concatenate([each.predicted[name] for each in parts]) for name in parts[0].predicted},
    )


def _columns(parts: Sequence[Any], kind: type[Any]) -> list[Floats]:
    return [np.concatenate([getattr(each, one.name) for each in parts]) for one in fields(kind)]


def _latencies(of: _Settled) -> tuple[Floats, Floats, Floats, Floats]:
    """As a latency profile learns them: prompt tokens, seconds to the first token and for each after it, concurrency.

    A prompt that was cached in part takes less time than its tokens: only what was computed counts. Queueing is no
    matter of hardware: it is left out.
    """
    claims, seen, told = of.claims, of.seen, of.told > 0.0
    first = np.where(told, claims.first_token - claims.start, np.nan)
    decoded = np.where(told & (seen.decode_tokens > 0.0), seen.decode_tokens, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        concurrency = np.nan_to_num((claims.end - claims.start) / seen.shared_seconds, nan=1.0)
    return seen.prefill_tokens, first, (claims.end - claims.first_token) / decoded, concurrency
