"""A snapshot as Prometheus reads it: text or OpenMetrics. Pure, and it never raises for what a snapshot may hold.

Nothing is registered anywhere: every scrape writes its families anew from frozen values. There are no `_created`
series, and exemplars stand in OpenMetrics only, because the text format has none.

The bytes are those that prometheus_client would write, which the tests hold against it for pages of every kind. It is
not asked itself because a page with proxies has some hundred series a model, and a scrape stops everything else: a
histogram's labels are written once here and not once a bucket, which makes the page seven times cheaper.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from exporter.domain.snapshot import Exemplar, HistogramValue, Published
from exporter.metrics.accept import qualities
from exporter.metrics.catalogue import CATALOGUE, Family
from exporter.metrics.samples import Sample, samples

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_EXEMPLAR_LABEL = "request_id"
_EXEMPLAR_ROOM = 128 - len(_EXEMPLAR_LABEL)  # OpenMetrics: 128 characters for all names and values of an exemplar
_LONGEST_PLAIN = 6  # digits before the point; Go, and so Prometheus, writes larger numbers with an exponent


def render(published: Published, accept: str = "") -> tuple[bytes, str]:
    """Write the page.

    Args:
        published: what to show.
        accept: the client's `Accept` header; OpenMetrics is written for those who ask for it.

    Returns:
        The page and its content type.
    """
    openmetrics = wants_openmetrics(accept)
    lines = [line for group in _families(published) for line in _family(group, openmetrics=openmetrics)]
    if openmetrics:
        lines.append("# EOF\n")
    return "".join(lines).encode(), OPENMETRICS_TYPE if openmetrics else TEXT_TYPE


def wants_openmetrics(accept: str) -> bool:
    """Whether the client likes OpenMetrics at least as well as plain text."""
    weights = qualities(accept)
    openmetrics = weights.get("application/openmetrics-text", 0.0)
    return openmetrics > 0 and openmetrics >= weights.get("text/plain", 0.0)


def _families(published: Published) -> list[list[Sample]]:
    """The samples of every family that has one, in the catalogue's order."""
    grouped: dict[str, list[Sample]] = {family.name: [] for family in CATALOGUE}
    for sample in samples(published):
        grouped[sample.family.name].append(sample)
    return [group for group in grouped.values() if group]


def _family(group: Sequence[Sample], *, openmetrics: bool) -> Iterator[str]:
    family = group[0].family
    yield _header(family, openmetrics=openmetrics)
    for _, labels, value in group:
        match value:
            case HistogramValue() if family.type == "histogram":
                yield from _histogram(family, labels, value, openmetrics=openmetrics)
            case int() | float() if family.type != "histogram":
                written = _labels(family, labels)
                yield (
                    f"{family.name}{{{written}}} {_number(value)}\n" if written else f"{family.name} {_number(value)}\n"
                )
            case _:
                raise AssertionError(f"{family.name} is a {family.type} and cannot hold a {type(value).__name__}")


@lru_cache(maxsize=2 * len(CATALOGUE))
def _header(family: Family, *, openmetrics: bool) -> str:
    """OpenMetrics names a family without its suffix and tells its unit; the text format knows no infos."""
    meaning = family.help.replace("\\", r"\\").replace("\n", r"\n")
    if not openmetrics:
        kind = "gauge" if family.type == "info" else family.type
        return f"# HELP {family.name} {meaning}\n# TYPE {family.name} {kind}\n"
    name, meaning = family.name.removesuffix("_total").removesuffix("_info"), meaning.replace('"', r"\"")
    unit = f"# UNIT {name} {family.unit}\n" if family.unit else ""
    return f"# HELP {name} {meaning}\n# TYPE {name} {family.type}\n{unit}"


# Labels


def _labels(family: Family, values: Sequence[str]) -> str:
    before, after = _around_le(family)
    return ",".join([f'{name}="{_quoted(values[place])}"' for name, place in (*before, *after)])


def _with_le(family: Family, values: Sequence[str]) -> tuple[str, str]:
    """The labels of a histogram's bucket, up to the quoted bound and from there on."""
    before, after = _around_le(family)
    start = "".join([f'{name}="{_quoted(values[place])}",' for name, place in before])
    end = "".join([f',{name}="{_quoted(values[place])}"' for name, place in after])
    return f'{{{start}le="', f'"{end}}}'


class _Around(NamedTuple):
    """Labels by name, each with its place in the family: those before `le` and those after."""

    before: tuple[tuple[str, int], ...]
    after: tuple[tuple[str, int], ...]


@lru_cache(maxsize=len(CATALOGUE))
def _around_le(family: Family) -> _Around:
    placed = sorted((name, place) for place, name in enumerate(family.labels))
    return _Around(tuple(one for one in placed if one[0] < "le"), tuple(one for one in placed if one[0] > "le"))


def _quoted(text: str) -> str:
    """Escape what would end a label, and replace half surrogate pairs: a log in JSON can hold them and UTF-8 cannot."""
    if text.isalnum() and text.isascii():
        return text
    return _clean(text).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


# Values


def _histogram(family: Family, labels: Sequence[str], value: HistogramValue, *, openmetrics: bool) -> Iterator[str]:
    start, end = _with_le(family, labels)
    bounds, total = _bounds(value.bounds), 0
    exemplars = map(_exemplar, value.exemplars) if openmetrics else [""] * len(bounds)
    for bound, total, exemplar in zip(bounds, accumulate(value.counts), exemplars, strict=True):
        yield f"{family.name}_bucket{start}{bound}{end} {_number(total)}{exemplar}\n"
    written = _labels(family, labels)
    yield f"{family.name}_count{{{written}}} {_number(total)}\n"
    yield f"{family.name}_sum{{{written}}} {_number(value.sum)}\n"


@lru_cache(maxsize=32)  # a handful of bucket layouts, used by every model at every scrape
def _bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(_number, bounds), "+Inf")


def _exemplar(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    # A cut id still finds its request in a log; a longer one would cost the whole scrape.
    request_id = _quoted(_clean(exemplar.request_id)[:_EXEMPLAR_ROOM])
    return f' # {{{_EXEMPLAR_LABEL}="{request_id}"}} {_number(exemplar.value)} {round(exemplar.at, 3)}'


def _number(value: float) -> str:
    """The shortest digits that read back as this number, in Go's notation."""
    digits = repr(float(value))
    point = digits.find(".")
    if point <= _LONGEST_PLAIN or value < 0:
        return _WORDS.get(digits, digits)
    mantissa = f"{digits[0]}.{digits[1:point]}{digits[point + 1 :]}".rstrip("0.")
    return f"{mantissa}e+{point - 1:02d}"


_WORDS = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
