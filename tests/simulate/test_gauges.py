"""The server's own metrics: vLLM's names, readable by Prometheus, and true."""

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from exporter.simulate.gauges import exposition
from exporter.simulate.plan import Plan
from tests.simulate.story import Story

# As vLLM 0.32 exposed them when it was run.
VLLMS = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:prompt_tokens",
    "vllm:generation_tokens",
    "vllm:request_success",
    "vllm:admission_rejections",
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:e2e_request_latency_seconds",
    "vllm:request_queue_time_seconds",
    "vllm:request_prompt_tokens",
    "vllm:request_generation_tokens",
}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    story = Story(Plan(batch=6, gpus=2), tmp_path_factory.mktemp("logs"))
    story.run(30.0)
    yield story
    story.close()


def samples(story: Story) -> list[Sample]:
    text = exposition(story.simulation.gauges, "simulated/llama-3.1-8b")
    families = list(text_string_to_metric_families(text))
    assert {family.name for family in families} == VLLMS
    assert all(family.documentation.startswith("SIMULATED") for family in families)
    return [sample for family in families for sample in family.samples]


def total(story: Story, name: str, **labels: str) -> float:
    return sum(one.value for one in samples(story) if one.name == name and labels.items() <= one.labels.items())


def test_every_series_names_its_engine_and_a_model_that_is_simulated(story: Story) -> None:
    for sample in samples(story):
        assert sample.labels["model_name"] == "simulated/llama-3.1-8b"
        assert sample.labels["engine"] in {"0", "1"}


def test_counts_agree_with_what_happened(story: Story) -> None:
    truth, replicas = story.simulation.truth, story.simulation.fleet.replicas
    assert total(story, "vllm:request_success_total") == truth.ended
    assert total(story, "vllm:e2e_request_latency_seconds_count") == truth.ended
    assert total(story, "vllm:num_requests_running") == sum(replica.running for replica in replicas)
    assert total(story, "vllm:num_requests_waiting") == sum(replica.waiting for replica in replicas)


def test_buckets_are_cumulative_and_end_in_the_count(story: Story) -> None:
    for family in ("vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds"):
        buckets = [
            one.value for one in samples(story) if one.name == f"{family}_bucket" and one.labels["engine"] == "0"
        ]
        assert buckets == sorted(buckets)
        assert buckets[-1] == total(story, f"{family}_count", engine="0") > 0


def test_each_token_but_the_first_comes_after_another(story: Story) -> None:
    generated = total(story, "vllm:generation_tokens_total")
    firsts = total(story, "vllm:time_to_first_token_seconds_count")
    assert total(story, "vllm:inter_token_latency_seconds_count") == generated - firsts > 0
