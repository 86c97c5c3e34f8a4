import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from exporter.domain.health import Published
from exporter.domain.settings import ENERGY_BUCKETS
from exporter.domain.snapshot import CoefficientView, Direction, ModelView, ProxyView
from exporter.domain.units import Watts
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.exposition import OPENMETRICS_TYPE, TEXT_TYPE, families, render
from tests.metrics.examples import (
    GPU0,
    device_view,
    health,
    histogram,
    large,
    model_view,
    nothing_yet,
    proxy_view,
    published,
    score_view,
    server_view,
)

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def parse_openmetrics(page: str) -> Iterator[Metric]:
    yield from text_string_to_metric_families(page)  # type: ignore[no-untyped-call]  # not annotated


def text(page: Published) -> str:
    return render(page)[0].decode()


def openmetrics(page: Published) -> str:
    return render(page, OPENMETRICS)[0].decode()


def with_model(view: ModelView) -> Published:
    page = published()
    return replace(page, snapshot=replace(page.snapshot, models=(view,)))


def sample(page: Published, name: str, **labels: str) -> float:
    found = [s.value for s in all_samples(page) if s.name == name and labels.items() <= s.labels.items()]
    assert len(found) == 1, f"{name}{labels}: {found}"
    return found[0]


def names(page: Published) -> set[str]:
    return {s.name for s in all_samples(page)}


def all_samples(page: Published) -> Iterator[Sample]:
    return (s for family in families(page) for s in family.samples)


def test_the_example_shows_every_family_of_the_catalogue_but_the_faults() -> None:
    shown = {family.name for family in parse_text(text(published()))}
    wanted = {family.name.removesuffix("_total") for family in CATALOGUE}
    assert wanted - shown == {"llm_energy_exporter_faults"}


def test_families_come_in_the_order_of_the_catalogue() -> None:
    order = [family.name for family in CATALOGUE]
    typed = [line.split()[2] for line in text(published()).splitlines() if line.startswith("# TYPE")]
    assert typed == [name for name in order if name in typed]


def test_both_formats_say_the_same() -> None:
    def said(metrics: Iterable[Metric]) -> list[tuple[str, dict[str, str], float]]:
        return [(s.name, s.labels, s.value) for metric in metrics for s in metric.samples]

    assert said(parse_text(text(published()))) == said(parse_openmetrics(openmetrics(published())))


def test_the_same_snapshot_gives_the_same_bytes() -> None:
    assert render(published()) == render(published())


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_a_mapping_does_not_show(order: int) -> None:
    entries: list[tuple[Direction, int]] = [("input", 1200), ("output", 640)]
    view = replace(model_view(), tokens=dict(entries[::order]))
    assert text(with_model(view)) == text(with_model(model_view()))


def test_a_silent_sensor_shows_no_power() -> None:
    devices = [s.labels["device"] for s in all_samples(published()) if s.name == "llm_device_power_watts"]
    assert devices == ["gpu0", "cpu0"]


def test_zero_watts_are_a_reading() -> None:
    assert sample(published(), "llm_device_power_watts", device="cpu0") == 0.0


def test_what_is_unknown_is_absent() -> None:
    view = replace(device_view(), idle_watts=None, sensor_period_seconds=None, counter_ratio=None)
    page = Published(replace(published().snapshot, devices=(view,)), health())
    assert not names(page) & {
        "llm_device_idle_power_watts",
        "llm_power_sensor_period_seconds",
        "llm_power_counter_ratio",
    }


def test_in_its_first_moment_the_exporter_speaks_only_of_itself() -> None:
    assert all(name.startswith("llm_energy_exporter_") for name in names(nothing_yet()))


def test_counters_with_known_labels_begin_at_zero() -> None:
    page = published()
    assert sample(page, "llm_requests_total", model="llama-3.1-8b", outcome="aborted") == 0
    assert sample(page, "llm_energy_exporter_closings_total", how="timeout") == 0
    assert sample(nothing_yet(), "llm_energy_exporter_label_overflows_total", label="model") == 0


@pytest.mark.parametrize("device", ["gpu0", "gpu1", "cpu0"])
def test_booked_and_unsettled_add_up_to_the_meter(device: str) -> None:
    of = [s for s in all_samples(published()) if s.labels.get("device") == device]
    booked = sum(s.value for s in of if s.name in ("llm_energy_joules_total", "llm_energy_unsettled_joules"))
    metered = sum(s.value for s in of if s.name == "llm_device_energy_joules_total")
    assert booked == pytest.approx(metered)


