"""A real Prometheus scrapes the real exporter while a real server is under load."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from exporter.demo.inference import RunningInference
from exporter.demo.load import ClientFact, generate
from exporter.metrics.catalogue import CATALOGUE
from tests.e2e.exporter_process import RunningExporter, running_exporter, watching
from tests.e2e.prometheus import Prometheus, running_prometheus
from tests.e2e.web import wait_until

pytestmark = pytest.mark.e2e

LOAD_SECONDS = 12.0
SETTLE_SECONDS = 30.0


@dataclass(frozen=True)
class Scraped:
    """A load that is over and settled, and the Prometheus that watched it."""

    prometheus: Prometheus
    exporter: RunningExporter
    facts: tuple[ClientFact, ...]


@pytest.fixture(scope="module")
def scraped(
    llama_server: RunningInference, prometheus_program: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scraped]:
    config = watching(llama_server.log, llama_server.model)
    with (
        running_exporter(config, tmp_path_factory.mktemp("exporter")) as exporter,
        running_prometheus(prometheus_program, exporter.url, tmp_path_factory.mktemp("prometheus")) as prometheus,
    ):
        wait_until(lambda: sum(prometheus.query("up").values()) == 1, SETTLE_SECONDS, "the exporter is scraped")
        facts = asyncio.run(generate(llama_server.url, LOAD_SECONDS))
        wait_until(
            lambda: sum(prometheus.query("llm_requests_total").values()) >= len(facts),
            SETTLE_SECONDS,
            f"Prometheus knows of {len(facts)} settled requests",
        )
        yield Scraped(prometheus, exporter, facts)


def test_every_scrape_succeeded(scraped: Scraped) -> None:
    assert scraped.prometheus.value("min_over_time(up[5m])") == 1
    assert [target["lastError"] for target in scraped.prometheus.targets()] == [""]


def test_no_sample_was_refused_as_a_duplicate_or_out_of_order(scraped: Scraped) -> None:
    page = scraped.prometheus
    assert page.value("scrape_samples_scraped") == page.value("scrape_samples_post_metric_relabeling")
    assert page.value("scrape_samples_scraped") > 0


@pytest.mark.parametrize(
    "name",
    [
        "llm_device_energy_joules_total",
        "llm_device_power_watts",
        "llm_energy_joules_total",
        "llm_request_duration_seconds_count",
        "llm_request_energy_joules_bucket",
        "llm_requests_total",
        "llm_tokens_total",
        "llm_power_source_info",
        "llm_energy_exporter_build_info",
    ],
)
def test_the_series_that_dashboards_stand_on_exist(scraped: Scraped, name: str) -> None:
    assert scraped.prometheus.query(name)


def test_the_rate_of_metered_energy_is_the_power(scraped: Scraped) -> None:
    rate = scraped.prometheus.value("sum(rate(llm_device_energy_joules_total[15s]))")
    power = scraped.prometheus.value("sum(avg_over_time(llm_device_power_watts[15s]))")
    assert rate == pytest.approx(power, rel=0.3)


def test_no_counter_ever_went_back(scraped: Scraped) -> None:
    counters = [family.name for family in CATALOGUE if family.type == "counter"]
    resets = {name: sum(scraped.prometheus.query(f"resets({name}[5m])").values()) for name in counters}
    assert {name for name, count in resets.items() if count} == set()


def test_the_mean_energy_of_a_request_is_a_plain_query(scraped: Scraped) -> None:
    mean = scraped.prometheus.value("sum(llm_request_energy_joules_sum) / sum(llm_request_energy_joules_count)")
    share = scraped.prometheus.value('sum(llm_energy_joules_total{share="requests"})')
    assert mean == pytest.approx(share / len(scraped.facts), rel=0.01)


def test_single_requests_are_found_through_exemplars(scraped: Scraped) -> None:
    """Stored only where the page was negotiated in OpenMetrics, which Prometheus asks for."""
    exemplars = scraped.prometheus.exemplars("llm_request_energy_joules_bucket")
    assert exemplars
    assert all(exemplar["labels"]["request_id"] for exemplar in exemplars)
    assert all(abs(float(exemplar["timestamp"]) - time.time()) < 300 for exemplar in exemplars)


def test_promtool_finds_nothing_to_improve(scraped: Scraped, promtool: str) -> None:
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=scraped.exporter.text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
