"""Policies and proxies on the same grounds: a policy's shares are held against what proxies are held against.

A rule that shares energy and a rule that predicts it answer the same question, what one request costs, and so they can
stand in one table. On ground `isolated` both are held against what was metered of requests that ran alone. On ground
`request` both are held against the shares of one policy: for another policy that is how far the two disagree, and
neither is the truth. On ground `window` policies have nothing to say: their shares add up to the meter by construction.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from exporter.domain.settings import PolicyName
from exporter.domain.snapshot import Ground, ProxyView, ScoreName, SettledRequest
from exporter.proxy.scores import Scores

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
        joules: given to requests, by policy. moved: of these, given to other requests than the yardstick would:
            sum of |difference|.
        unmatched: requests that did not settle at the same moment under all policies, and were not compared.
    """

    def __init__(self, policies: Sequence[PolicyName]) -> None:
        self.policies = tuple(policies)
        self.joules = dict.fromkeys(policies, 0.0)
        self.moved = dict.fromkeys(policies, 0.0)
        self.unmatched = 0
        self._samples: dict[tuple[str, str, Ground], _Samples] = {}

    def take(self, settled: Sequence[Sequence[SettledRequest]]) -> None:
        """Requests that settled at one moment, by policy."""
        others = [{(one.server, one.id, one.start): one.joules for one in each} for each in settled[1:]]
        for one in settled[0]:
            said = [other.get((one.server, one.id, one.start)) for other in others]
            if None in said:
                self.unmatched += 1
            else:
                self._compare(one, [one.joules, *(joules for joules in said if joules is not None)])

    def _compare(self, one: SettledRequest, said: Sequence[float]) -> None:
        for policy, joules in zip(self.policies, said, strict=True):
            self.joules[policy] += joules
            self.moved[policy] += abs(joules - one.joules)
        if one.metered_joules is not None:
            self._ground(one, "isolated").add(one.metered_joules, said)
        self._ground(one, "request").add(one.joules, said)

    def _ground(self, one: SettledRequest, ground: Ground) -> _Samples:
        key = (one.server, one.model, ground)
        if key not in self._samples:
            self._samples[key] = _Samples(Scores(len(self.policies)))
        return self._samples[key]

    def standings(self) -> Iterator[Standing]:
        """Every policy on every ground, but the yardstick on its own."""
        for (server, model, ground), samples in self._samples.items():
            scores = samples.score()
            for policy, count, known in zip(self.policies, scores.samples, scores.lifetime(), strict=True):
                if ground != "request" or policy != self.policies[0]:
                    yield Standing(server, model, "policy", policy, ground, count, known)
