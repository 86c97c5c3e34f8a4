"""Trials of every part of a subject: what the whole and its components cost, gross and net, and how sure that is.

Trials go round: idle, then every part once, with rests between, and the next round in the opposite order. So a device
that warms up meets all parts alike, and what drifts from round to round shows in the trials' spread, where it belongs.

Idle is with everything loaded and nothing running, measured like a part, at the beginning of every round; net energy of
a trial is gross less the idle power of its own round times its duration, and is never clipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from exporter import __version__
from exporter.components.bench import Bench, Stretch
from exporter.components.plan import BenchClock, Plan, Progress
from exporter.components.probe import Probe
from exporter.components.repetition import Repetition, Rest
from exporter.components.subject import Part, Subject
from exporter.domain.dissection import Capture, ComponentEnergy, Dissection, Trials, capture
from exporter.domain.errors import ComponentsError
from exporter.domain.readings import Device
from exporter.power.source import PowerSource
from exporter.recording.machine import this_machine

_WARM_SECONDS = 0.05


@dataclass(slots=True)
class _Measured:
    """A part with what it cost in each trial."""

    part: Part
    work: Repetition
    stretches: list[Stretch] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.part.component} ({self.part.path})" if self.part.path else self.part.component


def study(  # noqa: PLR0913, PLR0917 - the six things that meet here, and nowhere else
    subject: Subject, source: PowerSource, device: Device, clock: BenchClock, plan: Plan, progress: Progress
) -> Dissection:
    """Measure every part of a subject.

    Args:
        subject: captured, and loaded on the device.
        source: open, by the same clock's `now`; stays open.
        device: which of the source's devices is metered.
        clock: what time it is.
        plan: how often and for how long.
        progress: told before each step, and once at the end.

    Raises:
        ComponentsError: the sensor is silent, fails too often or says what cannot be; says during what.
    """
    assert device in source.devices, "only what the source meters can be metered"
    return _Study(subject, Probe(source, device, clock, plan.patience_seconds), clock, plan, progress).run()


class _Study:
    def __init__(self, subject: Subject, probe: Probe, clock: BenchClock, plan: Plan, progress: Progress) -> None:
        self._subject = subject
        self._probe = probe
        self._clock = clock
        self._plan = plan
        self._progress = progress
        self._bench = Bench(probe, clock, plan)
        self._rest = Rest(clock)
        self._parts = [_Measured(part, self._repetition(part)) for part in subject.parts]
        self._idle: list[Stretch] = []
        self._steps_done = 0

    def run(self) -> Dissection:
        began = self._clock.now()
        for measured in self._parts:
            self._tell(f"warming up {measured.name}")
            measured.work.warm_up(_WARM_SECONDS)
        self._clock.sleep(self._plan.rest_seconds)
        self._tell("how often the sensor is renewed")
        self._probe.learn_period(self._rest, self._plan.poll_seconds, self._plan.patience_seconds)
        for trial in range(self._plan.trials):
            self._round(trial)
        self._progress("done", 1.0)
        return self._dissection(began)

    def _repetition(self, part: Part) -> Repetition:
        return Repetition(part.run, self._subject.synchronise, self._clock)

    def _tell(self, words: str) -> None:
        self._progress(words, self._steps_done / (self._plan.trials * (1 + len(self._parts))))

    # --- measuring -------------------------------------------------------------------------------------------------

    def _round(self, trial: int) -> None:
        which = f"trial {trial + 1} of {self._plan.trials}"
        self._idle.append(self._measure(f"{which}: idle", self._rest, self._plan.idle_seconds))
        for measured in self._parts if trial % 2 == 0 else reversed(self._parts):
            words = f"{which}: {measured.name}"
            measured.stretches.append(self._measure(words, measured.work, self._plan.counter_seconds))
            self._clock.sleep(self._plan.rest_seconds)

    def _measure(self, words: str, work: Repetition | Rest, seconds: float) -> Stretch:
        self._tell(words)
        try:
            stretch = self._bench.measure(work, seconds)
        except ComponentsError as error:
            raise ComponentsError(f"{self._subject.model}, {words}: {error}") from error
        self._steps_done += 1
        return stretch

    # --- what came out ---------------------------------------------------------------------------------------------

    def _dissection(self, began: float) -> Dissection:
        subject, device = self._subject, self._probe.device
        components = [self._component(measured) for measured in self._parts]
        return Dissection(
            model=subject.model,
            architecture=subject.architecture,
            weights=subject.weights,
            parameters=subject.parameters,
            shape=subject.shape,
            case=subject.case,
            device=device,
            period_seconds=self._probe.period_seconds,
            idle_watts=Trials(tuple(idle.watts for idle in self._idle)),
            components=components,
            captures=captures(components),
            began=began,
            seconds=self._clock.now() - began,
            software={**subject.software, "llm-energy-exporter": __version__, **_driver(device)},
            machine=this_machine().processor,
            launch=subject.launch,
        )

    def _component(self, measured: _Measured) -> ComponentEnergy:
        part, stretches = measured.part, measured.stretches
        pairs = list(zip(stretches, self._idle, strict=True))
        return ComponentEnergy(
            component=part.component,
            path=part.path,
            part_of=part.part_of,
            instances=part.instances,
            gross_joules=Trials(tuple(each.joules / each.runs for each in stretches)),
            net_joules=Trials(tuple((each.joules - idle.watts * each.seconds) / each.runs for each, idle in pairs)),
            seconds=Trials(tuple(each.seconds / each.runs for each in stretches)),
            repetitions=tuple(round(each.runs) for each in stretches),
            flops=part.flops,
        )


def captures(components: Sequence[ComponentEnergy]) -> list[Capture]:
    """Every whole that has parts, against them. Of several blocks each is held against what lies in it."""
    wholes = [one for one in components if one.component in {"model", "block"}]
    parts = [(whole, _parts_of(whole, components)) for whole in wholes]
    return [capture(whole, those) for whole, those in parts if those]


def _parts_of(whole: ComponentEnergy, components: Sequence[ComponentEnergy]) -> list[ComponentEnergy]:
    those = [one for one in components if one.part_of == whole.component and one is not whole]
    alike = sum(one.component == whole.component for one in components)
    return those if alike == 1 else [one for one in those if one.path.startswith(f"{whole.path}.")]


def _driver(device: Device) -> dict[str, str]:
    return {"driver": device.driver} if device.driver else {}
