"""PromQL, as the dashboards ask it."""

from dataclasses import dataclass

TARGET = 'job=~"$job", instance=~"$instance"'
"""Which exporters. Every selector has it, so that a dashboard can be narrowed down to one of them."""

SERVER = f'{TARGET}, server=~"$server"'
MODEL = f'{SERVER}, model=~"$model"'


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        legend: what its series are called; Grafana fills in labels, as in `{{model}}`.
        exemplar: whether Prometheus is asked for exemplars too.
    """

    expr: str
    legend: str = ""
    exemplar: bool = False


def rate(series: str, by: str = "", where: str = TARGET) -> str:
    """A counter's rate a second, added up; drawn over time."""
    return f"{_sum(by)}(rate({series}{{{where}}}[$__rate_interval]))"


def increase(series: str, by: str = "", where: str = TARGET) -> str:
    """How much a counter grew over the dashboard's range, added up."""
    return f"{_sum(by)}(increase({series}{{{where}}}[$__range]))"


def total(series: str, by: str = "", where: str = TARGET) -> str:
    """A gauge, added up."""
    return f"{_sum(by)}({series}{{{where}}})"


def ratio(part: str, whole: str) -> str:
    """One over the other; nothing where the other is nothing."""
    return f"{part} / ({whole} > 0)"


def buckets(series: str, where: str) -> str:
    """What a heatmap shows: how many observations fell into each bucket."""
    return f"sum by (le) (increase({series}_bucket{{{where}}}[$__rate_interval]))"


def quantile(share: float, series: str, where: str) -> str:
    """A quantile out of a histogram's buckets, drawn over time."""
    return f"histogram_quantile({share:g}, {rate(f'{series}_bucket', 'le', where)})"


def quantile_over_range(share: float, series: str, where: str) -> str:
    """A quantile of all that a histogram saw in the dashboard's range."""
    return f"histogram_quantile({share:g}, {increase(f'{series}_bucket', 'le', where)})"


def mean(series: str, by: str = "", where: str = MODEL) -> str:
    """A histogram's mean, drawn over time."""
    return ratio(rate(f"{series}_sum", by, where), rate(f"{series}_count", by, where))


def mean_over_range(series: str, where: str = MODEL) -> str:
    """A histogram's mean over the dashboard's range."""
    return ratio(increase(f"{series}_sum", "", where), increase(f"{series}_count", "", where))


def running(by: str = "", where: str = MODEL) -> str:
    """Requests that ran at once, on average: request-seconds a second.

    Little's law, over settled requests: so it is in step with their energy, and right where a log tells of requests
    only when they are over, of which the gauge cannot know.
    """
    return rate("llm_request_duration_seconds_sum", by, where)


def or_none(expr: str, label: str) -> str:
    """The series of `expr`, or a zero called `none` where there are none: what may never have happened."""
    return f'{expr} or (label_replace(vector(0), "{label}", "none", "", "") unless on () {expr})'


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"
