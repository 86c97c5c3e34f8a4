"""A simulated run told to a pipeline as the shell would tell it: readings and news as they come, then time in ticks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter

import numpy as np

from exporter.domain.events import RequestEvent
from exporter.domain.gauges import Gauge
from exporter.domain.readings import CounterReading, Device, Reading
from exporter.domain.settings import AttributionSettings, PolicyName, RequestSettings, ServerSettings, Settings
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.domain.units import Instant, Joules
from exporter.pipeline.pipeline import Pipeline
from exporter.simulate.batching import Run
from tests.simulation.hearing import News
from tests.simulation.power import gpu_traces

SERVER = "chat"
TICK_SECONDS = 0.5
AFTER_SECONDS = 30.0
"""How long a story goes on after its run: until everything that can settle has."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something that a pipeline is told, and when: a reading, or a server's news."""

    at: Instant
    reading: Reading | None = None
    event: RequestEvent | None = None
    gauge: Gauge | None = None
    server: str = SERVER


def settings(*servers: str, policy: PolicyName = "steps", attribution: AttributionSettings | None = None) -> Settings:
    """Settings with these servers, each on all GPUs; `attribution` overrules `policy`."""
    attribution = attribution or AttributionSettings(policy=policy)
    named = tuple(ServerSettings(name, (RequestSettings("jsonl"),)) for name in servers or (SERVER,))
    return Settings(servers=named, attribution=attribution)


def gpus(count: int, **about: float | bool) -> tuple[Device, ...]:
    """Boards with a counter, unless `about` says otherwise."""
    known = {"has_counter": True, **about}
    return tuple(Device(f"gpu{index}", "gpu", uuid=f"GPU-{index}", **known) for index in range(count))  # type: ignore[arg-type]


def counters(run: Run, *, every_seconds: float = 0.05, until: float | None = None) -> Iterator[Told]:
    """Polls of ideal counters that step every 100 ms, one for each GPU of the run."""
    traces = gpu_traces(run)
    polls = np.arange(run.begin, until if until is not None else run.end + AFTER_SECONDS, every_seconds)
    steps = np.floor((polls - run.begin) * 10.0 + 1e-6) / 10.0 + run.begin
    columns = [trace.counter(steps).tolist() for trace in traces]
    for at, *joules in zip(polls.tolist(), *columns, strict=True):
        for index, value in enumerate(joules):
            yield Told(Instant(at), reading=CounterReading(f"gpu{index}", Instant(at), Joules(1000.0 + value)))


def gauges(run: Run, *, every_seconds: float = 5.0, until: float | None = None) -> Iterator[Told]:
    """What the server says of itself each time it is asked: who is in the batch, and tokens as they come."""
    start, end = (np.array([getattr(one, edge) for one in run.served]) for edge in ("start", "end"))
    first = np.sort([one.first_token for one in run.served])
    steps = run.begin + run.steps.end
    decoded, prompts = np.cumsum(run.steps.decoding), np.cumsum(run.steps.prefill_tokens)
    since = run.begin + 0.26 * every_seconds
    for at in np.arange(since, until if until is not None else run.end + AFTER_SECONDS, every_seconds).tolist():
        done = int(np.searchsorted(steps, at, side="right"))
        output = float(decoded[done - 1] if done else 0) + float(np.searchsorted(first, at, side="right"))
        running = float(((start <= at) & (end > at)).sum())
        prompt = float(prompts[done - 1] if done else 0)
        yield Told(Instant(at), gauge=Gauge(Instant(at), 0.005, running, 0.0, prompt, output))


def hear(news: Iterable[News], server: str = SERVER) -> Iterator[Told]:
    """News, live."""
    return (Told(at, event=event, server=server) for at, event in news)


def tell(
    pipeline: Pipeline,
    *told: Iterable[Told],
    begin: Instant,
    end: Instant,
    tick_seconds: float = TICK_SECONDS,
    watch: Callable[[Instant], None] = lambda _: None,
) -> list[SettledRequest]:
    """Tell everything in order, with time advancing in ticks. Returns the requests that settled, in their order."""
    settled: dict[str, SettledRequest] = {}
    news = merge(*told, key=attrgetter("at"))
    one = next(news, None)
    for tick in np.arange(begin + tick_seconds, end, tick_seconds).tolist():
        while one is not None and one.at <= tick:
            say(pipeline, one)
            one = next(news, None)
        _advance(pipeline, tick, settled)
        watch(tick)
    return list(settled.values())


def say(pipeline: Pipeline, one: Told) -> None:
    """Tell one thing."""
    if one.reading is not None:
        pipeline.receive_reading(one.reading)
    if one.event is not None:
        pipeline.receive_event(one.server, one.event, one.at)
    if one.gauge is not None:
        pipeline.receive_gauge(one.server, one.gauge)


def _advance(pipeline: Pipeline, now: Instant, settled: dict[str, SettledRequest]) -> None:
    for server in pipeline.servers:
        pipeline.receive_progress(server, now)
    pipeline.advance(now)
    settled.update((one.id, one) for one in pipeline.snapshot(now).recent if one.id not in settled)


def imbalance(snapshot: Snapshot) -> float:
    """How far the worst device's books are from balancing, relative to what it metered."""
    return max(
        abs(view.metered_joules - sum(view.booked.values()) - view.unsettled_joules) / max(view.metered_joules, 1.0)
        for view in snapshot.devices
    )


def share_error(truth: Run, settled: Sequence[SettledRequest], *, since: float) -> float:
    """Sum of |error| over sum of truth, over requests that started after `since`; a request that is missing got 0."""
    given = {one.id: one.joules for one in settled}
    mine = [served for served in truth.served if served.start >= since]
    wrong = sum(abs(given.get(served.id, 0.0) - served.joules) for served in mine)
    return wrong / sum(served.joules for served in mine)
