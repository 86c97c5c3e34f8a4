"""All that a run is judged by: the clients' truth, the exporter's account under every policy, and the raw sensors.

Where nobody is there before and after, the energy of everybody in between is metered and a matter of no rule. Such a
stretch is one isolated request, one batch of identical ones, or one phase.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from validation.judging.matching import Matched, Matching, match
from validation.judging.played import Played, Variant
from validation.serving.run import ClientTruth, Phase, PhaseKind, ServingRun

GUARD_SECONDS = 1.0
"""At either end of a pause: the sensor blurs, and clocks take a while to fall."""
LEAST_PERIODS = 10.0
"""What lasts so many periods of the sensor is metered to a few percent, even if nothing around it is alike."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Requests between two moments at which nobody was there.

    Attributes:
        phase: in which they ran. name: of these requests in it; empty where it is all of them.
        members: every one of them, by its client's start.
        metered: joules from the first one's start to the last one's end by the clients' clock, of all devices; None
            where not known. seconds: that time.
    """

    phase: str
    name: str
    members: tuple[Matched, ...]
    metered: float | None
    seconds: float

    @property
    def size(self) -> int:
        """How many requests."""
        return len(self.members)

    @property
    def concurrency(self) -> float:
        """How many were there at once, on average."""
        return sum(one.client.end - one.client.start for one in self.members) / self.seconds

    @property
    def identical(self) -> bool:
        """Whether all asked for the same and were told the same number of tokens."""
        return len({(one.shape, one.told.output_tokens) for one in self.members}) == 1

    @property
    def decodes(self) -> bool:
        """Whether they have more output than prompt."""
        return all(one.shape[1] > one.shape[0] for one in self.members)

    def joules(self, policy: Variant) -> float:
        """What they were given together."""
        return sum(one.joules[policy] for one in self.members)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one run."""

    run: ServingRun
    played: Played
    matching: Matching

    @property
    def policies(self) -> Sequence[Variant]:
        """The recorded one first, then that in hindsight."""
        return list(self.played.told)

    @property
    def how(self) -> str:
        """How energy came to be known, where no sensor measured it; empty where one did."""
        methods = {device.method for device in self.played.metered.devices} - {"measured"}
        return "FAKE" if self.run.fake else ", ".join(sorted(each.upper() for each in methods))

    def phases(self, *kinds: PhaseKind) -> list[Phase]:
        """Of these kinds, by time."""
        return [phase for phase in self.run.phases if phase.kind in kinds]

    def alone(self) -> list[Stretch]:
        """Isolated requests, each by itself."""
        return list(self._stretches("isolated", key=lambda client: (client.phase, client.id)))

    def batches(self) -> list[Stretch]:
        """Identical requests at once, two or more, with equal output; others cannot be told from unequal ones."""
        found = self._stretches("identical", key=lambda client: (client.phase, client.group))
        return [one for one in found if one.size > 1 and one.identical]

    def windows(self, *kinds: PhaseKind) -> list[Stretch]:
        """Whole phases of these kinds."""
        return list(self._stretches(*kinds, key=lambda client: (client.phase, "")))

    def long_enough(self, one: Stretch) -> bool:
        """Whether the sensor can tell its energy."""
        return one.metered is not None and one.seconds >= LEAST_PERIODS * self.played.metered.period_seconds

    def _stretches(self, *kinds: PhaseKind, key: Callable[[ClientTruth], tuple[str, str]]) -> Iterator[Stretch]:
        """Those of which every request is known; where one is not, nobody knows what it took."""
        names = {phase.name for phase in self.phases(*kinds)}
        known = {one.client.id: one for one in self.matching.matched}
        together: dict[tuple[str, str], list[ClientTruth]] = {}
        for client in self.run.requests:
            if client.phase in names:
                together.setdefault(key(client), []).append(client)
        for (phase, name), clients in together.items():
            members = [known[client.id] for client in clients if client.id in known]
            if len(members) == len(clients):
                yield self._stretch(phase, name, members)

    def _stretch(self, phase: str, name: str, members: Iterable[Matched]) -> Stretch:
        ordered = tuple(sorted(members, key=lambda one: one.client.start))
        start, end = ordered[0].client.start, max(one.client.end for one in ordered)
        return Stretch(phase, name, ordered, self._metered(start, end), end - start)

    def _metered(self, start: float, end: float) -> float | None:
        """With a period of the sensor on either side, whose idle energy is taken off: between steps it blurs."""
        period, idle = self.played.metered.period_seconds, idle_watts(self)
        lonely = not any(
            (end < one.start < end + period) or (start - period < one.end < start) for one in self.run.requests
        )
        if idle is None or not lonely:
            return self.played.metered.joules(start, end)
        joules = self.played.metered.joules(start - period, end + period)
        return None if joules is None else joules - 2.0 * period * idle


def pauses(evidence: Evidence) -> list[tuple[Phase, float, float | None]]:
    """Phases with nobody there: seconds of each without its ends, and joules metered in them."""
    found = []
    for phase in evidence.phases("idle"):
        start, end = phase.began + GUARD_SECONDS, phase.ended - GUARD_SECONDS
        found.append((phase, end - start, evidence.played.metered.joules(start, end) if end > start else None))
    return found


def idle_watts(evidence: Evidence) -> float | None:
    """Metered over all pauses; None where there were none."""
    known = [(seconds, joules) for _, seconds, joules in pauses(evidence) if joules is not None]
    seconds = sum(each for each, _ in known)
    return sum(joules for _, joules in known) / seconds if seconds > 0.0 else None


def evidence_of(run: ServingRun, played: Played) -> Evidence:
    """Join what the clients know with what the exporter made of it."""
    return Evidence(run, played, match(run.requests, played))


def median(values: Sequence[float]) -> float | None:
    """None of nothing."""
    return float(np.median(values)) if values else None
