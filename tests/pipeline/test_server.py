"""What is kept of one server: its devices, its models, its phases."""

import json

import pytest

from exporter.domain.events import Completed
from exporter.domain.readings import Device, PowerReading
from exporter.domain.settings import NO_ENGINES, RequestSettings, ServerSettings, Settings
from exporter.domain.units import Instant, Watts
from exporter.pipeline.pipeline import Pipeline
from exporter.pipeline.server import engine_of, serves
from exporter.requests.registry import SOURCES

GPU = Device("gpu1", "gpu", uuid="GPU-aaaabbbb-2222")
BEGIN = Instant(1_795_234_620.0)


def on(*gpus: str) -> ServerSettings:
    return ServerSettings("chat", (RequestSettings("jsonl"),), gpus=gpus)


@pytest.mark.parametrize("selector", ["1", "gpu1", "GPU-aaaabbbb-2222", "GPU-aaaa"])
def test_a_gpu_is_chosen_by_index_name_or_uuid(selector: str) -> None:
    assert serves(on(selector), GPU)


@pytest.mark.parametrize("selector", ["0", "11", "gpu", "GPU-", "GPU-cccc"])
def test_any_other_gpu_is_not(selector: str) -> None:
    assert not serves(on(selector), GPU)


@pytest.mark.parametrize("kind", ["cpu", "dram"])
def test_the_hosts_parts_serve_every_server(kind: str) -> None:
    assert serves(on("0"), Device(f"{kind}0", "cpu" if kind == "cpu" else "dram"))


def told_by(*sources: str, **about: str) -> ServerSettings:
    return ServerSettings("chat", tuple(RequestSettings(source) for source in sources), about=about)


def test_the_engine_is_the_first_source_that_serves() -> None:
    assert engine_of(told_by("proxy", "vllm", "sglang")) == "vllm"


def test_what_only_tells_of_requests_is_no_engine() -> None:
    assert engine_of(told_by("proxy", "jsonl")) == ""


def test_the_operator_knows_the_engine_best() -> None:
    assert engine_of(told_by("vllm", engine="vLLM 0.11.1")) == "vLLM 0.11.1"


def test_every_front_and_whatever_is_posted_is_known_to_be_no_engine() -> None:
    no_servers = {name for name, kind in SOURCES.items() if not kind.module.startswith("servers.")}
    assert no_servers <= NO_ENGINES
    assert set(SOURCES) >= NO_ENGINES


def test_books_that_are_taken_up_keep_their_beginning() -> None:
    settings, later = Settings(servers=(on("all"),)), Instant(BEGIN + 100.0)
    store = {key: value for key, value in Pipeline(settings, [GPU], BEGIN).checkpoint(set()).items() if value}
    again = Pipeline(settings, [GPU], later)
    assert again.snapshot(later).since == later
    again.restore(store)
    assert again.snapshot(later).since == BEGIN


def test_books_of_which_the_beginning_was_never_saved_have_none() -> None:
    settings = Settings(servers=(on("all"),))
    store = {key: value for key, value in Pipeline(settings, [GPU], BEGIN).checkpoint(set()).items() if value}
    store["pipeline"] = json.dumps({k: v for k, v in json.loads(store["pipeline"]).items() if k != "since"}).encode()
    again = Pipeline(settings, [GPU], BEGIN)
    again.restore(store)
    assert again.snapshot(BEGIN).since is None


def test_a_server_says_who_works_for_it() -> None:
    pipeline = Pipeline(Settings(servers=(on("1"),)), [Device("gpu0", "gpu"), GPU, Device("cpu0", "cpu")], BEGIN)
    [view] = pipeline.snapshot(BEGIN).servers
    assert view.devices == ("gpu1", "cpu0")


def told(model: str | None, *requests: Completed, method: str = "measured") -> Pipeline:
    """A pipeline that has settled these requests, on 100 W."""
    device = Device("gpu0", "gpu", method="measured" if method == "measured" else "estimated")
    settings = Settings(servers=(ServerSettings("chat", (RequestSettings("jsonl"),), model=model),))
    pipeline = Pipeline(settings, [device], BEGIN)
    for tick in range(100):
        now = Instant(BEGIN + 0.5 * tick)
        pipeline.receive_reading(PowerReading("gpu0", now, Watts(100.0)))
    for one in requests:
        pipeline.receive_event("chat", one, None)
    pipeline.receive_progress("chat", Instant(BEGIN + 49.0))
    pipeline.advance(Instant(BEGIN + 49.0))
    return pipeline


def request(id_: str, start: float, *, model: str | None = None, first: float | None = None) -> Completed:
    begin = Instant(BEGIN + start)
    token = Instant(begin + first) if first is not None else None
    return Completed(id_, begin, Instant(begin + 2.0), first_token=token, model=model, output_tokens=11)


def models(pipeline: Pipeline) -> dict[str, int]:
    return {view.model: sum(view.requests.values()) for view in pipeline.snapshot(BEGIN).models}


def test_a_configured_model_overrules_what_the_log_says() -> None:
    assert models(told("mine", request("a", 1.0, model="theirs"))) == {"mine": 1}


def test_requests_without_a_model_are_the_latest_that_was_told() -> None:
    requests = (request("a", 1.0), request("b", 4.0, model="tiny"), request("c", 7.0))
    assert models(told(None, *requests)) == {"unknown": 1, "tiny": 2}


def test_models_are_bounded_and_the_bound_is_counted() -> None:
    many = [request(str(index), 1.0 + 0.2 * index, model=f"m{index}") for index in range(120)]
    pipeline = told(None, *many)
    assert len(models(pipeline)) <= 101
    assert models(pipeline)["other"] == 20
    assert pipeline.snapshot(BEGIN).label_overflows["model"] == 20


def test_phases_are_counted_where_the_first_token_is_known() -> None:
    (view,) = told("tiny", request("a", 1.0, first=0.5), request("b", 10.0)).snapshot(BEGIN).models
    assert view.phase_joules["prefill"] == pytest.approx(50.0)
    assert view.phase_joules["decode"] == pytest.approx(150.0)


def test_energy_of_an_estimated_device_is_labelled_so() -> None:
    (view,) = told("tiny", request("a", 1.0), method="estimated").snapshot(BEGIN).models
    assert list(view.energy) == ["estimated"]


def test_the_settle_time_follows_how_late_news_is_within_bounds() -> None:
    pipeline = told("tiny")
    server = pipeline.servers["chat"]
    assert server.settle_seconds() == 2.0
    pipeline.receive_event("chat", request("a", 1.0), Instant(BEGIN + 31.0))
    assert server.settle_seconds() == pytest.approx(30.0)
    pipeline.receive_event("chat", request("b", 1.0), Instant(BEGIN + 5000.0))
    assert server.settle_seconds() == 450.0


def test_the_view_says_which_policy_is_in_force_and_why() -> None:
    (view,) = told("tiny", request("a", 1.0)).snapshot(BEGIN).servers
    assert (view.policy, view.wanted_policy) == ("time", "steps")
    assert "too few output tokens" in view.policy_reason
