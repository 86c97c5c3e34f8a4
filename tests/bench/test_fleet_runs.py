"""What the fleet's benchmarks count and ask is sound. No figure is judged."""

import pytest

from tests.bench.fleet import dashboard_queries, grown
from tests.bench.series import SHAPES, Shape, page, series_by_family
from tests.deploy.promql import asked


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_page_has_no_series_twice(shape: Shape) -> None:
    lines = [line.rsplit(" ", 1)[0] for line in page(shape).splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(set(lines)) == series_by_family(page(shape)).total()


def test_more_to_watch_is_more_series() -> None:
    counts = [series_by_family(page(Shape("", gpus=gpus, models=gpus))).total() for gpus in (1, 2, 4)]
    assert counts == sorted(set(counts))


def test_counters_grow_and_gauges_stay() -> None:
    text = 'llm_requests_total{server="a"} 3.0\nllm_running_requests{server="a"} 4.0\n'
    assert grown(text, 2.0) == 'llm_requests_total{server="a"} 6.0\nllm_running_requests{server="a"} 4.0\n'


def test_the_dashboards_queries_parse_once_its_variables_are_filled() -> None:
    queries = dashboard_queries()
    assert queries
    assert all(asked(query).series for query in queries)
