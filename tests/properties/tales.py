"""Tales: any sequence of readings, news and advances, also such as no honest source would tell."""

from dataclasses import dataclass

from hypothesis import strategies as st

from exporter.domain.events import Completed, Counted, Ended, FirstToken, RequestEvent, ServerRestarted, Started
from exporter.domain.gauges import Gauge
from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.domain.settings import (
    AttributionSettings,
    IdleRule,
    PolicyName,
    RequestSettings,
    ServerSettings,
    Settings,
)
from exporter.domain.units import Instant, Joules, Watts, later
from exporter.pipeline.pipeline import Pipeline

BEGIN = Instant(1_795_234_620.0)
HORIZON_SECONDS = 20.0
"""Short, so that short tales outlive it."""
DEVICES = (
    Device("gpu0", "gpu", uuid="GPU-0", has_counter=True, limit_watts=700.0),
    Device("gpu1", "gpu", uuid="GPU-1", power_window_seconds=1.0),
    Device("cpu0", "cpu", has_counter=True, counter_range_joules=500.0),
    Device("gpu2", "gpu", uuid="GPU-2", has_counter=True),
)
"""The last one serves nobody."""
SERVERS = {"chat": ("0", "1"), "code": ("1",)}


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that a pipeline is told, `at` seconds after the beginning; an advance where it is nothing else."""

    at: float
    reading: Reading | None = None
    event: RequestEvent | None = None
    server: str = "chat"
    live: bool = True
    gauge: Gauge | None = None


Tale = list[Happening]

_ids = st.sampled_from(["a", "b", "c", "d", "e"])
_tokens = st.none() | st.integers(0, 5000)
_lengths = st.sampled_from([0.0, 1e-9, 0.001, 0.05, 0.1, 0.3]) | st.floats(0.0, 40.0)
_off = st.sampled_from([0.0, 0.0, 0.0, 0.0, -1.0, 0.5]) | st.floats(-30.0, 5.0) | st.sampled_from([-1e6, 1e6, -1e9])
"""How far from the telling that lies which is told of: mostly now, at times long ago or far in the future."""


def _instant(at: float, off: float = 0.0) -> Instant:
    return later(BEGIN, at + off)


@st.composite
def _events(draw: st.DrawFn, at: float) -> RequestEvent:
    id_, when = draw(_ids), _instant(at, draw(_off))
    kind = draw(st.sampled_from(["started", "started", "first", "ended", "ended", "completed", "counted", "restarted"]))
    if kind == "started":
        return Started(id_, when, prompt_tokens=draw(_tokens))
    if kind == "first":
        return FirstToken(id_, when)
    if kind == "ended":
        return Ended(id_, when, prompt_tokens=draw(_tokens), cached_tokens=draw(_tokens), output_tokens=draw(_tokens))
    if kind == "completed":
        return _completed(draw, id_, when)
    return Counted(when) if kind == "counted" else ServerRestarted(when)


def _completed(draw: st.DrawFn, id_: str, end: Instant) -> Completed:
    length = draw(_lengths)
    start = later(end, -length)
    first = draw(st.none() | st.floats(0.0, 1.0).map(lambda part: later(start, part * length)))
    return Completed(id_, start, end, first_token=first, prompt_tokens=draw(_tokens), output_tokens=draw(_tokens))


_counts = st.none() | st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0, 40.0])
_counters = st.none() | st.integers(0, 10**6).map(float)


@st.composite
def _gauges(draw: st.DrawFn, at: float) -> Gauge:
    when = _instant(at, draw(st.sampled_from([0.0, 0.0, 0.0, -0.3])))
    uncertainty = draw(st.sampled_from([0.0, 0.005, 2.0]))
    return Gauge(when, uncertainty, draw(_counts), draw(_counts), draw(_counters), draw(_counters))


@st.composite
def _readings(draw: st.DrawFn, at: float) -> Reading:
    device = draw(st.sampled_from(DEVICES))
    when = _instant(at, draw(st.sampled_from([0.0, 0.0, 0.0, -0.2])))
    if draw(st.integers(0, 9)) == 0:
        return ReadFailure(device.name, when, "timeout")
    if device.has_counter and draw(st.booleans()):
        joules = draw(st.sampled_from([50.0, 100.0, 250.0, 300.0])) * at + draw(st.sampled_from([0.0, 0.0, -40.0]))
        wrap = device.counter_range_joules or 1e12
        return CounterReading(device.name, when, Joules(max(joules, 0.0) % wrap))
    return PowerReading(device.name, when, Watts(draw(st.sampled_from([0.0, 80.0, 300.0, 695.0, 1e5]))))


@st.composite
def tales(draw: st.DrawFn, *, most: int = 50) -> Tale:
    """Mostly readings a few times a second; among them news of all kinds, and advances, some after a long silence."""
    at, tale = 0.0, []
    for _ in range(draw(st.integers(5, most))):
        at += draw(st.sampled_from([0.0, 0.1, 0.25, 0.25, 0.5, 1.0, 3.0]) | st.sampled_from([12.0, 90.0, 5000.0]))
        kind = draw(st.integers(0, 11))
        if kind > 9:
            tale.append(Happening(at, gauge=draw(_gauges(at)), server=draw(st.sampled_from([*SERVERS]))))
        elif kind < 4:
            tale.append(Happening(at, reading=draw(_readings(at))))
        elif kind < 8:
            server = draw(st.sampled_from([*SERVERS]))
            tale.append(Happening(at, event=draw(_events(at)), server=server, live=draw(st.booleans())))
        else:
            tale.append(Happening(at))
    return tale


def a_pipeline(policy: PolicyName = "steps", idle: IdleRule = "active", begin: Instant = BEGIN) -> Pipeline:
    """Two servers, one of which shares a board with the other."""
    servers = tuple(ServerSettings(name, (RequestSettings("jsonl"),), gpus=gpus) for name, gpus in SERVERS.items())
    rules = AttributionSettings(policy=policy, idle=idle, horizon_seconds=HORIZON_SECONDS)
    return Pipeline(Settings(servers=servers, attribution=rules), DEVICES, begin)


def tell(pipeline: Pipeline, one: Happening) -> None:
    """Tell one thing, or let time pass."""
    now = _instant(one.at)
    if one.reading is not None:
        pipeline.receive_reading(one.reading)
    elif one.gauge is not None:
        pipeline.receive_gauge(one.server, one.gauge)
    elif one.event is not None:
        pipeline.receive_event(one.server, one.event, now if one.live else None)
    else:
        for server in SERVERS:
            pipeline.receive_progress(server, now)
        pipeline.advance(now)
