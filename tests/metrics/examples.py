"""Snapshots made by hand: a machine with two GPUs and a CPU that serves two models."""

import math
from collections.abc import Mapping
from dataclasses import replace

from exporter.domain.health import DissectionsView, GaugeView, Health, LogView, Published, SourceView, WebView
from exporter.domain.readings import Device
from exporter.domain.settings import DURATION_BUCKETS, ENERGY_BUCKETS, TOKEN_ENERGY_BUCKETS, BudgetSettings, ProxyName
from exporter.domain.snapshot import (
    BudgetView,
    CarbonView,
    CoefficientView,
    DeviceView,
    Exemplar,
    Ground,
    HistogramValue,
    ModelView,
    ProxyView,
    ScoreName,
    ScoreView,
    ServerView,
    SettledRequest,
    Snapshot,
)
from exporter.domain.units import Instant, Joules, Watts
from exporter.proxy.scoring.scores import RATIO_BOUNDS
from tests.dissections.examples import dissection

AT = Instant(1_763_700_000.25)

GPU0 = Device("gpu0", "gpu", "GPU-6f1c", "NVIDIA H200", has_counter=True, limit_watts=700.0)
GPU1 = Device("gpu1", "gpu", "GPU-aa02", "NVIDIA H200", has_counter=True, limit_watts=700.0)
CPU0 = Device("cpu0", "cpu", "", "EPYC 9554", method="estimated")


def histogram(bounds: tuple[float, ...], *observations: tuple[float, str]) -> HistogramValue:
    """What these (value, request id) add up to."""
    counts = [0] * (len(bounds) + 1)
    exemplars: list[Exemplar | None] = [None] * (len(bounds) + 1)
    for value, request_id in observations:
        bucket = sum(bound < value for bound in bounds)
        counts[bucket] += 1
        exemplars[bucket] = Exemplar(request_id, value, AT)
    total = sum(value for value, _ in observations)
    return HistogramValue(bounds, tuple(counts), total, tuple(exemplars))


WORKING = Watts(412.5)


def device_view(device: Device = GPU0, power: Watts | None = WORKING) -> DeviceView:
    return DeviceView(
        device=device,
        power_watts=power,
        idle_watts=Watts(74.0) if device.kind == "gpu" else None,
        metered_joules=Joules(5000.0),
        booked={"requests": Joules(3500.0), "idle": Joules(1200.0), "unattributed": Joules(90.0)},
        unsettled_joules=Joules(210.0),
        sensor_period_seconds=0.1 if device.has_counter else None,
        counter_ratio=1.01 if device.has_counter else None,
        counter_in_use=device.has_counter,
        interpolated_joules=Joules(12.5),
        gap_seconds=0.0,
        counter_resets=0,
        readings=48_213,
        failures={"gpu_is_lost": 2} if device is GPU0 else {},
    )


def model_view(server: str = "chat", model: str = "llama-3.1-8b") -> ModelView:
    return ModelView(
        server=server,
        model=model,
        requests={"ok": 3},
        tokens={"input": 1200, "output": 640},
        energy={"measured": histogram(ENERGY_BUCKETS, (88.0, "req-1"), (130.0, "req-2"), (1.5, "req-3"))},
        energy_per_output_token={"measured": histogram(TOKEN_ENERGY_BUCKETS, (0.4, "req-1"), (0.31, "req-2"))},
        duration=histogram(DURATION_BUCKETS, (1.7, "req-1"), (2.4, "req-2"), (0.04, "req-3")),
        time_to_first_token=histogram(DURATION_BUCKETS, (0.03, "req-1"), (0.05, "req-2")),
        phase_joules={"prefill": Joules(19.5), "decode": Joules(200.0)},
    )


def server_view(server: str = "chat") -> ServerView:
    return ServerView(
        server=server,
        running=4,
        late_joules=Joules(3.25),
        closings={"finish": 3},
        duplicates=1,
        orphans=0,
        settle_seconds=2.0,
        uncertainty_seconds={"start": 0.004, "end": 0.002},
        policy="time",
        wanted_policy="steps",
        policy_reason="12 of 60 windows seen",
        coefficients={"step": 3.16, "decode_token": 0.0665},
        running_by_server=5.0,
        tenants={"team-a": Joules(180.5), "unknown": Joules(39.0)},
        engine="vllm",
        devices=("gpu0",),
    )


SCORES: Mapping[ScoreName, float] = {"r2": 0.62, "mape": 0.31, "bias": -0.04, "pearson": 0.81, "spearman": 0.77}
_UNSCORED = ScoreView(0, {}, {}, histogram(RATIO_BOUNDS))
_COEFFICIENTS: Mapping[ProxyName, Mapping[str, CoefficientView]] = {
    "time": {"second": CoefficientView(46.2, 0.8)},
    "affine_time": {"request": CoefficientView(3.1, 0.4), "second": CoefficientView(44.0, math.inf)},
    "time_share": {"shared_second": CoefficientView(310.0, 2.5)},
    "tokens": {"prompt_token": CoefficientView(0.02, 0.001), "output_token": CoefficientView(0.36, 0.01)},
    "step_model": {"step": CoefficientView(3.16, 0.02), "decode_token": CoefficientView(0.0665, 0.001)},
    "peak": {"second": CoefficientView(1400.0, 0.0)},
}


