"""docs/METRICS.md, written from the catalogue."""

from collections.abc import Iterable, Iterator
from typing import get_args

from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.catalogue.family import Family, Topic
from exporter.metrics.catalogue.labels import LABELS

_PREFACE = """\
# Metrics

<!-- Written by `python -m exporter.metrics > docs/METRICS.md`. Do not edit. -->

`/metrics` speaks the Prometheus text format, and OpenMetrics to those who ask for it. Units are base units. What is
not known is absent, never 0. Counters keep counting across restarts where `state_dir` is configured.

For every device the books balance, to rounding:

    llm_device_energy_joules_total = sum over share of llm_energy_joules_total + llm_energy_unsettled_joules

Exemplars of the histograms carry `request_id`, in OpenMetrics only. Power and energy are sampled on the exporter's own
timer, not at the scrape: joules would be lost otherwise.

A *stable* family keeps its name, its labels and its meaning; an *experimental* one may still change."""

_TOPICS: tuple[Topic, ...] = get_args(Topic)


def markdown() -> str:
    """The whole page."""
    sections = [_PREFACE, *(_section(topic) for topic in _TOPICS), _labels()]
    return "\n\n".join(sections) + "\n"


def _section(topic: Topic) -> str:
    families = [family for family in CATALOGUE if family.topic == topic]
    return f"## {topic}\n\n" + "\n".join(_rows(families))


def _rows(families: Iterable[Family]) -> Iterator[str]:
    yield "| metric | type | labels | meaning | since |"
    yield "|---|---|---|---|---|"
    for family in families:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        since = family.since if family.stability == "stable" else f"{family.since}, {family.stability}"
        yield f"| `{family.name}` | {family.type} | {labels} | {family.help} | {since} |"


def _labels() -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in sorted(LABELS.items())]
    return "\n".join(["## Labels", "", "| label | meaning |", "|---|---|", *rows])
