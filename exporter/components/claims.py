"""The paper's three claims (arXiv 2510.02810), held against results. What does not hold is a finding, not a fault.

    spread      each component's energy varies by less than 9.5 % over its trials
    capture     components together are more than 90 % of the whole run by itself; here also: less than 110 %
    attention   attention costs more joules per FLOP than the other components

The paper does not say what its capture is a share of. Here it is the energy of the whole, replayed alone by the same
means: once the model, and once a block. More than all of it is as wrong as too little, so there is a bound on that
side, too: parts that cost more alone than together (launching them takes its time) or noise would else prove the claim.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from exporter.components.words import NOTHING, percent
from exporter.domain.dissection import ComponentEnergy, ComponentName, Dissection

ClaimName = Literal["spread", "capture", "attention"]
Verdict = Literal["holds", "does not hold", "not known"]

SPREAD = 0.095
CAPTURE = (0.90, 1.10)

_ATTENTIONS: frozenset[ComponentName] = frozenset({"attention", "cross_attention"})
_WHOLES: frozenset[ComponentName] = frozenset({"model", "block"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One claim, held against one dissection.

    Attributes:
        claim, verdict: what was found.
        figure: the number that decides: the largest coefficient of variation, the capture farthest from 1, the
            smallest ratio of attention's joules per FLOP to another component's; None where there is none.
        where: what that number is of, in words.
    """

    dissection: Dissection
    claim: ClaimName
    verdict: Verdict
    figure: float | None
    where: str


@dataclass(frozen=True, slots=True)
class Tally:
    """A claim over all results."""

    claim: ClaimName
    holds: int
    fails: int
    unknown: int

    @property
    def verdict(self) -> Verdict:
        """Whether it holds everywhere that is known."""
        if self.fails:
            return "does not hold"
        return "holds" if self.holds else "not known"


def findings(dissections: Iterable[Dissection]) -> list[Finding]:
    """All claims, for each result."""
    return [of(one) for one in dissections for of in (_spread, _capture, _attention)]


def tally(those: Sequence[Finding]) -> list[Tally]:
    """How often each claim holds."""
    return [_tally(claim, [one.verdict for one in those if one.claim == claim]) for claim in get_args(ClaimName)]


def _tally(claim: ClaimName, verdicts: Sequence[Verdict]) -> Tally:
    return Tally(claim, verdicts.count("holds"), verdicts.count("does not hold"), verdicts.count("not known"))


def named(part: ComponentEnergy) -> str:
    """`attention (h.0.attn)`."""
    name = part.component.replace("_", " ")
    return f"{name} ({part.path})" if part.path else name


def figure_words(one: Finding) -> str:
    """The number that decides: a share as `9.4 %`, a ratio as `x 1.31`."""
    if one.claim != "attention":
        return percent(one.figure)
    return NOTHING if one.figure is None else f"x {one.figure:.2f}"


def _spread(one: Dissection) -> Finding:
    known = [(part.gross_joules.cv, part) for part in one.components if len(part.gross_joules.values) > 1]
    spreads = [(cv, part) for cv, part in known if cv is not None]
    if not spreads or len(spreads) < len(one.components):
        why = "a single trial has no spread" if not known else "a component's mean energy is not above 0"
        return Finding(one, "spread", "not known", None, why)
    worst, part = max(spreads, key=lambda pair: pair[0])
    return Finding(one, "spread", "holds" if worst < SPREAD else "does not hold", worst, f"largest: {named(part)}")


def _capture(one: Dissection) -> Finding:
    if not one.captures:
        return Finding(one, "capture", "not known", None, "no whole was replayed")
    worst = max(one.captures, key=lambda capture: abs(capture.gross_ratio - 1.0))
    verdict: Verdict = "holds" if CAPTURE[0] < worst.gross_ratio < CAPTURE[1] else "does not hold"
    whole = f"the block {worst.path}".rstrip() if worst.whole == "block" else "the model"
    return Finding(one, "capture", verdict, worst.gross_ratio, f"farthest from all: of {whole} run by itself")


def _attention(one: Dissection) -> Finding:
    counted = [(part.gross_joules_per_flop, part) for part in one.components if part.component not in _WHOLES]
    known = [(each, part) for each, part in counted if each is not None]
    ours = [(each, part) for each, part in known if part.component in _ATTENTIONS]
    others = [(each, part) for each, part in known if part.component not in _ATTENTIONS and each > 0.0]
    if not ours or not others:
        return Finding(one, "attention", "not known", None, "FLOPs of attention, or of anything else, are not known")
    least, mine = min(ours, key=lambda pair: pair[0])
    most, theirs = max(others, key=lambda pair: pair[0])
    verdict: Verdict = "holds" if least > most else "does not hold"
    return Finding(one, "attention", verdict, least / most, f"{named(mine)} against {named(theirs)}")
