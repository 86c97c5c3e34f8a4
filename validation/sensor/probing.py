"""The experiments on one board, one after the other, within the time that there is.

Each part is by itself: one that fails is noted and the next begins, so that what was measured is never lost.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from validation.schedule import last_lines
from validation.sensor.load import Load, NoLoadError
from validation.sensor.polling import Floats, Record, Samples, polling
from validation.sensor.sensors import COUNTER, Buffer, Question, Sensors, buffer

IDLE_WITHOUT, IDLE_WITH, IDLE_AFTER, BURSTS = "idle, no context", "idle, context open", "idle, after load", "bursts"

EXPORTER_INTERVAL_SECONDS = 0.05
"""As `power.interval` has it by default."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each part takes, in seconds, and how often.

    Attributes:
        idle_seconds: each time. settle_seconds: after the context was opened, and after the load was warmed up.
        squares: periods of the square waves, and how many of each. They are no multiples of 100 ms, nor of 20 ms.
        bursts: how many, each of `burst_seconds` of work and `rest_seconds` of none.
        call_seconds: of calls at full speed, each sensor.
        throughput_rounds: how often the load's speed is measured without polling and with it, each time for
            `throughput_seconds`.
        pause_seconds: between two rounds of all sensors.
    """

    idle_seconds: float = 5.0
    settle_seconds: float = 2.0
    squares: tuple[tuple[float, int], ...] = ((3.817, 3), (1.037, 8), (0.217, 40))
    bursts: int = 6
    burst_seconds: float = 1.2
    rest_seconds: float = 0.8
    call_seconds: float = 0.7
    throughput_rounds: int = 4
    throughput_seconds: float = 1.0
    pause_seconds: float = 0.001

    @property
    def seconds(self) -> float:
        """About how long all of it takes."""
        squares = sum(period * times for period, times in self.squares)
        bursts = self.bursts * (self.burst_seconds + self.rest_seconds)
        throughput = 2 * self.throughput_rounds * self.throughput_seconds
        return 3 * self.idle_seconds + 2 * self.settle_seconds + squares + bursts + 4 * self.call_seconds + throughput

    def within(self, seconds: float) -> "Plan":
        """Shorter if need be, by the same factor everywhere; square waves keep their periods and lose their number."""
        factor = min(1.0, seconds / self.seconds)
        if factor == 1.0:
            return self
        return replace(
            self,
            idle_seconds=self.idle_seconds * factor,
            settle_seconds=self.settle_seconds * factor,
            squares=tuple((period, fewer) for period, times in self.squares if (fewer := int(times * factor)) > 0),
            bursts=max(3, round(self.bursts * factor)),
            burst_seconds=self.burst_seconds * max(factor, 0.4),
            rest_seconds=self.rest_seconds * max(factor, 0.4),
            call_seconds=self.call_seconds * factor,
            throughput_rounds=max(2, round(self.throughput_rounds * factor)),
            throughput_seconds=self.throughput_seconds * max(factor, 0.4),
        )


@dataclass(frozen=True, slots=True)
class Phase:
    """A while in which all sensors were asked. `edges`: when the load went on and off."""

    samples: Mapping[str, Samples]
    edges: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Calls:
    """One sensor asked at full speed, nothing else going on. `took`: seconds of each call."""

    seconds: float
    took: Floats


@dataclass(slots=True)
class Probed:
    """What was measured so far. `lost`: parts that failed, and why. `shortened`: below 1 where time was short."""

    sensors: Sensors
    load_name: str = ""
    phases: dict[str, Phase] = field(default_factory=dict)
    squares: dict[float, Phase] = field(default_factory=dict)
    calls: dict[str, Calls] = field(default_factory=dict)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    alone: list[float] = field(default_factory=list)
    polled: list[float] = field(default_factory=list)
    burst_pieces: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    shortened: float = 1.0


@dataclass(frozen=True, slots=True)
class Rig:
    """What the experiments are made with. `open_context`, `make_load`: raise NoLoadError where there is none."""

    handle: Any
    plan: Plan
    now: Callable[[], float]
    wait: Callable[[float], None]
    say: Callable[[str], None]
    open_context: Callable[[], object]
    make_load: Callable[[], Load]


def probe(rig: Rig, into: Probed) -> None:
    """Do all of it."""
    part(into, IDLE_WITHOUT, lambda: _idle(rig, into, IDLE_WITHOUT))
    if not part(into, "opening a context", rig.open_context):
        return
    rig.wait(rig.plan.settle_seconds)
    part(into, IDLE_WITH, lambda: _idle(rig, into, IDLE_WITH))
    part(into, "latency of calls", lambda: _calls(rig, into))
    part(into, "load", lambda: _loaded(rig, into))
    part(into, IDLE_AFTER, lambda: _idle(rig, into, IDLE_AFTER))


def part(into: Probed, name: str, do: Callable[[], object]) -> bool:
    """Do it, or note why it could not be done; whether it was."""
    try:
        do()
    except NoLoadError as error:
        into.lost[name] = str(error)
    except Exception:  # noqa: BLE001 - what a driver may raise is not known, and the other parts are worth having
        into.lost[name] = last_lines()
    return name not in into.lost


def _loaded(rig: Rig, into: Probed) -> None:
    """All that needs a load."""
    load = rig.make_load()
    into.load_name = load.name
    rig.say(f"load: {load.name}")
    try:
        rig.wait(rig.plan.settle_seconds)
        for period, times in rig.plan.squares:
            part(into, f"square wave of {period:g} s", partial(_square, rig, into, load, period, times))
        part(into, BURSTS, lambda: _bursts(rig, into, load))
        part(into, "throughput", lambda: _throughput(rig, into, load))
    finally:
        load.close()


def _idle(rig: Rig, into: Probed, name: str) -> None:
    rig.say(f"{name}, {rig.plan.idle_seconds:.1f} s")
    with polling(tuple(into.sensors.answered.values()), rig.now, rig.plan.pause_seconds * 4) as samples:
        rig.wait(rig.plan.idle_seconds)
    into.phases[name] = Phase(samples)


def _calls(rig: Rig, into: Probed) -> None:
    rig.say("calls at full speed")
    for name, question in into.sensors.answered.items():
        if name in {COUNTER, "usage", "average", "instant"}:
            into.calls[name] = _at_full_speed(rig, question)
    into.buffers["idle"] = buffer(rig.handle, rig.now)


def _at_full_speed(rig: Rig, question: Question) -> Calls:
    record, began = Record(), rig.now()
    while rig.now() - began < rig.plan.call_seconds:
        record.ask(question, rig.now)
    return Calls(rig.now() - began, record.samples().call)


def _square(rig: Rig, into: Probed, load: Load, period: float, times: int) -> None:
    rig.say(f"square wave of {period:g} s, {times} times")
    edges: list[tuple[float, float]] = []
    with polling(tuple(into.sensors.answered.values()), rig.now, rig.plan.pause_seconds) as samples:
        rig.wait(min(period, 1.0) / 2)
        began = rig.now()
        for index in range(times):
            edges.append(_work(rig, load, until=began + (index + 0.5) * period))
            rig.wait(max(began + (index + 1) * period - rig.now(), 0.0))
        rig.wait(0.3)
    into.squares[period] = Phase(samples, tuple(edges))


def _work(rig: Rig, load: Load, until: float) -> tuple[float, float]:
    began = rig.now()
    load.piece()
    while rig.now() < until:
        load.piece()
    return began, rig.now()


def _bursts(rig: Rig, into: Probed, load: Load) -> None:
    """Equal work again and again: as many pieces as the first seconds held."""
    pieces = _pieces_in(rig, load, min(rig.plan.burst_seconds, 0.5))
    into.burst_pieces = max(1, round(pieces * rig.plan.burst_seconds / min(rig.plan.burst_seconds, 0.5)))
    rig.say(f"{rig.plan.bursts} equal bursts")
    edges: list[tuple[float, float]] = []
    with polling(tuple(into.sensors.answered.values()), rig.now, rig.plan.pause_seconds) as samples:
        rig.wait(rig.plan.rest_seconds)
        for _ in range(rig.plan.bursts):
            began = rig.now()
            for _ in range(into.burst_pieces):
                load.piece()
            edges.append((began, rig.now()))
            rig.wait(rig.plan.rest_seconds)
    into.phases[BURSTS] = Phase(samples, tuple(edges))
    into.buffers["under load"] = buffer(rig.handle, rig.now)


def _pieces_in(rig: Rig, load: Load, seconds: float) -> int:
    began, pieces = rig.now(), 0
    while rig.now() - began < seconds:
        load.piece()
        pieces += 1
    return pieces


def _throughput(rig: Rig, into: Probed, load: Load) -> None:
    """Pieces a second, without polling and with it, by turns: clocks and heat drift, and drift alike for both."""
    rig.say("throughput without polling and with it")
    questions = _as_the_exporter_asks(into.sensors)
    for index in range(2 * rig.plan.throughput_rounds):
        if index % 4 in {0, 3}:
            into.alone.append(_per_second(rig, load))
            continue
        with polling(questions, rig.now, EXPORTER_INTERVAL_SECONDS):
            into.polled.append(_per_second(rig, load))


def _as_the_exporter_asks(sensors: Sensors) -> Sequence[Question]:
    """The counter each time and power beside it: no less than the exporter, which asks power every fourth time."""
    power = sensors.power()
    counter = sensors.answered.get(COUNTER)
    return [question for question in (counter, power) if question is not None]


def _per_second(rig: Rig, load: Load) -> float:
    began = rig.now()
    pieces = _pieces_in(rig, load, rig.plan.throughput_seconds)
    return pieces / (rig.now() - began)


def percentile(values: Floats, share: float) -> float | None:
    """Of some values; None of none."""
    return float(np.percentile(values, share)) if values.size else None
