"""What a metric family is."""

from dataclasses import dataclass
from typing import Literal

FamilyType = Literal["counter", "gauge", "histogram", "info"]
Stability = Literal["stable", "experimental"]
Topic = Literal[
    "Requests",
    "Power and energy",
    "Attribution",
    "Time as a proxy",
    "Budgets and carbon",
    "Components of models",
    "The exporter itself",
]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family.

    Attributes:
        name: as it stands on the page, with its `_total` or `_info`.
        labels: in the order in which values are given.
        topic: where it stands in the documentation.
        stability: a `stable` family keeps its name, labels and meaning; an `experimental` one may still lose them.
        since: the release that brought it.
    """

    name: str
    type: FamilyType
    help: str
    labels: tuple[str, ...]
    topic: Topic
    stability: Stability = "stable"
    since: str = "0.1.0"

    @property
    def unit(self) -> str:
        """The unit the name ends in, as OpenMetrics wants it declared; empty for a plain count."""
        last = self.name.removesuffix("_total").rsplit("_", 1)[-1]
        return last if last in UNITS else ""


UNITS = frozenset({"joules", "watts", "seconds", "bytes", "ratio"})
