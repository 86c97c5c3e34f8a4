"""The page as prometheus_client writes it: what ours is held against."""

from collections.abc import Callable, Iterator, Sequence
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

from exporter.domain.snapshot import Exemplar, HistogramValue, Published
from exporter.metrics.catalogue import CATALOGUE, Family
from exporter.metrics.exposition import wants_openmetrics
from exporter.metrics.samples import Sample, samples

# Every name of ours is plain ASCII, so both escapings write the same bytes; this one skips a slow walk over each name.
_as_openmetrics, _ = choose_encoder("application/openmetrics-text; version=1.0.0; escaping=allow-utf-8")
_as_text, _ = choose_encoder("")

_FAMILIES: dict[str, Callable[..., Metric]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def written_by_the_client(published: Published, accept: str = "") -> bytes:
    """The page's bytes."""
    page = _Page(families(published))
    return _as_openmetrics(page) if wants_openmetrics(accept) else _as_text(page)


def families(published: Published) -> list[Metric]:
    """Every family that has a sample, in the catalogue's order."""
    grouped: dict[str, list[Sample]] = {family.name: [] for family in CATALOGUE}
    for sample in samples(published):
        grouped[sample.family.name].append(sample)
    return [_family(group[0].family, group) for group in grouped.values() if group]


class _Page(Collector):
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


def _bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*(str(floatToGoString(bound)) for bound in bounds), "+Inf")  # type: ignore[no-untyped-call]  # not annotated


def _exemplar(exemplar: Exemplar) -> ClientExemplar:
    label = {"request_id": _clean(exemplar.request_id)[:118]}
    return ClientExemplar(label, exemplar.value, round(exemplar.at, 3))


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
