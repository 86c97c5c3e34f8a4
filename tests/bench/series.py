"""How many series an exporter makes, and ten thousand GPUs of them.

    python -m tests.bench.series

Counted on the exporter's own page, as it is once everything has been seen: every proxy scored on every ground, a first
token known, tenants and budgets there. What is configured less costs less: `proxies` above all.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from exporter.domain.health import Published
from exporter.domain.settings import BudgetSettings, ProxyName
from exporter.domain.snapshot import BudgetView, Snapshot
from exporter.domain.units import Joules
from exporter.metrics.exposition import render
from tests.metrics.examples import (
    AT,
    GPU0,
    device_view,
    health,
    log_view,
    model_view,
    proxy_view,
    score_view,
    server_view,
)

FLEET_GPUS = 10_000
SCRAPE_SECONDS = 15
PROXIES: tuple[ProxyName, ...] = ("time", "affine_time", "time_share", "tokens", "step_model", "peak")


@dataclass(frozen=True, slots=True)
class Shape:
    """What one exporter watches."""

    name: str
    gpus: int = 1
    servers: int = 1
    models: int = 1
    proxies: Sequence[ProxyName] = PROXIES
    tenants: int = 0
    budgets: int = 2


SHAPES = (
    Shape("sidecar, 1 GPU"),
    Shape("sidecar, 1 GPU, proxy time only", proxies=("time",)),
    Shape("sidecar, 1 GPU, no proxies", proxies=()),
    Shape("sidecar, 8 GPUs, 1 model", gpus=8),
    Shape("sidecar, 8 GPUs, 1 model, 100 tenants", gpus=8, tenants=100),
    Shape("node, 8 GPUs, 8 servers", gpus=8, servers=8),
)


def published(shape: Shape) -> Published:
    """An exporter of that shape that has seen everything."""
    servers = [f"server-{number}" for number in range(shape.servers)]
    models = [model_view(server, f"model-{number}") for server in servers for number in range(shape.models)]
    tenants = {f"tenant-{number}": Joules(10.0) for number in range(shape.tenants)}
    budgets = [BudgetSettings(f"budget-{number}", 3.6e6, 86_400.0) for number in range(shape.budgets)]
    scored = score_view()
    snapshot = Snapshot(
        AT,
        tuple(device_view(replace(GPU0, name=f"gpu{number}", uuid=f"GPU-{number}")) for number in range(shape.gpus)),
        tuple(models),
        tuple(replace(server_view(server), tenants=tenants) for server in servers),
        proxies=tuple(
            proxy_view(proxy, view.server, view.model, isolated=scored, window=scored, request=scored)
            for view in models
            for proxy in shape.proxies
        ),
        budgets=tuple(BudgetView(one, Joules(1000.0), 10, 1) for one in budgets),
    )
    return Published(snapshot, replace(health(), logs=tuple(log_view(server) for server in servers)))


def page(shape: Shape) -> str:
    """What is scraped of it."""
    return render(published(shape))[0].decode()


def series_by_family(text: str) -> Counter[str]:
    """Series of each name on a page."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return Counter(line.split("{", 1)[0].split(" ", 1)[0] for line in lines)


def main() -> None:
    """Print the tables."""
    print(f"{'one exporter':40} {'series':>7} {'samples/s':>10} {'exporters':>10} {'series':>12} {'samples/s':>10}")
    for shape in SHAPES:
        series = series_by_family(page(shape)).total()
        pods = FLEET_GPUS // shape.gpus
        rate = series / SCRAPE_SECONDS
        print(f"{shape.name:40} {series:7,} {rate:10,.0f} {pods:10,} {pods * series:12,} {pods * rate:10,.0f}")
    print(f"\nscraped every {SCRAPE_SECONDS} s; the last three columns are {FLEET_GPUS:,} GPUs")
    print(f"\nwhere they come from ({SHAPES[0].name}):")
    for name, count in series_by_family(page(SHAPES[0])).most_common(8):
        print(f"    {count:5}  {name}")


if __name__ == "__main__":
    main()
