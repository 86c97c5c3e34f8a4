"""Requests alone against requests among others: what a batch saves, metered, and what policies say of it.

The energy of a batch of identical requests is metered from its first start to its last end, and each is due an n-th of
it, by no rule but that they are identical. A step costs `a` however many are in it and `b` for each of them, so joules
per output token should fall like a/n + b. What a policy gave a batch must be what was metered while it ran.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from validation.judging.evidence import Evidence, Stretch, median
from validation.judging.finding import Findings
from validation.judging.lines import Fitted, fitted
from validation.judging.played import Variant
from validation.judging.references import reference_for

GIVEN = 0.05
"""What batches were given against what was metered: their ends are known to a part of a sensor's period."""


@dataclass(frozen=True, slots=True)
class Size:
    """All batches of one shape and size.

    Attributes:
        prompt, output: tokens of each request. n: requests at once; 1: alone. batches: how many.
        metered: joules per request by the meter. given: by policy. seconds: of a batch.
    """

    prompt: int
    output: int
    n: int
    batches: int
    metered: float
    given: Mapping[Variant, float]
    seconds: float

    @property
    def decodes(self) -> bool:
        """Whether it has more output than prompt: then nearly all of its energy goes into output."""
        return self.output > self.prompt

    @property
    def per_token(self) -> float:
        """Joules per output token, metered, the prompt's included."""
        return self.metered / max(self.output, 1)


def sizes(evidence: Evidence) -> list[Size]:
    """By requests at once, then by shape. Those too short for the sensor are left out, each batch by itself."""
    by_size: dict[tuple[int, int, int], list[Stretch]] = {}
    for one in [*evidence.alone(), *evidence.batches()]:
        if evidence.long_enough(one):
            by_size.setdefault((one.size, *one.members[0].shape), []).append(one)
    return [_size(key, those, evidence.policies) for key, those in sorted(by_size.items())]


def _size(key: tuple[int, int, int], those: Sequence[Stretch], policies: Sequence[Variant]) -> Size:
    n, prompt, output = key
    requests = n * len(those)
    return Size(
        prompt=prompt,
        output=output,
        n=n,
        batches=len(those),
        metered=sum(one.metered or 0.0 for one in those) / requests,
        given={policy: sum(one.joules(policy) for one in those) / requests for policy in policies},
        seconds=sum(one.seconds for one in those) / len(those),
    )


def fall(those: Sequence[Size]) -> Fitted | None:
    """Metered joules per output token as a/n + b, of those that decode; None with fewer than two sizes."""
    decoding = [one for one in those if one.decodes]
    if len({one.n for one in decoding}) < 2:
        return None
    return fitted(np.array([[1.0 / one.n, 1.0] for one in decoding]), np.array([one.per_token for one in decoding]))


def judge(evidence: Evidence, found: Findings) -> None:
    """The table, the fall, what was given, and whether it is plausible."""
    known = sizes(evidence)
    for one in known:
        found.row("joules per request by requests at once", _row(one))
    _judge_fall(known, found)
    recorded = evidence.played.recorded
    _judge_given(recorded, [one for one in known if one.n > 1], "together", found)
    _judge_given(recorded, [one for one in known if one.n == 1], "alone", found)
    _judge_plausible(evidence, known, found)


def _row(one: Size) -> dict[str, object]:
    given = {policy: joules / one.metered if one.metered > 0.0 else None for policy, joules in one.given.items()}
    return {
        "at once": one.n,
        "prompt": one.prompt,
        "output": one.output,
        "batches": one.batches,
        "s": one.seconds,
        "J/request metered": one.metered,
        "J/output token metered": one.per_token,
        **{f"{policy} / metered": ratio for policy, ratio in given.items()},
    }


def _judge_fall(known: Sequence[Size], found: Findings) -> None:
    decoding = [one for one in known if one.decodes]
    fit = fall(known)
    if fit is None:
        return
    for index, letter in enumerate("ab"):
        found.figure(
            f"joules_per_output_token_{letter}",
            fit.values[index],
            "J",
            interval=fit.interval(index),
            samples=len(decoding),
            note=f"{letter} of a/n + b over n requests at once, metered; interval of 95 % where there is one",
        )
    alone = [one.per_token for one in decoding if one.n == decoding[0].n]
    full = [one.per_token for one in decoding if one.n == decoding[-1].n]
    least, most = median(full), median(alone)
    found.check(
        "an output token costs less among others",
        f"less metered at {decoding[-1].n} at once than at {decoding[0].n}",
        f"{least:.3g} J against {most:.3g} J",
        least is not None and most is not None and least < most,
    )


def _judge_given(policy: Variant, those: Sequence[Size], when: str, found: Findings) -> None:
    ratios = [one.given[policy] / one.metered for one in those if one.metered > 0.0]
    worst = max(ratios, key=lambda ratio: abs(ratio - 1.0), default=None)
    middle = median([abs(ratio - 1.0) for ratio in ratios])
    found.check(
        f"requests {when} get what was metered then, under {policy}",
        f"half of the shapes and sizes within {GIVEN:.0%}",
        "nothing lasted long enough"
        if middle is None
        else f"half within {middle:.1%} of {len(ratios)}; furthest {worst:.3f} times",
        None if middle is None else middle <= GIVEN,
    )


def _judge_plausible(evidence: Evidence, known: Sequence[Size], found: Findings) -> None:
    alone = [one for one in known if one.n == 1 and one.decodes]
    if not alone:
        return
    best = max(alone, key=lambda one: one.output / max(one.prompt, 1))
    reference = reference_for(evidence.run.model, evidence.played.metered.devices)
    watts, pace = best.metered / best.seconds, best.seconds / best.output * 1e3
    words = f"{best.per_token:.3g} J a token: {watts:.0f} W at {pace:.1f} ms a token"
    found.figure(
        "alone_joules_per_output_token", best.per_token, "J", note=f"{best.prompt}+{best.output} tokens, gross; {words}"
    )
    found.check(
        "an output token alone costs what is plausible",
        "a published figure for this model and GPU" if reference is None else reference.words,
        words if reference is not None else f"{words}; no published figure is known for {evidence.run.model}",
        None if reference is None or evidence.run.fake else reference.holds(best.per_token),
    )
