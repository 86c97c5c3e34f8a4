"""Counts of settled requests: histograms and totals of one model on one server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporter.domain.events import Outcome
from exporter.domain.readings import Method
from exporter.domain.settings import BucketSettings
from exporter.domain.snapshot import Direction, Exemplar, HistogramValue, ModelView, Phase, SettledRequest
from exporter.domain.units import Joules


class Histogram:
    """A histogram that keeps the latest request of each bucket."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = np.array(bounds, dtype=np.float64)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._exemplars: list[Exemplar | None] = [None] * (len(bounds) + 1)

    def observe(self, values: Sequence[float], requests: Sequence[SettledRequest]) -> None:
        """Take in observations, each with the request it belongs to."""
        if not values:
            return
        buckets = np.searchsorted(self._bounds, values, side="left")
        self._counts += np.bincount(buckets, minlength=len(self._counts))
        self._sum += float(np.sum(values))
        latest = dict(zip(buckets.tolist(), range(len(values)), strict=True))
        for bucket, index in latest.items():
            one = requests[index]
            self._exemplars[bucket] = Exemplar(one.id, values[index], one.end, one.trace_id)

    def value(self) -> HistogramValue:
        """The histogram as it stands."""
        return HistogramValue(
            tuple(self._bounds.tolist()), tuple(self._counts.tolist()), self._sum, tuple(self._exemplars)
        )

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values. Exemplars are news, not books: they need not."""
        return {"bounds": self._bounds.tolist(), "counts": self._counts.tolist(), "sum": self._sum}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot; with other bounds than now it begins anew, as its counts cannot be re-sorted."""
        if snapshot["bounds"] == self._bounds.tolist():
            self._counts = np.array(snapshot["counts"], dtype=np.int64)
            self._sum = snapshot["sum"]


@dataclass(slots=True)
class Tally:
    """All settled requests of one model on one server."""

    server: str
    model: str
    buckets: BucketSettings
    requests: dict[Outcome, int] = field(default_factory=lambda: {"ok": 0, "error": 0, "aborted": 0})
    tokens: dict[Direction, int] = field(default_factory=lambda: {"input": 0, "output": 0})
    phases: dict[Phase, float] = field(default_factory=lambda: {"prefill": 0.0, "decode": 0.0})
    energy: dict[Method, Histogram] = field(default_factory=dict)
    per_token: dict[Method, Histogram] = field(default_factory=dict)
    duration: Histogram = field(init=False)
    first_token: Histogram = field(init=False)

    def __post_init__(self) -> None:
        self.duration = Histogram(self.buckets.duration)
        self.first_token = Histogram(self.buckets.duration)

    def add(self, settled: Sequence[SettledRequest]) -> None:
        """Take in settled requests of this model."""
        for one in settled:
            self.requests[one.outcome] += 1
            self.tokens["input"] += one.prompt_tokens or 0
            self.tokens["output"] += one.output_tokens or 0
        known = [one for one in settled if one.has_energy]
        for method in {one.method for one in known}:
            mine = [one for one in known if one.method == method]
            spent = [one for one in mine if one.output_tokens]
            energy = self.energy.setdefault(method, Histogram(self.buckets.energy))
            per_token = self.per_token.setdefault(method, Histogram(self.buckets.energy_per_token))
            energy.observe([one.joules for one in mine], mine)
            per_token.observe([one.joules / (one.output_tokens or 1) for one in spent], spent)
        self.duration.observe([one.end - one.start + one.queued_seconds for one in settled], settled)
        told = [one for one in settled if one.time_to_first_token_seconds is not None]
        self.first_token.observe([one.time_to_first_token_seconds or 0.0 for one in told], told)

    def view(self) -> ModelView:
        """The tally as it stands."""
        return ModelView(
            server=self.server,
            model=self.model,
            requests=dict(self.requests),
            tokens=dict(self.tokens),
            energy={method: histogram.value() for method, histogram in self.energy.items()},
            energy_per_output_token={method: histogram.value() for method, histogram in self.per_token.items()},
            duration=self.duration.value(),
            time_to_first_token=self.first_token.value(),
            phase_joules={phase: Joules(joules) for phase, joules in self.phases.items()},
        )

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {
            "server": self.server,
            "model": self.model,
            "requests": self.requests,
            "tokens": self.tokens,
            "phases": self.phases,
            "energy": {method: histogram.snapshot() for method, histogram in self.energy.items()},
            "per_token": {method: histogram.snapshot() for method, histogram in self.per_token.items()},
            "duration": self.duration.snapshot(),
            "first_token": self.first_token.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self.requests.update(snapshot["requests"])
        self.tokens.update(snapshot["tokens"])
        self.phases.update(snapshot["phases"])
        for method, saved in snapshot["energy"].items():
            self.energy.setdefault(method, Histogram(self.buckets.energy)).restore(saved)
        for method, saved in snapshot["per_token"].items():
            self.per_token.setdefault(method, Histogram(self.buckets.energy_per_token)).restore(saved)
        self.duration.restore(snapshot["duration"])
        self.first_token.restore(snapshot["first_token"])