def test_histogram_buckets_are_cumulated_and_end_at_infinity() -> None:
    view = replace(model_view(), energy={"measured": histogram((1.0, 10.0), (0.5, "a"), (5.0, "b"), (50.0, "c"))})
    of = [s for s in all_samples(with_model(view)) if s.name.startswith("llm_request_energy_joules")]
    assert [(s.labels.get("le"), s.value) for s in of] == [
        ("1.0", 1),
        ("10.0", 2),
        ("+Inf", 3),
        (None, 3),
        (None, 55.5),
    ]


def test_both_methods_of_a_model_are_kept_apart() -> None:
    view = replace(model_view(), energy=dict.fromkeys(("measured", "estimated"), histogram(ENERGY_BUCKETS)))
    of = [s for s in all_samples(with_model(view)) if s.name == "llm_request_energy_joules_count"]
    assert [s.labels["method"] for s in of] == ["measured", "estimated"]


def test_a_model_of_any_name_can_be_read_back() -> None:
    wild = 'quoted "model"\\with\nlines'
    models = {s.labels.get("model") for metric in parse_text(text(published())) for s in metric.samples}
    assert wild in models


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\r")))
def test_every_model_name_survives_both_formats(name: str) -> None:
    seen = name.encode("utf-8", "replace").decode()
    page = with_model(model_view(model=name))
    for metrics in (parse_text(text(page)), parse_openmetrics(openmetrics(page))):
        assert seen in {s.labels.get("model") for metric in metrics for s in metric.samples}


def test_half_a_surrogate_pair_does_not_cost_the_scrape() -> None:
    assert 'model="bad?name"' in text(with_model(model_view(model="bad\ud800name")))


def test_exemplars_name_the_request_in_openmetrics_only() -> None:
    assert '# {request_id="req-1"} 88.0 1763700000.25' in openmetrics(published())
    assert "req-1" not in text(published())


def test_an_exemplar_has_at_most_128_characters() -> None:
    view = replace(model_view(), energy={"measured": histogram(ENERGY_BUCKETS, (5.0, "é" * 500))})
    shown = [s.exemplar for s in all_samples(with_model(view)) if s.exemplar and s.exemplar.value == 5.0]
    assert [sum(map(len, pair)) for exemplar in shown for pair in exemplar.labels.items()] == [128]


def test_no_created_series() -> None:
    assert not [name for name in names(published()) if name.endswith("_created")]


def test_not_a_number_is_written_and_not_raised() -> None:
    page = published()
    view = device_view(GPU0, Watts(math.nan))
    assert "} NaN\n" in text(replace(page, snapshot=replace(page.snapshot, devices=(view,))))


def test_the_reason_of_a_policy_is_no_label() -> None:
    assert "12 of 60 windows" not in text(published())
    assert server_view().policy_reason


# The time proxy


def with_proxy(view: ProxyView) -> Published:
    page = published()
    return replace(page, snapshot=replace(page.snapshot, proxies=(view,)))


def of_family(page: Published, name: str) -> list[Sample]:
    return [s for family in families(page) if family.name == name for s in family.samples]


def test_a_proxy_says_what_it_predicted_and_of_how_many_requests_nothing() -> None:
    assert sample(with_proxy(proxy_view()), "llm_time_proxy_energy_joules_total", proxy="time") == 2140.5
    assert sample(with_proxy(proxy_view()), "llm_time_proxy_unpredicted_total", proxy="time") == 1


def test_recent_scores_and_those_of_all_time_are_kept_apart() -> None:
    page = with_proxy(proxy_view(window=score_view(2, mape=0.5)))
    assert sample(page, "llm_time_proxy_score", ground="window", score="mape") == 0.5
    assert sample(page, "llm_time_proxy_lifetime_score", ground="window", score="mape") == pytest.approx(0.55)


def test_samples_are_counted_from_zero_and_ratios_from_the_first() -> None:
    page = with_proxy(proxy_view())
    assert sample(page, "llm_time_proxy_samples_total", ground="isolated") == 0
    counts = [s for s in of_family(page, "llm_time_proxy_error_ratio") if s.name.endswith("_count")]
    assert {s.labels["ground"]: s.value for s in counts} == {"window": 2, "request": 5}


