"""What a PromQL expression asks for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import promql_parser as promql

from exporter.metrics.catalogue import CATALOGUE

TARGET_LABELS = frozenset({"job", "instance", "pod", "node", "namespace", "cluster"})
"""Labels that come from the scrape."""

PROMETHEUS_OWN = frozenset({"up", "ALERTS"})

_OWN_LABELS = frozenset(label for family in CATALOGUE for label in family.labels) | {"le"}


@dataclass
class Asked:
    """Series by name with the labels they are selected by, and the labels that are grouped or matched by."""

    series: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)

    def _visit(self, node: object) -> None:
        match node:
            case promql.VectorSelector():
                matched = frozenset(matcher.name for matcher in node.matchers.matchers)
                self.series.append((node.name or "", matched))
            case promql.AggregateExpr() if node.modifier is not None:
                self.labels.update(node.modifier.labels)
            case promql.BinaryExpr() if node.modifier is not None:
                matching = node.modifier.matching
                self.labels.update(matching.labels if matching is not None else ())
                self.labels.update(node.modifier.group_labels or ())
            case _:
                pass


def asked(expression: str) -> Asked:
    """Parses the expression; ValueError where it is none."""
    found = Asked()
    promql.walk(promql.parse(expression), found._visit)
    return found


def level_of(recorded: str) -> frozenset[str]:
    """The exporter's own labels that are left: `server_model:...` has `server` and `model`."""
    words = recorded.split(":", maxsplit=1)[0].split("_")
    labels = {"_".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)} & _OWN_LABELS
    return frozenset(labels)


def known_series(recorded: Iterator[str] | list[str]) -> Mapping[str, frozenset[str]]:
    """Every series that there is, by name, with the labels that it has besides the target's."""
    found: dict[str, frozenset[str]] = {name: level_of(name) for name in recorded}
    for family in CATALOGUE:
        labels = frozenset(family.labels)
        if family.type == "histogram":
            found |= {f"{family.name}_sum": labels, f"{family.name}_count": labels}
            found[f"{family.name}_bucket"] = labels | {"le"}
        else:
            found[family.name] = labels
    return found | {name: frozenset({"alertname", "alertstate", "severity"}) for name in PROMETHEUS_OWN}


def unknown_in(expression: str, known: Mapping[str, frozenset[str]]) -> list[str]:
    """What the expression asks for and nobody has, in words; empty if all is well."""
    wanted = asked(expression)
    problems = [f"no series {name}" for name, _ in wanted.series if name not in known]
    problems += [
        f"{name} has no label {label}"
        for name, matched in wanted.series
        for label in sorted(matched - TARGET_LABELS - known.get(name, matched))
    ]
    return problems + [f"no label {label}" for label in sorted(wanted.labels - TARGET_LABELS - _OWN_LABELS)]
