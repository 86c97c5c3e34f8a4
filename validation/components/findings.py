"""What came out of it: the paper's claims as checks, what each model costs as rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exporter.components.claims import CAPTURE, SPREAD, ClaimName, Finding, findings, tally
from exporter.components.words import case_words, device_words
from exporter.domain.dissection import Dissection
from validation.results import Check, Figure

_EXPECTED: Mapping[ClaimName, tuple[str, str]] = {
    "spread": ("CLEAR: components vary little", f"every component's CV below {SPREAD:.1%}, in every case"),
    "capture": (
        "CLEAR: components sum up to the whole",
        "{:.0%} to {:.0%} of the whole, in every case".format(*CAPTURE),
    ),
    "attention": ("CLEAR: attention costs the most joules per FLOP", "more than every other component, in every case"),
}


def checks(results: Sequence[Dissection]) -> Iterator[Check]:
    """A claim each; None where nothing is known."""
    found = findings(results)
    for one in tally(found):
        name, expected = _EXPECTED[one.claim]
        told = f"holds in {one.holds}, does not in {one.fails}, not known in {one.unknown}"
        worst = _worst([each for each in found if each.claim == one.claim])
        known = one.holds + one.fails > 0
        yield Check(name, expected, f"{told}{worst}", one.fails == 0 if known else None)


def _worst(those: Sequence[Finding]) -> str:
    """Of a claim, what speaks most against it."""
    known = [one for one in those if one.figure is not None]
    if not known:
        return ""
    against = max(known, key=_against)
    return f"; {against.figure:.3g} in {_name(against.dissection)} ({against.where})"


def _against(one: Finding) -> float:
    """The larger, the more it speaks against its claim."""
    figure = one.figure or 0.0
    return {"spread": figure, "capture": abs(figure - 1.0), "attention": -figure}[one.claim]


def figures(results: Sequence[Dissection]) -> Iterator[Figure]:
    """How many, and idle watts with a context open."""
    yield Figure("component_cases", float(len(results)), "cases", note="models by phase and launch")
    if not results:
        return
    idle = [watts for one in results for watts in one.idle_watts.values]
    note = f"{device_words(results[0].device)}, a model loaded and nothing running; least and most of all trials"
    yield Figure("components_idle_watts", sum(idle) / len(idle), "W", min(idle), max(idle), len(idle), note)
    periods = [one.period_seconds for one in results if one.period_seconds is not None]
    if periods:
        yield Figure("components_counter_step_seconds", periods[-1], "s", note="as the bench saw it")


def tables(results: Sequence[Dissection]) -> Mapping[str, tuple[Mapping[str, Any], ...]]:
    """Cases, and their components."""
    return {
        "Components: cases": tuple(_case_row(one) for one in results),
        "Components": tuple(row for one in results for row in _part_rows(one)),
    }


def _name(one: Dissection) -> str:
    return f"{one.model}, {case_words(one.case)}, {one.launch}"


def _case_row(one: Dissection) -> Mapping[str, Any]:
    spread, capture, attention = findings([one])
    model = one.components[0]
    return {
        "case": _name(one),
        "architecture": one.architecture,
        "parameters": one.parameters,
        "J/pass": model.gross_joules.mean,
        "ms/pass": 1e3 * model.seconds.mean,
        "W": model.gross_joules.mean / model.seconds.mean,
        "largest CV": spread.figure,
        "capture farthest from 1": capture.figure,
        "attention / next J/FLOP": attention.figure,
        "s measured": one.seconds,
    }


def _part_rows(one: Dissection) -> Iterator[Mapping[str, Any]]:
    for part in one.components:
        yield {
            "case": _name(one),
            "component": part.component,
            "module": part.path,
            "times": part.instances,
            "mJ gross": 1e3 * part.gross_joules.mean,
            "mJ net": 1e3 * part.net_joules.mean,
            "CV": part.gross_joules.cv,
            "us": 1e6 * part.seconds.mean,
            "pJ/FLOP": None if part.gross_joules_per_flop is None else 1e12 * part.gross_joules_per_flop,
        }