def test_a_ground_without_samples_has_no_scores() -> None:
    grounds = {s.labels["ground"] for s in of_family(with_proxy(proxy_view()), "llm_time_proxy_score")}
    assert grounds == {"window", "request"}


def test_a_score_that_is_not_defined_is_absent() -> None:
    lone = replace(score_view(1), recent={"mape": 0.2, "r2": math.nan}, lifetime={})
    page = with_proxy(proxy_view(window=lone))
    window = [s for s in of_family(page, "llm_time_proxy_score") if s.labels["ground"] == "window"]
    assert [(s.labels["score"], s.value) for s in window] == [("mape", 0.2)]


def test_a_perfect_score_of_zero_is_shown() -> None:
    page = with_proxy(proxy_view(window=score_view(2, bias=0.0)))
    assert sample(page, "llm_time_proxy_score", ground="window", score="bias") == 0.0


def test_an_error_that_is_not_known_is_absent_and_one_of_zero_is_not() -> None:
    terms = {s.labels["term"] for s in of_family(with_proxy(proxy_view("affine_time")), "llm_time_proxy_coefficient")}
    page = with_proxy(proxy_view("affine_time"))
    errors = {s.labels["term"] for s in of_family(page, "llm_time_proxy_coefficient_error")}
    assert terms - errors == {"second"}
    assert sample(with_proxy(proxy_view("peak")), "llm_time_proxy_coefficient_error", term="second") == 0.0


@pytest.mark.parametrize("drifting", [True, False])
def test_drift_is_a_distance_and_a_verdict(drifting: bool) -> None:  # noqa: FBT001 - the verdict is the case
    page = with_proxy(proxy_view(window=replace(score_view(), drift=-4.5, drifting=drifting)))
    assert sample(page, "llm_time_proxy_drift", ground="window") == -4.5
    assert sample(page, "llm_time_proxy_drifting", ground="window") == float(drifting)


def test_before_there_is_a_history_nothing_is_said_of_drift() -> None:
    page = with_proxy(proxy_view(window=replace(score_view(), drift=None)))
    for name in ("llm_time_proxy_drift", "llm_time_proxy_drifting"):
        assert {s.labels["ground"] for s in of_family(page, name)} == {"request"}


@settings(deadline=None)
@given(st.floats(), st.floats(), st.floats())
def test_no_proxy_can_publish_what_is_no_number(score: float, error: float, drift: float) -> None:
    coefficients = {"second": CoefficientView(score, error)}
    wild = replace(score_view(r2=score, bias=error), drift=drift)
    page = with_proxy(replace(proxy_view(window=wild), coefficients=coefficients))
    shown = [s for family in families(page) if family.name.startswith("llm_time_proxy") for s in family.samples]
    assert all(math.isfinite(s.value) for s in shown)


def test_a_ratio_names_the_request_of_its_bucket() -> None:
    line = (
        'llm_time_proxy_error_ratio_bucket{ground="request",le="0.8",model="llama-3.1-8b",proxy="time",server="chat"}'
    )
    assert f'{line} 5.0 # {{request_id="req-5"}} 0.69' in openmetrics(with_proxy(proxy_view()))


@pytest.mark.parametrize(
    "accept",
    [OPENMETRICS, PROMETHEUS_2, PROMETHEUS_3],
)
def test_those_who_ask_for_openmetrics_get_it(accept: str) -> None:
    page, content_type = render(published(), accept)
    assert content_type == OPENMETRICS_TYPE
    assert page.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
        "text/plain;version=0.0.4",
        "application/openmetrics-text;q=0.1,text/plain;q=0.9",
        "application/openmetrics-text;q=0",
    ],
)
def test_everybody_else_gets_text(accept: str) -> None:
    page, content_type = render(published(), accept)
    assert content_type == TEXT_TYPE
    assert b"# EOF" not in page


@given(st.text())
def test_no_accept_header_can_make_it_raise(accept: str) -> None:
    render(nothing_yet(), accept)


def test_a_large_page_has_no_sample_twice() -> None:
    keys = [(s.name, *sorted(s.labels.items())) for s in all_samples(large())]
    assert len(set(keys)) == len(keys)
