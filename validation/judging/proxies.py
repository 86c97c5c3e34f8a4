"""How far time, and what else can be seen without a meter, stands in for one: six proxies, on every ground.

Three grounds over the whole run are the exporter's own (requests alone, windows, attributed shares; the last says only
how far a proxy is from one rule). The fourth is the validation's: stretches of time that begin and end with nobody
there, whose energy is metered by the raw sensor, by how many requests were at once in them. Predictions were made by
the proxies as they learned, before they knew.

Forgetting the 1/B: watts of a lone request, metered, times the latency of each request in a stretch, over what was
metered in it. A request's latency holds the whole server, not its share of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from exporter.domain.settings import ProxyName
from exporter.domain.snapshot import Ground, ScoreName, SettledRequest
from exporter.proxy.scoring.scores import Scores
from validation.judging.evidence import Evidence, Stretch, median
from validation.judging.finding import Findings
from validation.judging.played import PROXIES

_LEAST_JOULES = 1e-6
GROUNDS: dict[Ground, str] = {
    "isolated": "requests that ran alone, metered",
    "window": "windows, metered",
    "request": "attributed shares (one rule's, not metered)",
}


@dataclass(frozen=True, slots=True)
class Bin:
    """Requests at once, on average, from `low` to below `high`."""

    name: str
    low: float
    high: float

    def has(self, concurrency: float) -> bool:
        """Whether it is one of these."""
        return self.low <= concurrency < self.high


BINS = (Bin("1", 0.0, 1.5), Bin("2-4", 1.5, 4.5), Bin("5-16", 4.5, 16.5), Bin("17-64", 16.5, 64.5))


@dataclass(frozen=True, slots=True)
class Score:
    """How a proxy did. What is not defined of few samples is None."""

    proxy: ProxyName
    ground: str
    at_once: str
    samples: int
    mape: float | None
    bias: float | None
    r2: float | None
    spearman: float | None


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What forgetting the 1/B costs in a bin. `ratio`: naive joules over metered, of all its stretches together."""

    at_once: str
    ratio: float
    stretches: int
    concurrency: float


@dataclass(frozen=True, slots=True)
class Study:
    """All of it.

    Attributes:
        overall: on the exporter's own grounds. by_load: on metered stretches, as they learned. hindsight: the same with
            what they had learned when the recording ended. attributed: on shares, as they learned.
        forgetting: by load. lone_watts: metered while one request ran; None: none did.
    """

    overall: tuple[Score, ...]
    by_load: tuple[Score, ...]
    hindsight: tuple[Score, ...]
    attributed: tuple[Score, ...]
    forgetting: tuple[Forgetting, ...]
    lone_watts: float | None


METERED = "stretches with nobody there before and after, metered"
LEARNED = f"{METERED}; proxies in hindsight"
SHARES = GROUNDS["request"]


def study(evidence: Evidence) -> Study:
    """Work it out."""
    stretches = _stretches(evidence)
    learned = {(one.id, one.start): one for one in evidence.played.told[evidence.played.hindsight].settled}
    settled = evidence.played.told[evidence.played.recorded].settled
    lone = _lone_watts(evidence)
    return Study(
        overall=tuple(_overall(evidence)),
        by_load=tuple(_by_load(stretches, METERED, lambda one: _of_stretch(one, [each.told for each in one.members]))),
        hindsight=tuple(
            _by_load(
                stretches,
                LEARNED,
                lambda one: _of_stretch(one, [learned[each.told.id, each.told.start] for each in one.members]),
            )
        ),
        attributed=tuple(_by_load(settled, SHARES, _of_request)),
        forgetting=tuple(_forgetting(stretches, lone)) if lone is not None else (),
        lone_watts=lone,
    )


def _stretches(evidence: Evidence) -> list[Stretch]:
    found = [
        *evidence.alone(),
        *evidence.batches(),
        *evidence.windows("ramp", "mix", "prefill", "decode"),
    ]
    return [one for one in found if evidence.long_enough(one)]


