"""Ten minutes from sensor and log to books: everything real but the driver, the server and the passing of time."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from exporter.domain.events import Used
from exporter.domain.settings import PowerSettings
from exporter.domain.snapshot import Snapshot
from exporter.domain.units import later
from exporter.pipeline.pipeline import Pipeline
from exporter.power.nvml import NvmlSource
from exporter.requests.registry import READERS
from exporter.simulate.batching import Run
from exporter.simulate.load import MIXED
from exporter.simulate.physics import EIGHT_B, FITS, Physics, random_physics
from tests.fakes.nvml import FakeGpu, FakeNvml
from tests.pipeline.telling import Told, imbalance, settings, tell
from tests.power.conftest import PlugIn
from tests.simulation.damage import delay, litter, lose, read_by_polls, repeat
from tests.simulation.logs import LogLine
from tests.simulation.logs.jsonl import jsonl_log
from tests.simulation.logs.llamacpp import llamacpp_log
from tests.simulation.logs.vllm import vllm_log
from tests.simulation.power import gpu_traces
from tests.simulation.scenarios import Scenario, poisson_run

SECONDS = 600.0
POLL_SECONDS = 0.05
AFTER_SECONDS = 40.0
FIELDS = {
    "id": "id",
    "start": {"path": "start", "unit": "s"},
    "end": {"path": "end", "unit": "s"},
    "first_token": {"path": "first_token", "unit": "s"},
    "prompt_tokens": "prompt_tokens",
    "output_tokens": "output_tokens",
    "model": "model",
    "outcome": {"path": "status", "ok": ["ok"], "error": ["error"], "aborted": ["aborted"]},
}
LOGS: Mapping[str, tuple[Callable[[Run, np.random.Generator], list[LogLine]], Mapping[str, Any]]] = {
    "vllm": (vllm_log, {}),
    "llamacpp": (llamacpp_log, {}),
    "jsonl": (lambda run, _: jsonl_log(run), {"fields": FIELDS}),
}
FOUR_GPUS = max(FITS, key=lambda fit: fit.gpus)


def physics_of(seed: int) -> Physics:
    """One GPU for the first seed, several for the next."""
    if seed == 0:
        return EIGHT_B
    drawn = (random_physics(np.random.default_rng(draw)) for draw in range(seed, 1000))
    return next(physics for physics in drawn if len(physics.gpu_shares) == (2 if seed == 1 else FOUR_GPUS.gpus))


def run_of(seed: int) -> Run:
    """Ten minutes of short and long requests, some aborted, some with a cached prompt."""
    scenario = Scenario(physics_of(seed), MIXED, abort_fraction=0.05, cached_fraction=0.2)
    return poisson_run(scenario, np.random.default_rng(seed), rate=0.8, seconds=SECONDS)


def boards(run: Run) -> list[FakeGpu]:
    """Boards that draw what the run drew, from script time 0 on."""
    return [
        FakeGpu(
            power=tuple((at - run.begin, watts) for at, watts in trace.breakpoints()),
            uuid=f"GPU-{index}{index}{index}{index}1111-2222-3333-4444-555555555555",
            bus=f"00000000:{index + 1:02X}:00.0",
            limit_watts=2000.0,
            max_limit_watts=2000.0,
        )
        for index, trace in enumerate(gpu_traces(run))
    ]


def readings(fake: FakeNvml, source: NvmlSource, seconds: float) -> Iterator[Told]:
    """What NVML says, poll by poll."""
    for script_time in np.arange(0.0, seconds, POLL_SECONDS).tolist():
        fake.set_time(script_time)
        for reading in source.read():
            yield Told(reading.at, reading=reading)


def news(kind: str, lines: list[LogLine]) -> Iterator[Told]:
    """What the real reader makes of a log that is looked at ten times a second."""
    reader = READERS[kind].build(LOGS[kind][1], "UTC")
    for line in read_by_polls(lines, 0.1):
        heard = reader.feed(line)
        if isinstance(heard, Used):
            for event in heard.events:
                yield Told(line.not_after, event=event)


def damaged(lines: list[LogLine], rng: np.random.Generator) -> list[LogLine]:
    """One line in a hundred lost, some repeated, some late, some never a server's."""
    return litter(delay(repeat(lose(lines, rng, 0.01), rng, 0.01), rng, 0.01), rng, 50)


