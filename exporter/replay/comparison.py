"""Policies held against each other on the ground on which proxies are held against a policy: each request's share.

A rule that shares energy and a rule that predicts it answer the same question, what one request costs, and so they can
stand in one table. There, how far another policy is from the recorded one says how far two rules disagree, and neither
is the truth. On the two grounds that are metered a policy has nothing to prove: a request that ran alone gets what was
metered, and shares add up to the meter in every window, both by construction.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np

from exporter.domain.settings import PolicyName
from exporter.domain.snapshot import Ground, ProxyView, ScoreName, SettledRequest
from exporter.proxy.scoring.scores import Scores

_BATCH = 1_000
"""Samples that wait to be scored together: to score a few costs as much as to score many."""
_NOTHING: Mapping[ScoreName, float] = {}

Kind = Literal["policy", "proxy"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one rule did on one ground, for one model on one server. Scores that are not defined are left out."""

    server: str
    model: str
    kind: Kind
    name: str
    ground: Ground
    samples: int
    scores: Mapping[ScoreName, float]


def standings_of(proxies: Sequence[ProxyView]) -> Iterator[Standing]:
    """What the pipeline says of proxies: over all time, ground by ground."""
    for view in proxies:
        for ground, score in view.scores.items():
            yield Standing(view.server, view.model, "proxy", view.proxy, ground, score.samples, score.lifetime)


@dataclass(slots=True)
class _Samples:
    """Joules as they are, and as each policy says, a row a request; scored a batch at a time."""

    scores: Scores
    rows: list[tuple[float, Sequence[float]]] = field(default_factory=list)

    def add(self, actual: float, said: Sequence[float]) -> None:
        """One request. What is nothing can be missed by no percentage of it: it is left out."""
        if actual > 0.0:
            self.rows.append((actual, said))
            if len(self.rows) >= _BATCH:
                self.score()

    def score(self) -> Scores:
        """The scores, of all that was added."""
        if self.rows:
            rows, self.rows = self.rows, []
            self.scores.add(np.array([actual for actual, _ in rows]), np.array([said for _, said in rows]).T)
        return self.scores


class Comparison:
    """Several policies on the same requests. The first is the yardstick.

    Attributes:
        joules: given to requests, by policy. moved: sum of |difference| from what the yardstick gives each.
        requests: compared; those whose energy is known. unmatched: not compared, because they did not settle at the
            same moment under all policies.
    """

    def __init__(self, policies: Sequence[PolicyName]) -> None:
        self.policies = tuple(policies)
        self.joules = dict.fromkeys(policies, 0.0)
        self.moved = dict.fromkeys(policies, 0.0)
        self.requests = self.unmatched = 0
        self._samples: dict[tuple[str, str], _Samples] = {}

    def take(self, settled: Sequence[Sequence[SettledRequest]]) -> None:
        """Requests that settled at one moment, by policy."""
        others = [{(one.server, one.id, one.start): one.joules for one in each} for each in settled[1:]]
        for one in filter(lambda each: each.has_energy, settled[0]):
            said = [other.get((one.server, one.id, one.start)) for other in others]
            if None in said:
                self.unmatched += 1
            else:
                self._compare(one, [one.joules, *(joules for joules in said if joules is not None)])

    def _compare(self, one: SettledRequest, said: Sequence[float]) -> None:
        self.requests += 1
        for policy, joules in zip(self.policies, said, strict=True):
            self.joules[policy] += joules
            self.moved[policy] += abs(joules - one.joules)
        key = (one.server, one.model)
        if key not in self._samples:
            self._samples[key] = _Samples(Scores(len(self.policies)))
        self._samples[key].add(one.joules, said)

    def standings(self) -> Iterator[Standing]:
        """Every policy but the yardstick, against it."""
        for (server, model), samples in self._samples.items():
            scores = samples.score()
            rows = zip(self.policies, scores.samples, scores.lifetime(), strict=True)
            for name, count, known in islice(rows, 1, None):
                yield Standing(server, model, "policy", name, "request", count, known)
