"""What a match amounts to, as text for somebody who has never seen one, and as JSON. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from exporter.calibrate.implied import EnergyPerToken
from exporter.domain.readings import Method
from exporter.proxy.calibration.matching.fitting import Against
from exporter.proxy.calibration.matching.ranking import CONFIDENT, Fit, Ranking

LABEL = "inferred from times, not metered"
_FEW = 10
_NARROW = 4.0


@dataclass(frozen=True, slots=True)
class Matched:
    """A ranking and what belongs to its calibrations, by name.

    Attributes:
        energy: implied joules per output token; None where a calibration says nothing. methods: how each came by its
            joules. notes: what the reader should know of the timings.
    """

    ranking: Ranking
    energy: Mapping[str, EnergyPerToken | None]
    methods: Mapping[str, Method]
    notes: Sequence[str] = ()


def text(matched: Matched) -> Iterator[str]:
    """Line by line: the answer, the table, what it rests on."""
    yield from _answer(matched)
    yield ""
    yield from _table([_HEAD, *(_row(matched, one) for one in matched.ranking.fits)])
    yield ""
    yield from _basis(matched)


def document(matched: Matched) -> Mapping[str, Any]:
    """The same as JSON values; what is not known is null."""
    ranking = matched.ranking
    used = {
        "timings": ranking.timings,
        "with_time_per_output_token": ranking.tokens,
        "with_time_to_first_token": ranking.first_tokens,
        "output_tokens_per_second": _known(ranking.tokens_per_second),
        "time_to_first_token_seconds": _known(ranking.first_token_seconds),
        "prompt_tokens": [_known(end) for end in ranking.prompt_tokens],
    }
    fits = [asdict(fit) | {"fits": fit.fits, "energy": _energy_document(matched, fit)} for fit in ranking.fits]
    return {
        "method": "time_proxy",
        "verdict": ranking.verdict,
        "among": list(ranking.among),
        "nearest": ranking.best.name,
        "used": used,
        "notes": list(matched.notes),
        "calibrations": fits,
    }


def _energy_document(matched: Matched, fit: Fit) -> Mapping[str, Any]:
    energy = matched.energy[fit.name]
    joules = None if energy is None else {"value": energy.joules, "low": energy.low, "high": energy.high}
    return {"joules_per_output_token": joules, "method": "time_proxy", "calibrated_by": matched.methods[fit.name]}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _answer(matched: Matched) -> Iterator[str]:
    ranking = matched.ranking
    best = ranking.best
    if ranking.verdict == "none":
        yield from _none(ranking)
    elif len(ranking.fits) == 1:
        yield f"It may be {best.name}: the times fit. One calibration cannot say whether another would fit better."
    elif ranking.verdict == "match":
        yield f"Of these it is {best.name}: confidence {best.confidence:.0%}."
    elif len(ranking.among) == 1:
        yield f"Only {ranking.among[0]} fits, but {_doubt(best)}: more timings would tell."
    else:
        yield f"Cannot tell which of these it is: {'; '.join(ranking.among)}."
    yield from _implied([matched.energy[name] for name in ranking.among])


def _none(ranking: Ranking) -> Iterator[str]:
    yield f"None of these fits (nearest: {ranking.best.name}). {_AGAINST[ranking.best.against or 'otherwise']}"
    slower = [one.name for one in ranking.fits if one.against == "slower"]
    if slower:
        yield f"Not ruled out, if busier than under any load of its calibration: {'; '.join(slower)}."


_AGAINST: Mapping[Against, str] = {
    "faster": "Not even alone is that so fast, and load only makes slower.",
    "slower": "Under no load of its calibration was that so slow.",
    "otherwise": "Under no load do rate, first tokens and their spread go together there as they do here.",
}


def _doubt(best: Fit) -> str:
    if best.confidence < CONFIDENT:
        return "that is not certain enough"
    return "something that is none of these would fit better"


def _implied(energies: Sequence[EnergyPerToken | None]) -> Iterator[str]:
    """Of all that it may be: which one it is may be the largest uncertainty by far."""
    told = [energy for energy in energies if energy is not None]
    if told and len(told) == len(energies):
        low, high = min(energy.low for energy in told), max(energy.high for energy in told)
        about = (
            f"about {told[0].joules:.3g} ({low:.3g} to {high:.3g})" if len(told) == 1 else f"{low:.3g} to {high:.3g}"
        )
        yield f"That implies {about} J per output token, {LABEL}."


_HEAD = ("calibration", "confidence", "leads in", "times inside", "fits", "at once", "network", "J/output token*")


def _row(matched: Matched, fit: Fit) -> tuple[str, ...]:
    energy = matched.energy[fit.name]
    return (
        fit.name,
        f"{fit.confidence:.0%}",
        f"{fit.stability:.0%}",
        f"{fit.inside:.0%}",
        "yes" if fit.fits else f"no: {fit.against}",
        f"{fit.concurrency:.3g}",
        f"{1000 * fit.network_seconds:.0f} ms",
        "not known" if energy is None else f"{energy.joules:.3g} ({energy.low:.3g} to {energy.high:.3g})",
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *cells in rows:
        right = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([f"{name:<{widths[0]}}", *right]).rstrip()


def _basis(matched: Matched) -> Iterator[str]:
    ranking = matched.ranking
    low, high = ranking.prompt_tokens
    prompts = f", prompts of {low:.0f} to {high:.0f} tokens" if math.isfinite(low) else ""
    yield (
        f"From {ranking.timings} timings: {ranking.tokens} told {ranking.tokens_per_second:.3g} output tokens a second,"
        f" {ranking.first_tokens} a first token after {ranking.first_token_seconds:.3g} s (medians){prompts}."
    )
    yield "confidence: that it is this one, if it is one of these. leads in: part of balanced halves of the timings"
    yield "in which it comes first. times inside: those in the middle 90% of what it expects, at the load (requests at"
    yield "once) and the network delay at which it fits best. fits: a server of which nothing is known beforehand does"
    yield "not explain the times 1000 times as well. Something else that is as fast in all respects fits as well."
    yield f"* {LABEL}: method time_proxy, if it is this hardware and so many requests ran at once."
    for note in (*matched.notes, *_cautions(matched)):
        yield f"Beware: {note}."


def _cautions(matched: Matched) -> Iterator[str]:
    ranking = matched.ranking
    if ranking.timings < _FEW:
        yield f"{ranking.timings} timings are few; twenty or more, of short and long prompts, are better"
    low, high = ranking.prompt_tokens
    if not high > _NARROW * max(low, 1.0):
        yield "prompts of one length only: load, network and hardware can hardly be told apart"
    if ranking.best.confidence < CONFIDENT <= ranking.best.stability:
        yield "it always comes first, yet by little"
    for method in sorted(set(matched.methods.values()) - {"measured"}):
        names = ", ".join(name for name, its in matched.methods.items() if its == method)
        yield f"joules are {method.upper()}, not measured, of {names}"