def story(fake: FakeNvml, run: Run, kind: str, lines: list[LogLine]) -> tuple[Pipeline, Snapshot]:
    """The books at the end of the whole run."""
    source = NvmlSource(PowerSettings(), lambda: later(run.begin, fake.now()))
    pipeline = Pipeline(settings(), source.devices, run.begin)
    seconds = run.end - run.begin + AFTER_SECONDS
    end = later(run.begin, seconds)
    tell(pipeline, readings(fake, source, seconds), news(kind, lines), begin=run.begin, end=end, tick_seconds=0.25)
    source.close()
    pipeline.advance(end)
    return pipeline, pipeline.snapshot(end)


def metered_truth(fake: FakeNvml, pipeline: Pipeline, run: Run) -> float:
    """What the boards really used while they were metered."""
    begins = float(run.begin)
    return sum(
        fake.true_joules(index, 0.0, float(meter.frontier or begins) - begins)
        for index, meter in enumerate(pipeline.ledger.meters.values())
    )


def totals(snapshot: Snapshot) -> dict[str, float]:
    """All devices together."""
    shares = {"requests": 0.0, "idle": 0.0, "unattributed": 0.0, "metered": 0.0, "unsettled": 0.0}
    for view in snapshot.devices:
        shares["metered"] += view.metered_joules
        shares["unsettled"] += view.unsettled_joules
        for share, joules in view.booked.items():
            shares[share] += joules
    return shares


CASES = [("vllm", 0), ("llamacpp", 1), ("jsonl", 2)]


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_ten_minutes_of_mixed_load_are_booked_to_the_joule(plug_in: PlugIn, kind: str, seed: int) -> None:
    run = run_of(seed)
    fake = plug_in(boards(run))
    pipeline, snapshot = story(fake, run, kind, LOGS[kind][0](run, np.random.default_rng(seed)))
    assert imbalance(snapshot) < 1e-9
    booked = totals(snapshot)
    assert booked["metered"] == pytest.approx(metered_truth(fake, pipeline, run), rel=0.005)
    assert sum(sum(model.requests.values()) for model in snapshot.models) == len(run.served)
    assert booked["requests"] == pytest.approx(run.busy_joules, rel=0.02)
    assert booked["unattributed"] < 0.005 * booked["metered"]


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_a_damaged_log_moves_joules_to_unattributed_but_loses_none(plug_in: PlugIn, kind: str, seed: int) -> None:
    run = run_of(seed)
    fake = plug_in(boards(run))
    rng = np.random.default_rng(seed)
    pipeline, snapshot = story(fake, run, kind, damaged(LOGS[kind][0](run, rng), rng))
    assert imbalance(snapshot) < 1e-9
    booked = totals(snapshot)
    assert booked["metered"] == pytest.approx(metered_truth(fake, pipeline, run), rel=0.005)
    assert booked["requests"] > 0.8 * run.busy_joules
    assert booked["requests"] + booked["unattributed"] + booked["unsettled"] > run.busy_joules
    pipeline.finish(snapshot.at)
    assert imbalance(pipeline.snapshot(snapshot.at)) < 1e-9


@pytest.mark.parametrize(("kind", "seed"), [case for case in CASES if case[0] != "llamacpp"])
def test_damage_to_a_line_costs_its_own_request_only(plug_in: PlugIn, kind: str, seed: int) -> None:
    """llama-server's lines belong together by slot and process clock: a repeated one can look like a new server."""
    run = run_of(seed)
    rng = np.random.default_rng(seed)
    lines = damaged(LOGS[kind][0](run, rng), rng)
    _, snapshot = story(plug_in(boards(run)), run, kind, lines)
    counted = sum(sum(model.requests.values()) for model in snapshot.models)
    assert 0.96 * len(run.served) < counted <= len(run.served)
