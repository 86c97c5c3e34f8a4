"""A recording, played through the pipeline once for each attribution policy, and what its sensors said beside it.

A policy that learns begins a run of minutes without knowing anything, and so do proxies. So the recorded policy is
played again with what it and the proxies had learned when the recording ended: that shows the rule itself, and how well
a proxy could have done. What it says is in hindsight, and called so. Where one run is too short for a rule to trust
itself, it sees the same run several times over.

Windows of the proxies' ground `window` are shorter here than usual: a run lasts minutes, and every few seconds bring
another load.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from exporter.domain.settings import PolicyName, ProxyName, ScoringSettings, Settings
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.pipeline.pipeline import Pipeline
from exporter.recording.entries import Entry, Header, Readings
from exporter.recording.playing import Player, pipeline_of
from exporter.recording.recording import Recording
from validation.judging.metered import Metered

POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
PROXIES: tuple[ProxyName, ...] = get_args(ProxyName)
WINDOW_SECONDS = 5.0

Variant = str
"""A policy's name; with `HINDSIGHT` after it, that policy with what it had learned at the end."""
HINDSIGHT = " in hindsight"
_MOST_PASSES = 6
"""A run of half a minute has a fifth of the windows that `steps` wants to see."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one policy made of a recording.

    Attributes:
        settled: all requests, by their start.
        books: at the end, closed.
        in_force: of the requests, those shared by the policy's own prices; the others by equal time.
    """

    settled: tuple[SettledRequest, ...]
    books: Snapshot
    in_force: int

    @property
    def own_share(self) -> float:
        """Of the requests, the part shared by the policy's own prices."""
        return self.in_force / len(self.settled) if self.settled else 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """All stories of one recording.

    Attributes:
        header: how it began. told: by variant, the recorded policy first, then in hindsight, then the others.
        cut: why it ends too early; empty where it does not. faults: bugs of the pipeline that were met.
        metered: by its readings alone.
    """

    header: Header
    told: Mapping[Variant, Told]
    cut: str
    faults: int
    metered: Metered

    @property
    def recorded(self) -> PolicyName:
        """The policy that was configured when it was recorded."""
        return self.header.settings.attribution.policy

    @property
    def hindsight(self) -> Variant:
        """The same, with what was learned."""
        return f"{self.recorded}{HINDSIGHT}"


class _Overheard(Recording):
    """A recording whose readings somebody else hears as well."""

    metered: Metered

    def entries(self) -> Iterator[Entry]:
        for entry in super().entries():
            if isinstance(entry, Readings):
                self.metered.take(entry.readings)
            yield entry


def play(path: Path) -> Played:
    """Play it.

    Raises:
        RecordingError: it cannot be read.
    """
    with _Overheard(path) as recording:
        header = recording.header
        recording.metered = Metered(header.devices)
        recorded = header.settings.attribution.policy
        policies = [recorded, *(policy for policy in POLICIES if policy != recorded)]
        pipelines = [pipeline_of(header, _by(policy, header.settings)) for policy in policies]
        told, player = _tell(pipelines, recording)
        cut, metered = recording.cut, recording.metered
    again = _learned(path, pipelines[0])
    stories: dict[Variant, Told] = {
        recorded: told[0],
        f"{recorded}{HINDSIGHT}": again,
        **dict(zip(policies[1:], told[1:], strict=True)),
    }
    return Played(header, stories, cut, player.faults, metered)


def _learned(path: Path, first: Pipeline) -> Told:
    """The same with what was learned, until the policy trusts itself throughout.

    Proxies learn once: windows that they were scored on are not scored, nor learned, a second time.
    """
    pipeline = first
    for _ in range(_MOST_PASSES):
        told, pipeline = _again(path, pipeline, first)
        if told.in_force == len(told.settled):
            break
    return told


def _again(path: Path, learned: Pipeline, first: Pipeline) -> tuple[Told, Pipeline]:
    with Recording(path) as recording:
        pipeline = pipeline_of(recording.header, learned.settings)
        for name, server in pipeline.servers.items():
            before = learned.servers[name].snapshot()["policy"]
            policy: Any = server.policy
            if before is not None:
                policy.restore(before)
            server.proxying.restore(first.servers[name].snapshot()["proxies"], first.servers[name].samples())
        (told,), _ = _tell([pipeline], recording)
    return told, pipeline


def _tell(pipelines: Sequence[Pipeline], recording: Recording) -> tuple[list[Told], Player]:
    player = Player(pipelines, recording.header.begin)
    settled: list[list[SettledRequest]] = [[] for _ in pipelines]
    in_force = [0 for _ in pipelines]
    for moment in _moments(player, recording):
        for index, (pipeline, each) in enumerate(zip(pipelines, moment, strict=True)):
            settled[index].extend(each)
            wanted = pipeline.settings.attribution.policy
            in_force[index] += sum(pipeline.servers[one.server].in_force == wanted for one in each)
    told = [
        Told(tuple(sorted(each, key=lambda one: (one.start, one.id))), pipeline.snapshot(player.now), number)
        for pipeline, each, number in zip(pipelines, settled, in_force, strict=True)
    ]
    return told, player


def _moments(player: Player, recording: Recording) -> Iterator[Sequence[list[SettledRequest]]]:
    for moment in player.play(recording):
        yield moment.settled
    yield player.finish().settled


def _by(policy: PolicyName, settings: Settings) -> Settings:
    return replace(
        settings,
        attribution=replace(settings.attribution, policy=policy),
        proxies=PROXIES,
        scoring=ScoringSettings(WINDOW_SECONDS),
    )
