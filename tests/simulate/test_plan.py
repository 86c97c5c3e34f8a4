"""What can be simulated, what cannot, and how the exporter is told to watch it."""

from pathlib import Path

import pytest

from exporter.domain.errors import UsageError
from exporter.requests.registry import READERS
from exporter.simulate.plan import MODELS, Plan


@pytest.mark.parametrize(
    ("model", "gpus", "replicas"), [("llama-3.1-70b", 8, 2), ("llama-3.1-8b", 8, 8), ("qwen3-32b", None, 2)]
)
def test_gpus_become_replicas_of_the_model(model: str, gpus: int | None, replicas: int) -> None:
    plan = Plan(model=model, gpus=gpus)
    assert len(plan.build_replicas()) == plan.replicas == replicas
    assert sum(len(replica.sensors) for replica in plan.build_replicas()) == plan.boards


@pytest.mark.parametrize("model", MODELS)
def test_every_name_that_the_exporter_is_given_says_simulated(model: str) -> None:
    plan = Plan(model=model)
    for server in plan.settings(Path("/logs")).servers:
        assert server.name.startswith("simulated-")
        assert server.model == f"simulated/{model}"
        assert all(gpu.startswith("SIMULATED-") for gpu in server.gpus)


def test_each_server_has_its_own_boards_and_logs() -> None:
    servers = Plan(model="llama-3.1-70b", gpus=8).settings(Path("/logs")).servers
    assert [server.gpus for server in servers] == [
        tuple(f"SIMULATED-{i}" for i in range(4)),
        tuple(f"SIMULATED-{i}" for i in range(4, 8)),
    ]
    assert len({server.requests[0].path for server in servers}) == 2


def test_the_exporters_readers_take_their_options() -> None:
    for plan in (Plan(), Plan(log="vllm")):
        requests = plan.settings(Path("/logs")).servers[0].requests[0]
        READERS[requests.source].build(requests.options, requests.timezone)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"model": "gpt-4"}, "llama-3.1-8b"),
        ({"model": "llama-3.1-70b", "gpus": 6}, "multiple of 4"),
        ({"gpus": 0}, "--gpus 0"),
        ({"gpus": 65}, "at most 64"),
        ({"batch": 0.0}, "--batch"),
        ({"batch": 65.0}, "at most 64"),
        ({"rate": -1.0}, "--rate"),
        ({"rate": 1e9}, "at most 1000"),
        ({"load": "gale"}, "bursts"),
    ],
)
def test_what_cannot_be_simulated_is_refused_with_what_can(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Plan(**wrong)  # type: ignore[arg-type]


def test_overload_is_more_than_can_be_served_unless_a_rate_is_given() -> None:
    assert Plan(load="overload").pattern.rate > Plan(batch=64).pattern.rate
    assert Plan(load="overload", rate=3.0).pattern.rate == 3.0


def test_the_budgets_are_a_share_of_full_power() -> None:
    hour, day, request = Plan(gpus=2, budget=0.1).settings(Path("/nowhere")).budgets
    assert (hour.name, hour.joules, hour.window_seconds) == ("simulated-hour", 0.1 * 1400.0 * 3600.0, 3600.0)
    assert (day.name, round(day.joules / hour.joules, 6)) == ("simulated-day", 24.0)
    assert (request.name, request.joules, request.window_seconds) == ("simulated-request", 400.0, None)


@pytest.mark.parametrize("budget", [0.0, -1.0, 1.5])
def test_a_budget_beyond_full_power_or_of_nothing_is_refused(budget: float) -> None:
    with pytest.raises(UsageError, match="--budget"):
        Plan(budget=budget)
