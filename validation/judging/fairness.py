"""Identical requests that run at once must get equal joules: they do the same work in the same steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from validation.judging.evidence import Evidence, Stretch, median
from validation.judging.finding import Findings
from validation.judging.played import Variant

SPREAD = 0.05
"""The coefficient of variation of half of the batches may be so much: they start some milliseconds apart."""


@dataclass(frozen=True, slots=True)
class _Spread:
    """Of a batch: coefficient of variation, and largest over smallest."""

    cv: float
    ratio: float


def judge(evidence: Evidence, found: Findings) -> None:
    """By policy and batch size."""
    by_size: dict[int, list[Stretch]] = {}
    for group in evidence.batches():
        by_size.setdefault(group.size, []).append(group)
    for policy in evidence.policies:
        judged = policy.startswith(evidence.played.recorded)
        spreads = {size: [_spread(group, policy) for group in groups] for size, groups in sorted(by_size.items())}
        _tell(policy, spreads, found)
        if judged:
            _check(policy, [one for those in spreads.values() for one in those], found)


def _spread(group: Stretch, policy: Variant) -> _Spread:
    joules = np.array([one.joules[policy] for one in group.members])
    least = float(joules.min())
    mean = float(joules.mean())
    return _Spread(
        float(joules.std(ddof=1)) / mean if mean > 0.0 else np.inf,
        float(joules.max()) / least if least > 0.0 else np.inf,
    )


def _tell(policy: Variant, spreads: Mapping[int, Sequence[_Spread]], found: Findings) -> None:
    for size, those in spreads.items():
        found.row(
            "identical requests at once",
            {
                "policy": policy,
                "batch": size,
                "batches": len(those),
                "CV, median": median([one.cv for one in those]),
                "CV, worst": max(one.cv for one in those),
                "largest / smallest, worst": max(one.ratio for one in those),
            },
        )


def _check(policy: Variant, every: Sequence[_Spread], found: Findings) -> None:
    middle = median([one.cv for one in every])
    found.check(
        f"identical requests get equal joules under {policy}",
        f"CV at most {SPREAD:.0%} in half of the batches",
        "no whole batch of identical requests" if middle is None else f"{middle:.2%} in {len(every)} batches",
        None if middle is None else middle <= SPREAD,
    )
    found.figure(f"identical_cv_{policy}", middle, "ratio", samples=len(every), note="median over batches")