def score_view(samples: int = 3, **scores: float) -> ScoreView:
    """Scored so often, with these scores in place of the usual ones."""
    recent: dict[ScoreName, float] = {name: scores.get(name, usual) for name, usual in SCORES.items()}
    ratios = histogram(RATIO_BOUNDS, *((1.0 - recent["mape"], f"req-{n + 1}") for n in range(samples)))
    return ScoreView(samples, recent, {**recent, "mape": round(recent["mape"] + 0.05, 9)}, ratios, drift=0.4)


def proxy_view(
    proxy: ProxyName = "time", server: str = "chat", model: str = "llama-3.1-8b", **grounds: ScoreView
) -> ProxyView:
    """A proxy, scored on windows and shares and not yet on requests that ran alone, unless told otherwise."""
    usual: dict[Ground, ScoreView] = {"isolated": _UNSCORED, "window": score_view(2), "request": score_view(5)}
    scores = {ground: grounds.get(ground, score) for ground, score in usual.items()}
    return ProxyView(server, model, proxy, Joules(2140.5), 1, _COEFFICIENTS[proxy], scores)


def settled(request_id: str = "req-1") -> SettledRequest:
    return SettledRequest(
        server="chat",
        model="llama-3.1-8b",
        id=request_id,
        start=Instant(AT - 5.0),
        end=Instant(AT - 3.3),
        outcome="ok",
        method="measured",
        joules=Joules(88.0),
        joules_by_device={"gpu0": Joules(60.0), "gpu1": Joules(28.0)},
        late_joules=Joules(0.0),
        prompt_tokens=400,
        output_tokens=220,
        time_to_first_token_seconds=0.03,
        queued_seconds=0.0,
        concurrency=2.5,
        predicted={"time": Joules(104.0), "step_model": Joules(86.5)},
    )


def source_view(name: str = "nvml") -> SourceView:
    return SourceView(name, counter=True, method="measured", interval_seconds=0.05, call_seconds=0.0021, up=True)


def log_view(server: str = "chat") -> LogView:
    lines = {("used", ""): 6, ("ignored", "other"): 40, ("dropped", "bad_stamp"): 1}
    return LogView(server, lines, files=2, bytes=9012, rotations=1, lag_bytes=0, problems={})


def health() -> Health:
    refusals = {"rapl": "no powercap here"}
    estimate = replace(source_view("cpu"), counter=False, method="estimated", refusals=refusals)
    return Health(
        version="0.1.0",
        start=Instant(AT - 86_400.0),
        cpu_seconds=31.5,
        memory_bytes=41_943_040,
        clock_steps=0,
        checkpoint_failures=0,
        sources=(source_view(), estimate),
        logs=(log_view(),),
        faults={},
        gauges=(GaugeView("chat", 17_280, {"unreachable": 2}),),
        web=WebView(good=True, certificate_ends=AT + 7_776_000.0, refused={"wrong_password": 3}),
        dissections=DissectionsView((dissection(),), left_out=2, files=1, problems={"b.json": "is no result file"}),
        passed_over={"rapl": "no_permission"},
    )


def published() -> Published:
    """The machine at work. GPU 1 is silent; a model's name needs every escape there is."""
    devices = (device_view(GPU0), device_view(GPU1, power=None), device_view(CPU0, power=Watts(0.0)))
    models = (model_view(), model_view(model='quoted "model"\\with\nlines'))
    drifting = replace(score_view(40, mape=0.12), drift=4.2, drifting=True)
    proxies = (proxy_view("time"), proxy_view("affine_time"), proxy_view("step_model", window=drifting))
    alone = replace(settled("req-2"), concurrency=1.0, metered_joules=Joules(87.2))
    snapshot = Snapshot(
        AT,
        devices,
        models,
        (replace(server_view(), devices=("gpu0", "gpu1", "cpu0")),),
        (settled(), alone),
        proxies,
        budgets=budget_views(),
        carbon=CarbonView({"chat": 0.025}, 360.0 / 3.6e6, 1.2),
        since=Instant(AT - 259_200.0),
    )
    return Published(snapshot, health())


def budget_views() -> tuple[BudgetView, ...]:
    """One of a window and one per request."""
    daily = BudgetSettings("chat-daily", 1.8e8, 86_400.0, server="chat")
    each = BudgetSettings("per-request", 400.0, None, model="llama-3.1-8b", objective=0.99)
    return BudgetView(daily, Joules(219.5), 3, 0), BudgetView(each, Joules(219.5), 3, 1)


def nothing_yet() -> Published:
    """The exporter in its first moment: no device answered, no log was read."""
    bare = replace(health(), sources=(), logs=(), gauges=(), dissections=None, passed_over={})
    return Published(Snapshot(AT, (), (), ()), bare)


def large() -> Published:
    """Eight GPUs, two servers of five models each, six proxies for every model, all grounds scored."""
    gpus = tuple(device_view(replace(GPU0, name=f"gpu{n}", uuid=f"GPU-{n}")) for n in range(8))
    models = tuple(model_view(server, f"model-{n}") for server in ("a", "b") for n in range(5))
    proxies = tuple(
        proxy_view(proxy, view.server, view.model, isolated=score_view()) for view in models for proxy in _COEFFICIENTS
    )
    snapshot = Snapshot(AT, gpus, models, (server_view("a"), server_view("b")), proxies=proxies)
    return Published(snapshot, replace(health(), logs=(log_view("a"), log_view("b"))))
