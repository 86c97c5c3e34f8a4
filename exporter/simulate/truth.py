"""What the simulation knows and no exporter can: each request's true joules, held against what was settled."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exporter.domain.snapshot import SettledRequest
from exporter.simulate.replica import News

_MOST = 65_536
"""Requests kept that have ended and not been settled; beyond that the oldest are forgotten."""


@dataclass(slots=True)
class Comparison:
    """Requests that the exporter has settled, beside the truth.

    Attributes:
        requests: how many. true_joules: their energy. error_joules: sum of differences, each without its sign.
    """

    requests: int = 0
    true_joules: float = 0.0
    error_joules: float = 0.0

    @property
    def share_error(self) -> float | None:
        """Sum of |settled - true| over the sum of true joules; None before anything was compared."""
        return self.error_joules / self.true_joules if self.true_joules > 0.0 else None


@dataclass(slots=True)
class Truth:
    """True joules of requests, and how far off the exporter is.

    Attributes:
        ended: requests that ended. joules: all their energy.
        compared: those that the exporter has settled too, by the policy that shared their energy.
    """

    ended: int = 0
    joules: float = 0.0
    compared: dict[str, Comparison] = field(default_factory=lambda: defaultdict(Comparison))
    _waiting: dict[str, float] = field(default_factory=dict)

    def tell(self, news: News) -> None:
        """Take in who has ended."""
        for one in news.gone:
            self.ended += 1
            self.joules += one.joules
            self._waiting[one.request.id] = one.joules
        while len(self._waiting) > _MOST:
            del self._waiting[next(iter(self._waiting))]

    def compare(self, settled: Iterable[SettledRequest], policies: Mapping[str, str]) -> None:
        """Hold requests that have settled against the truth, each once, however often they are told.

        Args:
            settled: the requests.
            policies: by server, the attribution policy that was in force.
        """
        for one in settled:
            true = self._waiting.pop(_own_id(one.id, self._waiting), None)
            if true is not None:
                comparison = self.compared[policies[one.server]]
                comparison.requests += 1
                comparison.true_joules += true
                comparison.error_joules += abs(one.joules - true)


def _own_id(id_: str, known: Mapping[str, float]) -> str:
    """The id under which it ran: vLLM logs a completion under the number of its prompt."""
    return id_ if id_ in known else id_.removesuffix("-0")
