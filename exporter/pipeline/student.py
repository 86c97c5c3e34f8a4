"""All that is kept of one model's proxies: how they did, what is booked, how far off they were, how long requests take.

A request is predicted and scored the moment it settles. The rest is not urgent and costs the same for one request as
for hundreds, so it waits until there are many, or until a window is to be closed. When that happens depends on nothing
but what was settled, or a replay would not say what was said live.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exporter.domain.settings import PolicyName, ProxyName
from exporter.ledger.claims import Claims, Floats
from exporter.pipeline.booking import Bookings
from exporter.pipeline.waiting import Finished
from exporter.proxy.calibration.calibrator import Calibrator
from exporter.proxy.calibration.latency import LatencyProfile
from exporter.proxy.proxy import Features
from exporter.proxy.scoring.scorer import Scorer

_MANY = 256


class Settled(NamedTuple):
    """Requests that settle; columns, a row each.

    Attributes:
        seen: what can be seen of them without a meter.
        attributed: joules that each was given. rule: by which policy.
        metered: joules of those that ran alone, NaN for the others.
    """

    seen: Features
    attributed: Floats
    metered: Floats
    rule: PolicyName


class _Predicted(NamedTuple):
    """What waits to be taken in. `told`: whether the first token was."""

    settled: Settled
    claims: Claims
    told: Floats
    joules: Mapping[ProxyName, Floats]


@dataclass(slots=True)
class Student:
    """One model on one server."""

    scorer: Scorer
    booked: Bookings
    calibrator: Calibrator = field(default_factory=Calibrator)
    latency: LatencyProfile = field(default_factory=LatencyProfile)
    _waiting: list[_Predicted] = field(default_factory=list)

    def settle(self, finished: Sequence[Finished], settled: Settled) -> Mapping[ProxyName, Floats]:
        """Predict requests that settle. Arguments and result as of `Proxying.settle`."""
        if self._waiting and self._waiting[-1].settled.rule != settled.rule:
            self.take_in()
        predicted = self.scorer.settle(settled.seen, settled.attributed, settled.metered)
        claims = Claims.of([one.life for one in finished])
        told = np.array([one.news.first_token is not None for one in finished], dtype=np.float64)
        self._waiting.append(_Predicted(settled, claims, told, predicted))
        if sum(len(each.told) for each in self._waiting) >= _MANY:
            self.take_in()
        return predicted

    def take_in(self) -> None:
        """Book what has been predicted, and learn from it how far predictions are off and how long requests take."""
        if not self._waiting:
            return
        settled, claims, told, joules = _together(self._waiting)
        self._waiting.clear()
        self.calibrator.observe(settled.seen, joules, settled.attributed, settled.metered, settled.rule)
        self.booked.add(claims, settled.seen, {str(name): each for name, each in joules.items()})
        self.latency.learn(*_latencies(settled.seen, claims, told > 0.0))

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
            self.calibrator.restore(samples.get("calibrator", {}))
            self.latency.restore(samples.get("latency", {}))


def _together(parts: Sequence[_Predicted]) -> _Predicted:
    """All of them as one; the rule is the same for all."""
    settled = [each.settled for each in parts]
    return _Predicted(
        settled=Settled(
            seen=Features(*_columns([each.seen for each in settled], Features)),
            attributed=np.concatenate([each.attributed for each in settled]),
            metered=np.concatenate([each.metered for each in settled]),
            rule=settled[0].rule,
        ),
        claims=Claims(*_columns([each.claims for each in parts], Claims)),
        told=np.concatenate([each.told for each in parts]),
        joules={name: np.concatenate([each.joules[name] for each in parts]) for name in parts[0].joules},
    )


def _columns(parts: Sequence[Any], kind: type[Any]) -> list[Floats]:
    return [np.concatenate([getattr(each, one.name) for each in parts]) for one in fields(kind)]


def _latencies(seen: Features, claims: Claims, told: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats, Floats]:
    """As a latency profile learns them: prompt tokens, seconds to the first token and for each after it, concurrency.

    A prompt that was cached in part takes less time than its tokens: only what was computed counts. Queueing is no
    matter of hardware: it is left out.
    """
    first = np.where(told, claims.first_token - claims.start, np.nan)
    decoded = np.where(told & (seen.decode_tokens > 0.0), seen.decode_tokens, np.nan)
    return seen.prefill_tokens, first, (claims.end - claims.first_token) / decoded, seen.concurrency