def _overall(evidence: Evidence) -> Iterator[Score]:
    for view in evidence.played.told[evidence.played.recorded].books.proxies:
        for ground, words in GROUNDS.items():
            scored = view.scores[ground]
            known = scored.lifetime
            yield Score(view.proxy, words, "any", scored.samples, *_told(known))


_T = TypeVar("_T", Stretch, SettledRequest)
_Sample = tuple[float, dict[ProxyName, float]]


def _of_stretch(one: Stretch, told: Sequence[SettledRequest]) -> _Sample:
    """Metered joules, and what each proxy said of all of its requests; those that said nothing of one are left out."""
    said = {
        name: float(sum(each.predicted[name] for each in told))
        for name in PROXIES
        if all(name in each.predicted for each in told)
    }
    return one.metered or 0.0, said


def _of_request(one: SettledRequest) -> _Sample:
    return one.joules, {name: float(joules) for name, joules in one.predicted.items()}


def _by_load(those: Sequence[_T], ground: str, look: Callable[[_T], _Sample]) -> Iterator[Score]:
    for one in BINS:
        yield from _scores([each for each in those if one.has(each.concurrency)], look, one, ground)


def _scores(those: Sequence[_T], look: Callable[[_T], _Sample], at: Bin, ground: str) -> Iterator[Score]:
    samples = [sample for sample in map(look, those) if sample[0] > _LEAST_JOULES]
    if not samples:
        return
    table = np.array([[said.get(name, np.nan) for name in PROXIES] for _, said in samples]).T
    scores = Scores(len(PROXIES))
    scores.add(np.array([actual for actual, _ in samples]), table)
    for name, count, known in zip(PROXIES, scores.samples, scores.lifetime(), strict=True):
        yield Score(name, ground, at.name, count, *_told(known))


def _told(known: Mapping[ScoreName, float]) -> tuple[float | None, float | None, float | None, float | None]:
    return known.get("mape"), known.get("bias"), known.get("r2"), known.get("spearman")


def _lone_watts(evidence: Evidence) -> float | None:
    alone = [one for one in evidence.alone() if evidence.long_enough(one)]
    seconds = sum(one.seconds for one in alone)
    return sum(one.metered or 0.0 for one in alone) / seconds if seconds else None


def _forgetting(stretches: Sequence[Stretch], lone_watts: float) -> Iterator[Forgetting]:
    for at in BINS:
        mine = [one for one in stretches if at.has(one.concurrency)]
        metered = sum(one.metered or 0.0 for one in mine)
        if metered > 0.0:
            naive = lone_watts * sum(one.concurrency * one.seconds for one in mine)
            middle = median([one.concurrency for one in mine])
            yield Forgetting(at.name, naive / metered, len(mine), middle or 0.0)


# --- what it says ----------------------------------------------------------------------------------------------------


def judge(found_study: Study, found: Findings) -> None:
    """Tables and figures."""
    for score in (*found_study.overall, *found_study.by_load, *found_study.hindsight, *found_study.attributed):
        if score.mape is not None:
            found.row(f"time proxies: {score.ground}", _row(score))
    found.figure("lone_watts", found_study.lone_watts, "W", note="metered while a single request ran")
    for one in found_study.forgetting:
        found.figure(
            f"forgetting_one_over_b_at_{one.at_once}",
            one.ratio,
            "ratio",
            samples=one.stretches,
            note=f"watts of a lone request times everybody's latency, over metered; {one.concurrency:.1f} at once",
        )
    _judge_predicted(found_study, found)


def _row(score: Score) -> dict[str, object]:
    return {
        "at once": score.at_once,
        "proxy": score.proxy,
        "MAPE": score.mape,
        "bias": score.bias,
        "R2": score.r2,
        "Spearman": score.spearman,
        "n": score.samples,
    }


def _judge_predicted(found_study: Study, found: Findings) -> None:
    """One of them must have predicted on metered ground, or the study says nothing."""
    scored = [score for score in (*found_study.overall, *found_study.by_load) if score.ground != SHARES]
    count = max((score.samples for score in scored), default=0)
    found.check(
        "proxies were held against metered energy",
        "at least 3 samples of one ground",
        f"{count} samples of the ground with the most",
        count >= 3 if scored else None,
    )
