"""A mix of two classes: what each was given together, against a regression that knows no attributed number.

Each window of a mix begins and ends with nobody there, so its energy is metered. It is regressed on how many tokens of
each class were worked for in it, with the classes in another proportion in each window and no constant: everything
metered was caused by somebody. Coefficient times tokens is what a class cost in all windows together.

What it cannot know: a window whose last requests run among fewer others costs more for the same tokens, and that joins
the class of those. A tenth is allowed for it, beside the interval of the regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from validation.judging.evidence import Evidence, Stretch
from validation.judging.finding import Findings
from validation.judging.lines import Fitted, fitted
from validation.judging.matching import Matched
from validation.judging.played import Told, Variant

ALLOWED = 0.10
OWN = 0.9
"""A rule is judged if so much of all requests was shared by its own prices, not by equal time while it learned."""
TOO_WIDE = 0.4
"""Half an interval of more than this part of the total decides nothing."""


@dataclass(frozen=True, slots=True)
class Total:
    """What a class cost in all windows.

    Attributes:
        name: of the class. tokens: worked for, of prompt and output.
        joules: by regression. half: half its interval of 95 %. samples: windows.
    """

    name: str
    tokens: int
    joules: float
    half: float
    samples: int

    def holds(self, given: float) -> bool | None:
        """Whether what the class was given is what it cost; None where that cannot be told."""
        if not self.joules > 0.0 or self.half > TOO_WIDE * self.joules:
            return None
        return abs(given - self.joules) <= self.half + ALLOWED * self.joules


def totals(windows: Sequence[Stretch]) -> list[Total]:
    """Of each class; empty where there are too few windows or they are all alike."""
    names = sorted({one.client.group for window in windows for one in window.members})
    if len(names) < 2:
        return []
    tokens = np.array([[_tokens(window.members, name) for name in names] for window in windows], dtype=np.float64)
    fit = fitted(tokens, np.array([window.metered or 0.0 for window in windows]))
    return [] if fit is None else [_total(fit, index, name, tokens) for index, name in enumerate(names)]


def _total(fit: Fitted, index: int, name: str, tokens: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Total:
    sum_ = float(tokens[:, index].sum())
    return Total(name, round(sum_), fit.values[index] * sum_, fit.half(index) * sum_, len(tokens))


def _tokens(members: Sequence[Matched], name: str) -> int:
    return sum(sum(one.shape) for one in members if one.client.group == name)


def judge(evidence: Evidence, found: Findings) -> None:
    """Each class under each policy; a rule is checked where it was in force, and where it is the one configured."""
    windows = [one for one in evidence.windows("mix") if evidence.long_enough(one)]
    known = totals(windows)
    for policy, told in evidence.played.told.items():
        for total in known:
            given = _given(policy, windows, total.name)
            _tell(policy, total, given, found)
            if policy.startswith(evidence.played.recorded):
                _judge(policy, total, given, told, found)
    if not known and evidence.phases("mix"):
        why = f"{len(windows)} windows whose requests are all known: too few, or too much alike"
        found.check("classes of a mix get what they cost", "a regression on windows' totals", why, None)


def _given(policy: Variant, windows: Sequence[Stretch], name: str) -> float:
    return sum(one.joules[policy] for window in windows for one in window.members if one.client.group == name)


def _tell(policy: Variant, total: Total, given: float, found: Findings) -> None:
    ratio = given / total.joules if total.joules > 0.0 else None
    found.row(
        "two classes in a mix",
        {
            "policy": policy,
            "class": total.name,
            "windows": total.samples,
            "tokens": total.tokens,
            "J given": given,
            "J by regression": total.joules,
            "J +-": total.half,
            "given / regression": ratio,
        },
    )


def _judge(policy: Variant, total: Total, given: float, told: Told, found: Findings) -> None:
    figures = f"{given:.1f} J given, {total.joules:.1f} +- {total.half:.1f} J by regression on {total.samples} windows"
    learning = told.own_share < OWN
    ratio, interval = given / total.joules if total.joules > 0.0 else None, _interval(total, given)
    found.figure(
        f"class_{total.name}_given_over_regression_{policy}",
        ratio,
        "ratio",
        interval=interval,
        samples=total.samples,
        note="joules given to the class over those by regression on windows' totals; interval of 95 %",
    )
    found.check(
        f"class {total.name} of a mix gets what it costs under {policy}",
        f"the regression's interval, and {ALLOWED:.0%} beyond it",
        f"{figures}; but by equal time, for {policy} was still learning" if learning else figures,
        None if learning else total.holds(given),
    )


def _interval(total: Total, given: float) -> tuple[float, float] | None:
    low, high = total.joules - total.half, total.joules + total.half
    return (given / high, given / low) if low > 0.0 and np.isfinite(high) else None
