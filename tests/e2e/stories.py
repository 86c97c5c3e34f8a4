"""The stories that the conservation tests tell: who is served by what, how it is logged, and what goes wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np

from exporter.simulate.batching import BEGIN, Run
from exporter.simulate.load import MIXED
from exporter.simulate.physics import EIGHT_B
from tests.e2e.log_writer import Rotation, quietest_moment
from tests.e2e.performance import LEAD_SECONDS, SPEED, Kill, Server, Story
from tests.fakes.nvml import GPU_IS_LOST, Counter, FakeGpu, Fault
from tests.simulation.damage import lose, repeat
from tests.simulation.logs import LogLine
from tests.simulation.logs.jsonl import jsonl_log
from tests.simulation.logs.llamacpp import llamacpp_log
from tests.simulation.logs.nginx import nginx_log
from tests.simulation.logs.vllm import vllm_log
from tests.simulation.power import Floats, PowerTrace, gpu_traces, power_trace
from tests.simulation.scenarios import Scenario, batch_run

LONG_SECONDS = 590.0
"""With the idle ends, and the last requests served: ten minutes."""
SHORT_SECONDS = 180.0
LOST_FRACTION = 0.01
DOUBLED_FRACTION = 0.05
FAULT_SECONDS = {"lost": 20.0, "reset": 0.0, "stuck": 30.0}

LEAD = 2 * LEAD_SECONDS * SPEED
"""Boards draw power for so long before the story begins: the exporter is there by then."""

_FORMATS: Mapping[str, tuple[Callable[[Run, np.random.Generator], Sequence[LogLine]], Mapping[str, Any]]] = {
    "llamacpp": (llamacpp_log, {"source": "llamacpp"}),
    "nginx": (nginx_log, {"source": "jsonl", "profile": "nginx"}),
    "vllm": (vllm_log, {"source": "vllm"}),
    "jsonl": (
        lambda run, _: jsonl_log(run),
        {
            "source": "jsonl",
            "fields": {
                "id": "id",
                "start": {"path": "start", "unit": "s", "precision": 1e-6},
                "end": {"path": "end", "unit": "s", "precision": 1e-6},
                "first_token": {"path": "first_token", "unit": "s", "precision": 1e-6},
                "prompt_tokens": "prompt_tokens",
                "output_tokens": "output_tokens",
                "outcome": "status",
            },
        },
    ),
}


@cache
def long_run() -> Run:
    """Ten minutes of mixed load, some eight requests at once, every tenth aborted."""
    return _load(seed=7, mean_batch=8.0, seconds=LONG_SECONDS)


@cache
def short_run(seed: int = 11, mean_batch: float = 8.0) -> Run:
    return _load(seed, mean_batch, SHORT_SECONDS)


def _load(seed: int, mean_batch: float, seconds: float) -> Run:
    scenario = Scenario(mix=MIXED, abort_fraction=0.1, cached_fraction=0.2)
    return batch_run(scenario, seed, mean_batch=mean_batch, seconds=seconds)


def plain(form: str) -> Story:
    """Nothing goes wrong."""
    return Story([_server(form, long_run())], [_gpu(power_trace(long_run()))])


def rotated(form: str) -> Story:
    """The log is renamed away four times, and copied and truncated once in the middle."""
    story = plain(form)
    [server] = story.servers
    begin, length = server.run.begin, server.run.end - server.run.begin
    renamed = [Rotation(begin + part * length, "rename") for part in (0.13, 0.29, 0.67, 0.83)]
    middle = quietest_moment(server.lines, begin + 0.4 * length, begin + 0.6 * length)
    return replace(story, servers=[replace(server, rotations=[*renamed, Rotation(middle, "copytruncate")])])


def killed(form: str) -> Story:
    """The exporter is killed three times, at moments nobody chose, and stays down for a while."""
    story, rng = plain(form), np.random.default_rng(sum(form.encode()))
    run = long_run()
    thirds = [run.begin + 30.0 + part * (run.end - run.begin - 90.0) / 3 for part in range(4)]
    moments = [rng.uniform(since, until - 30.0) for since, until in pairwise(thirds)]
    return replace(story, kills=[Kill(at, rng.uniform(5.0, 20.0)) for at in moments])


def damaged(form: str) -> Story:
    """Some lines are lost, others come twice."""
    story, rng = plain(form), np.random.default_rng(sum(form.encode()))
    [server] = story.servers
    lines = repeat(lose(server.lines, rng, LOST_FRACTION), rng, LOST_FRACTION)
    return replace(story, servers=[replace(server, lines=lines)], horizon_seconds=120.0)


def doubled(form: str) -> Story:
    """Every twentieth line comes twice, as from a shipper that delivers at least once."""
    run = short_run()
    server = _server(form, run)
    lines = repeat(server.lines, np.random.default_rng(5), DOUBLED_FRACTION)
    return Story([replace(server, lines=lines)], [_gpu(power_trace(run))])


def faulty(kind: str) -> Story:
    """The sensor fails in the middle of the load."""
    run, since = short_run(), 60.0
    fault = {
        "lost": Fault("error", since, since + FAULT_SECONDS["lost"], GPU_IS_LOST),
        "reset": Fault("reset", since),
        "stuck": Fault("stuck", since, since + FAULT_SECONDS["stuck"]),
    }[kind]
    return Story([_server("llamacpp", run)], [replace(_gpu(power_trace(run)), faults=(fault,))])


def two_gpus() -> Story:
    """One server whose model lies on two boards."""
    run = replace(short_run(), physics=replace(EIGHT_B, gpu_shares=(0.53, 0.47)))
    return Story([_server("jsonl", run)], [_gpu(trace, index) for index, trace in enumerate(gpu_traces(run))])


def two_servers() -> Story:
    """Two servers on one board: its idle power is drawn once, what they do adds up."""
    one, other = short_run(mean_batch=4.0), short_run(seed=12, mean_batch=3.0)
    gpu = replace(_gpu(power_trace(one)), power=_together(power_trace(one), power_trace(other)))
    return Story([_server("llamacpp", one), _server("vllm", other)], [gpu])


STORIES: Mapping[str, Callable[[], Story]] = {
    "plain llamacpp": partial(plain, "llamacpp"),
    "plain nginx": partial(plain, "nginx"),
    "plain vllm": partial(plain, "vllm"),
    "rotated llamacpp": partial(rotated, "llamacpp"),
    "killed llamacpp": partial(killed, "llamacpp"),
    "killed nginx": partial(killed, "nginx"),
    "killed vllm": partial(killed, "vllm"),
    "damaged llamacpp": partial(damaged, "llamacpp"),
    "damaged vllm": partial(damaged, "vllm"),
    "doubled llamacpp": partial(doubled, "llamacpp"),
    "doubled nginx": partial(doubled, "nginx"),
    "doubled vllm": partial(doubled, "vllm"),
    "sensor lost": partial(faulty, "lost"),
    "sensor reset": partial(faulty, "reset"),
    "sensor stuck": partial(faulty, "stuck"),
    "two gpus": two_gpus,
    "two servers": two_servers,
}
"""By name; each is built only where it is told."""


def _server(form: str, run: Run) -> Server:
    write, requests = _FORMATS[form]
    return Server(form, run, write(run, np.random.default_rng(3)), requests)


def _gpu(trace: PowerTrace, index: int = 0) -> FakeGpu:
    uuid = f"GPU-{index:08d}-2222-3333-4444-555555555555"
    points = [(at - BEGIN, watts) for at, watts in trace.breakpoints()]
    power, bus = ((-LEAD, trace.idle_watts), *points), f"00000000:{index + 1:02X}:00.0"
    return FakeGpu(power=power, uuid=uuid, bus=bus, counter=Counter(base=1e6))


def _together(one: PowerTrace, other: PowerTrace) -> list[tuple[float, float]]:
    edges = np.union1d(one.edges, other.edges)
    watts = _watts(one, edges) + _watts(other, edges) - one.idle_watts
    return [(-LEAD, one.idle_watts), *zip((edges - BEGIN).tolist(), watts.tolist(), strict=True)]


def _watts(trace: PowerTrace, at: Floats) -> Floats:
    steps = np.array([watts for _, watts in trace.breakpoints()])
    place = np.searchsorted(trace.edges, at, side="right") - 1
    return np.asarray(np.where(place >= 0, steps[place], trace.idle_watts))
