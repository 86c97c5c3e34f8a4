"""What is asked of a server, and in which order: sized to the time that there is and to the pace of the server. Pure.

Lengths are chosen by duration, because a sensor knows only seconds: what is to be metered by itself must last several
of its periods. The pace that was measured after the warm-up turns seconds into tokens.

    isolated    requests one by one, with pauses: their energy is metered without any rule
    identical   4, 16, 64 requests of the same lengths at once: each must get the same joules
    mix         windows with long prompts and short answers against the contrary, in varying shares: each window begins
                and ends with nobody there, so its metered energy is that of its requests, for a regression
    ramp        1, 2, 4, ... requests at a time, of varying lengths, replaced as they end: what proxies are scored on
    extremes    almost only prompts, and then almost only answers

Half of what is isolated and identical comes first, half at the end: by then the exporter has learned, and its policy
and its proxies are not those of the beginning. Everything is seeded. Where time is short, each part gets shorter, and
the last of these are left out first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from validation.serving.run import Bearing, PhaseKind

SHORTEST_TOKENS = 8
"""An answer has at least so many: fewer do not look like decoding."""

_AGAIN = "-again"
_SHARES = (0.5, 0.1, 0.9, 0.3, 0.7, 0.0, 1.0, 0.6)
"""Of the requests of a window, those with long prompts."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a server is.

    Attributes:
        prefill: prompt tokens a second.
        step_alone, step_full: seconds between two tokens of a request, alone and among `concurrency` at once.
    """

    prefill: float
    step_alone: float
    step_full: float
    concurrency: int

    def step(self, at_once: int) -> float:
        """Seconds between two tokens of each of so many requests, on the line through what was measured."""
        share = (min(at_once, self.concurrency) - 1) / max(self.concurrency - 1, 1)
        return self.step_alone + share * max(self.step_full - self.step_alone, 0.0)

    def seconds(self, kind: "Class", at_once: int = 1) -> float:
        """About how long a request of this kind takes among others like it."""
        return at_once * kind.prompt_tokens / self.prefill + kind.output_tokens * self.step(at_once)


@dataclass(frozen=True, slots=True)
class Class:
    """Requests that are alike. `share`: of a stream's. `spread`: lengths are up to so many times these."""

    group: str
    prompt_tokens: int
    output_tokens: int
    share: float = 1.0
    spread: float = 1.0


@dataclass(frozen=True, slots=True)
class Together:
    """So many requests at once; it is over when all have ended. Of one: an isolated request."""

    kind: Class
    size: int
    pause_seconds: float
    """After it, with nobody there."""


