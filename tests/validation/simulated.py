"""A serving run of the simulated server, where the energy of every request is known, with its recording.

The load is what a real run's is: phases that begin and end with nobody there, batches that begin at once, streams in
which each request is replaced as it ends. SIMULATED: nothing here was measured.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from exporter.domain.settings import AttributionSettings, Settings
from exporter.domain.units import Instant, later
from exporter.simulate.batching import BEGIN, CHUNKED, Run, _served, _steps
from exporter.simulate.engine import Engine, Passage
from exporter.simulate.load import Request
from exporter.simulate.physics import Physics, fit_of, served
from tests.pipeline.telling import counters, gpus, hear, settings, tell
from tests.recording.recorded import recorded
from tests.simulation.hearing import Sight, events
from validation.serving.run import ClientTruth, Phase, PhaseKind, ServingRun

IDLE_SECONDS = 6.0
PAUSE_SECONDS = 1.0
AFTER_SECONDS = 8.0
LOOK_SECONDS = 0.005
"""So often a client that waits for a stream looks whether one has ended."""
WAY_SECONDS = 0.002
"""From the server to its client."""

EIGHT_B = served(fit_of("llama-3.1-8b"))
EVERYTHING = Sight()
PREFILL, DECODE = (1200, 8), (32, 120)


@dataclass(frozen=True, slots=True)
class Batch:
    """So many requests at once."""

    group: str
    shape: tuple[int, int]
    size: int = 1


@dataclass(frozen=True, slots=True)
class Stream:
    """So many at a time, replaced as they end. `shapes`: by group; `shares`: of each."""

    shapes: Mapping[str, tuple[int, int]]
    shares: Sequence[float]
    concurrency: int
    seconds: float
    spread: float = 1.0


@dataclass(frozen=True, slots=True)
class PhaseOf:
    """A phase to be. Of kind `idle` it has no steps."""

    name: str
    kind: PhaseKind
    steps: Sequence[Batch | Stream] = ()


def standard() -> list[PhaseOf]:
    """What a real run's load is like, shorter."""
    shapes = [(64, 150), (512, 100), (32, 250), (2048, 60), (128, 200)]
    shares = (0.5, 0.1, 0.9, 0.3, 0.7, 0.0, 1.0, 0.6)
    mix = [Stream({"prefill": PREFILL, "decode": DECODE}, (share, 1.0 - share), 16, 3.5) for share in shares]
    return [
        PhaseOf("idle-first", "idle"),
        PhaseOf("isolated", "isolated", [Batch(f"i{n}", shape) for n, shape in enumerate(shapes)]),
        PhaseOf(
            "identical", "identical", [Batch(f"b{n}.{again}", (64, 200), n) for n in (4, 16, 64) for again in (0, 1)]
        ),
        *(
            PhaseOf(f"ramp-{n}", "ramp", [Stream({f"c{n}": (192, 100)}, (1.0,), n, 4.0, spread=2.0)])
            for n in (1, 2, 4, 8, 16, 32, 64)
        ),
        *(PhaseOf(f"mix-{number}", "mix", [each]) for number, each in enumerate(mix)),
        PhaseOf("idle-last", "idle"),
    ]


