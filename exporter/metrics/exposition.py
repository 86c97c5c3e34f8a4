"""A snapshot as Prometheus reads it: text or OpenMetrics. Pure, and it never raises for what a snapshot may hold.

prometheus_client writes the formats; nothing is registered with it, every scrape builds its families anew from frozen
values. There are no `_created` series, and exemplars stand in OpenMetrics only, because the text format has none.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as ClientExemplar
from prometheus_client.utils import floatToGoString

from exporter.domain.health import Published
from exporter.domain.snapshot import Exemplar, HistogramValue
from exporter.metrics.accept import qualities
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.catalogue.family import Family
from exporter.metrics.samples import Sample, samples

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

# Every name of ours is plain ASCII, so both escapings write the same bytes; this one skips a slow walk over each name.
_as_openmetrics, _ = choose_encoder("application/openmetrics-text; version=1.0.0; escaping=allow-utf-8")
_as_text, _ = choose_encoder("")

_EXEMPLAR_ROOM = 128  # OpenMetrics: so many characters for all names and values of an exemplar

_FAMILIES: dict[str, Callable[..., Metric]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def render(published: Published, accept: str = "") -> tuple[bytes, str]:
    """Write the page.

    Args:
        published: what to show.
        accept: the client's `Accept` header; OpenMetrics is written for those who ask for it.

    Returns:
        The page and its content type.
    """
    page = _Page(families(published))
    if wants_openmetrics(accept):
        return _as_openmetrics(page), OPENMETRICS_TYPE
    return _as_text(page), TEXT_TYPE


def wants_openmetrics(accept: str) -> bool:
    """Whether the client likes OpenMetrics at least as well as plain text."""
    weights = qualities(accept)
    openmetrics = weights.get("application/openmetrics-text", 0.0)
    return openmetrics > 0 and openmetrics >= weights.get("text/plain", 0.0)


def families(published: Published) -> list[Metric]:
    """Every family that has a sample, in the catalogue's order."""
    grouped: dict[str, list[Sample]] = {family.name: [] for family in CATALOGUE}
    for sample in samples(published):
        grouped[sample.family.name].append(sample)
    return [_family(group[0].family, group) for group in grouped.values() if group]


class _Page(Collector):
    """What prometheus_client's encoders want to be given."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def _family(family: Family, group: Sequence[Sample]) -> Metric:
    if family.type == "info":
        return _info(family, group)
    metric = _FAMILIES[family.type](family.name, family.help, labels=family.labels, unit=family.unit)
    for _, labels, value in group:
        _add(metric, [_clean(label) for label in labels], value)
    return metric


def _info(family: Family, group: Sequence[Sample]) -> Metric:
    metric = InfoMetricFamily(family.name.removesuffix("_info"), family.help, labels=family.labels)
    for sample in group:
        metric.add_metric([_clean(label) for label in sample.labels], {})
    return metric


def _add(metric: Metric, labels: Sequence[str], value: float | HistogramValue) -> None:
    match metric, value:
        case HistogramMetricFamily(), HistogramValue():
            metric.add_metric(labels, _buckets(value), value.sum)
        case ((CounterMetricFamily() | GaugeMetricFamily()), (int() | float())):
            metric.add_metric(labels, value)
        case _:
            raise AssertionError(f"{metric.name} is a {metric.type} and cannot hold a {type(value).__name__}")


def _buckets(value: HistogramValue) -> list[tuple[str, float] | tuple[str, float, ClientExemplar]]:
    counted = zip(_bounds(value.bounds), accumulate(value.counts), value.exemplars, strict=True)
    return [
        (bound, count) if exemplar is None else (bound, count, _exemplar(exemplar))
        for bound, count, exemplar in counted
    ]


@lru_cache(maxsize=32)  # a handful of bucket layouts, used by every model at every scrape
def _bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*(str(floatToGoString(bound)) for bound in bounds), "+Inf")  # type: ignore[no-untyped-call]  # not annotated


def _exemplar(exemplar: Exemplar) -> ClientExemplar:
    # A cut id still finds its request in a log; a longer one would cost the whole scrape.
    trace = {"trace_id": _clean(exemplar.trace_id)} if exemplar.trace_id else {}
    room = _EXEMPLAR_ROOM - len("request_id") - sum(len(name) + len(value) for name, value in trace.items())
    labels = {"request_id": _clean(exemplar.request_id)[:room], **trace}
    return ClientExemplar(labels, exemplar.value, round(exemplar.at, 3))


def _clean(text: str) -> str:
    """Replace half surrogate pairs, which a log in JSON can hold and UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