@dataclass(frozen=True, slots=True)
class Stream:
    """So many requests at a time, replaced as they end, begun for so many seconds; it is over when all have ended."""

    kinds: tuple[Class, ...]
    concurrency: int
    seconds: float
    pause_seconds: float


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """A phase. `seconds`: about how long it takes."""

    name: str
    kind: PhaseKind
    steps: tuple[Together | Stream, ...]
    seconds: float

    @property
    def concurrency(self) -> int:
        """Most requests at once."""
        sizes = (step.size if isinstance(step, Together) else step.concurrency for step in self.steps)
        return max(sizes, default=0)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Phases in their order. `left_out`: kinds for which there was no time."""

    name: str
    phases: tuple[PhasePlan, ...]
    left_out: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """About how long all of it takes."""
        return sum(phase.seconds for phase in self.phases)


@dataclass(frozen=True, slots=True)
class Grain:
    """How long things last; all of them shrink or stretch to the time that there is.

    Attributes:
        request_seconds: an isolated request, a batch. isolated: how many. repeats: of each size of batch: 1 or 2.
        window_seconds, windows: of a mix. level_seconds, levels: of a ramp. heavy_seconds: of the two extremes.
        pause_seconds: between two things.
    """

    request_seconds: float = 2.0
    isolated: int = 8
    repeats: int = 2
    window_seconds: float = 3.0
    windows: int = 6
    level_seconds: float = 3.0
    levels: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    heavy_seconds: float = 4.0
    pause_seconds: float = 0.7


LONG = Grain()
SHORT = Grain(1.0, 4, 1, 1.2, 3, 1.0, (1, 2, 4, 8), 1.0, 0.3)
"""For a real device; for showing that it runs."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """From seconds to tokens, for a server."""

    pace: Pace
    bearing: Bearing

    def lasting(self, group: str, prompt: int, seconds: float, at_once: int) -> Class:
        """Requests of so long a prompt that last about so many seconds when so many run at once."""
        prompt = min(prompt, self.bearing.prompt_tokens)
        decoding = max(seconds - at_once * prompt / self.pace.prefill, 0.0)
        tokens = round(decoding / self.pace.step(at_once))
        return Class(group, prompt, min(max(tokens, SHORTEST_TOKENS), self.bearing.output_tokens))

    def long_prompt(self, seconds: float, at_once: int) -> Class:
        """Requests that are almost only prompt."""
        decoding = SHORTEST_TOKENS * self.pace.step(at_once)
        tokens = round((seconds - decoding) * self.pace.prefill / at_once)
        return Class("prefill", min(max(tokens, 64), self.bearing.prompt_tokens), SHORTEST_TOKENS)

    def long_answer(self, seconds: float, at_once: int) -> Class:
        """Requests that are almost only answer."""
        return self.lasting("decode", 32, seconds, at_once)

    def some(self) -> int:
        """Requests at once, of which there may be many: half of what the server bears, 16 at most."""
        return min(max(self.bearing.concurrency // 2, 2), self.bearing.concurrency, 16)

    def stepped(self, name: str, kind: PhaseKind, steps: Sequence[Together]) -> PhasePlan:
        """A phase of requests or batches one after the other."""
        seconds = sum(self.pace.seconds(step.kind, step.size) + step.pause_seconds for step in steps)
        return PhasePlan(name, kind, tuple(steps), seconds)

    def streamed(self, name: str, kind: PhaseKind, stream: Stream) -> PhasePlan:
        """A phase of one stream. After the last request has begun, the longest of them still runs to its end."""
        rest = max(self.pace.seconds(each, stream.concurrency) for each in stream.kinds)
        return PhasePlan(name, kind, (stream,), stream.seconds + rest + stream.pause_seconds)


_Part = Callable[[Sizing, Grain, Random], Iterator[PhasePlan]]


def plan(seconds: float, sizing: Sizing, grain: Grain = LONG, seed: int = 7) -> LoadPlan:
    """The load for so many seconds: all parts where there is time for it, shorter ones or fewer where there is not.

    However short the time, there are two isolated requests.
    """
    parts = tuple(_PARTS.values())
    for count in range(len(parts), 0, -1):
        for scale in _SCALES:
            phases = _phases(parts[:count], sizing, _scaled(grain, scale), seed)
            if sum(phase.seconds for phase in phases) <= seconds:
                return LoadPlan("standard", phases, tuple(_PARTS)[count:])
    least = replace(_scaled(grain, _SCALES[-1]), isolated=2)
    return LoadPlan("standard", _phases(parts[:1], sizing, least, seed), tuple(_PARTS)[1:])


def _phases(parts: Sequence[_Part], sizing: Sizing, grain: Grain, seed: int) -> tuple[PhasePlan, ...]:
    random = Random(seed)  # noqa: S311 - a repeatable load, no secret
    phases = [phase for part in parts for phase in part(sizing, grain, random)]
    return (*(one for one in phases if not _late(one)), *(one for one in phases if _late(one)))


def _late(phase: PhasePlan) -> bool:
    return phase.name.endswith(_AGAIN)


def _scaled(grain: Grain, scale: float) -> Grain:
    return replace(
        grain,
        isolated=max(round(grain.isolated * scale), 2),
        repeats=min(max(round(grain.repeats * scale), 1), 2),
        windows=max(round(grain.windows * scale), 3),
        window_seconds=grain.window_seconds * scale,
        level_seconds=grain.level_seconds * scale,
        levels=grain.levels if scale > _ALL_LEVELS else grain.levels[::2],
        heavy_seconds=grain.heavy_seconds * scale,
    )


def _isolated(sizing: Sizing, grain: Grain, random: Random) -> Iterator[PhasePlan]:
    """Prompts short and long, answers short and long, in an order of chance."""
    wanted = [
        ((32, 512, 128, 2048)[n % 4], grain.request_seconds * (0.5, 1.0, 1.5)[n % 3]) for n in range(grain.isolated)
    ]
    random.shuffle(wanted)
    kinds = [sizing.lasting(f"i{n}", tokens, seconds, 1) for n, (tokens, seconds) in enumerate(wanted)]
    half = (len(kinds) + 1) // 2
    yield sizing.stepped("isolated", "isolated", [Together(kind, 1, grain.pause_seconds) for kind in kinds[:half]])
    yield sizing.stepped(
        f"isolated{_AGAIN}", "isolated", [Together(kind, 1, grain.pause_seconds) for kind in kinds[half:]]
    )


def _identical(sizing: Sizing, grain: Grain, _: Random) -> Iterator[PhasePlan]:
    """Each size once, and once more at the end where there is time for that."""
    for again in range(grain.repeats):
        steps = [
            Together(sizing.lasting(f"b{size}.{again}", 64, grain.request_seconds, size), size, grain.pause_seconds)
            for size in (4, 16, 64)
            if size <= sizing.bearing.concurrency
        ]
        yield sizing.stepped(f"identical{_AGAIN * bool(again)}", "identical", steps)


def _mix(sizing: Sizing, grain: Grain, _: Random) -> Iterator[PhasePlan]:
    size = sizing.some()
    each = grain.window_seconds / 2.5
    long, short = sizing.long_prompt(each, size), sizing.long_answer(each, size)
    for number, share in enumerate(_SHARES[: grain.windows]):
        kinds = tuple(kind for kind in (replace(long, share=share), replace(short, share=1.0 - share)) if kind.share)
        stream = Stream(kinds, size, grain.window_seconds, grain.pause_seconds / 2.0)
        yield sizing.streamed(f"mix-{number}", "mix", stream)


def _ramp(sizing: Sizing, grain: Grain, _: Random) -> Iterator[PhasePlan]:
    for level in (one for one in grain.levels if one <= sizing.bearing.concurrency):
        kind = sizing.lasting(f"c{level}", 64, grain.level_seconds / 4.0, level)
        kind = replace(
            kind,
            prompt_tokens=min(kind.prompt_tokens, sizing.bearing.prompt_tokens // 2),
            output_tokens=min(kind.output_tokens, sizing.bearing.output_tokens // 2),
            spread=2.0,
        )
        stream = Stream((kind,), level, grain.level_seconds, grain.pause_seconds)
        yield sizing.streamed(f"ramp-{level}", "ramp", stream)


def _extremes(sizing: Sizing, grain: Grain, _: Random) -> Iterator[PhasePlan]:
    size = sizing.some()
    each = grain.heavy_seconds / 4.0
    kinds: tuple[tuple[PhaseKind, Class], ...] = (
        ("prefill", sizing.long_prompt(each, size)),
        ("decode", sizing.long_answer(each, size)),
    )
    for name, kind in kinds:
        stream = Stream((kind,), size, grain.heavy_seconds, grain.pause_seconds)
        yield sizing.streamed(f"{name}-heavy", name, stream)


_PARTS: dict[str, _Part] = {
    "isolated": _isolated,
    "identical": _identical,
    "mix": _mix,
    "ramp": _ramp,
    "extremes": _extremes,
}
_ALL_LEVELS = 0.75
"""Below this scale every other level of the ramp is left out."""
_SCALES = (2.0, 1.5, 1.25, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