@dataclass(slots=True)
class _Player:
    """Puts the load on the engine. `at`: seconds since the story began."""

    engine: Engine
    rng: np.random.Generator
    at: float = 0.0
    sent: dict[str, tuple[str, str]] = field(default_factory=dict)
    passages: list[Passage] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def play(self, phase: PhaseOf) -> None:
        began = self.at
        if phase.kind == "idle":
            self.at += IDLE_SECONDS
        for step in phase.steps:
            if isinstance(step, Batch):
                self._batch(phase.name, step)
            else:
                self._stream(phase.name, step)
            self.at += PAUSE_SECONDS
        most = max((step.size if isinstance(step, Batch) else step.concurrency for step in phase.steps), default=0)
        self.phases.append(Phase(phase.name, phase.kind, BEGIN + began, BEGIN + self.at, most))

    def _batch(self, phase: str, batch: Batch) -> None:
        for number in range(batch.size):
            self._submit(phase, batch.group, batch.shape, self.at + 1e-4 * number)
        self.engine.advance()
        self.at = max(one.end or 0.0 for one in self._ended())

    def _stream(self, phase: str, stream: Stream) -> None:
        until = self.at + stream.seconds
        for _ in range(stream.concurrency):
            self._draw(phase, stream)
        running = stream.concurrency
        while running:
            self.at += LOOK_SECONDS
            self.engine.advance(self.at)
            for _ in self._ended():
                running -= 1
                if self.at < until:
                    self._draw(phase, stream)
                    running += 1

    def _draw(self, phase: str, stream: Stream) -> None:
        group = str(self.rng.choice(list(stream.shapes), p=stream.shares))
        factor = stream.spread ** self.rng.uniform(-1.0, 1.0)
        prompt, output = (max(round(tokens * factor), 2) for tokens in stream.shapes[group])
        self._submit(phase, group, (prompt, output), self.at)

    def _submit(self, phase: str, group: str, shape: tuple[int, int], at: float) -> None:
        id_ = f"{phase}-{len(self.sent)}"
        self.sent[id_] = (phase, group)
        self.engine.submit(Request(id_, at, *shape), at)

    def _ended(self) -> list[Passage]:
        ended, self.engine.gone = self.engine.gone, []
        self.passages.extend(ended)
        return ended


@dataclass(frozen=True, slots=True)
class Simulated:
    """A run and its truth. `joules`: by request id."""

    run: ServingRun
    truth: Run
    joules: Mapping[str, float]


def simulated(
    folder: Path,
    phases: Sequence[PhaseOf] | None = None,
    physics: Physics = EIGHT_B,
    sight: Sight = EVERYTHING,
    *,
    seed: int = 1,
) -> Simulated:
    """Serve the phases, record it as the exporter would, and tell what clients saw."""
    chance, choice = np.random.default_rng(seed).spawn(2)
    player = _Player(Engine(physics, CHUNKED, chance), choice)
    for phase in standard() if phases is None else phases:
        player.play(phase)
    story = Run(
        physics=physics,
        scheduler=CHUNKED,
        begin=BEGIN,
        end=Instant(BEGIN + player.at),
        steps=_steps(player.engine.begun),
        served=tuple(_served(one, BEGIN) for one in sorted(player.passages, key=lambda one: one.arrival)),
    )
    path = folder / "recording-simulated.jsonl.gz"
    _record(path, story, sight)
    run = ServingRun(
        server="simulated",
        name="simulated",
        model="Llama-3.1-8B, bf16, SIMULATED",
        fake=False,
        load="standard",
        recording=path,
        requests=tuple(_clients(story, player.sent)),
        phases=tuple(player.phases),
    )
    return Simulated(run, story, {one.id: one.joules for one in story.served})


def _record(path: Path, story: Run, sight: Sight) -> None:
    end = later(story.end, AFTER_SECONDS)
    with recorded(
        path, _settings(), [replace(gpus(1)[0], method="simulated", model="SIMULATED")], story.begin
    ) as pipeline:
        tell(pipeline, counters(story, until=end), hear(events(story, sight)), begin=story.begin, end=end)


def _settings() -> Settings:
    return settings(attribution=AttributionSettings(horizon_seconds=20.0))


def _clients(story: Run, sent: Mapping[str, tuple[str, str]]) -> Iterator[ClientTruth]:
    for one in story.served:
        phase, group = sent[one.id]
        yield ClientTruth(
            id=one.id,
            phase=phase,
            group=group,
            start=one.arrival - WAY_SECONDS,
            end=one.end + WAY_SECONDS,
            first_token=one.first_token + WAY_SECONDS,
            prompt_tokens=one.prompt_tokens,
            asked_tokens=one.request.output_tokens,
            output_tokens=one.output_tokens,
            outcome=one.outcome,
        )
