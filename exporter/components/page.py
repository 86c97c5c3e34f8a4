"""The report of a study: Markdown with the machine named, the claims, tables, and the plots beside it."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from exporter.components import words
from exporter.components.claims import CAPTURE, SPREAD, ClaimName, Finding, Tally, figure_words, findings, tally
from exporter.components.fit import Line, lines
from exporter.components.table import ordered
from exporter.domain.dissection import Dissection
from exporter.domain.readings import Method

_CLAIMS: dict[ClaimName, str] = {
    "spread": f"Spread: the energy of every component varies by less than {SPREAD:.1%} over its trials",
    "capture": "Capture: the components together are {:.0%} to {:.0%} of the whole, replayed by itself".format(
        *CAPTURE
    ),
    "attention": "Attention costs more joules per FLOP than every other component",
}
_WARNINGS: dict[Method, str] = {
    "estimated": "**The energy here is ESTIMATED by a model of the processor's power, not measured.** These figures "
    "show that the method runs; they say nothing about any GPU, and little about this processor.",
    "simulated": "**The energy here is SIMULATED: no hardware drew it.**",
}
_PICTURES = {
    "shares": "Where each model's energy goes",
    "joules_per_flop": "What a floating-point operation costs in each component",
    "scaling": "Energy over FLOPs, with the line E = E0 + k x FLOPs",
}


def markdown(dissections: Sequence[Dissection], pictures: Iterable[Path] = (), notes: Sequence[str] = ()) -> str:
    """The whole page.

    Args:
        dissections: at least one.
        pictures: files beside the page; an SVG is shown, others are linked to.
        notes: what else the reader should know, a paragraph each.
    """
    found = findings(dissections)
    parts = [
        "# Energy of models' components",
        _origin(),
        *_warnings(dissections),
        *notes,
        "\n".join(_machine(dissections)),
        "## The paper's claims",
        "\n".join(_verdicts(tally(found))),
        _reading(),
        "\n".join(_findings(found)),
        *_shown(list(pictures)),
        *_fits(lines(dissections)),
        "## Every component",
        "J of one run, gross and without idle power; `times` is how often the block or the model runs it.",
        *("\n".join(_components(one)) for one in dissections),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _origin() -> str:
    return (
        "Component-level energy by repetition, after Jain et al., *Dissecting Transformers: A CLEAR Perspective "
        "towards Green AI* ([arXiv 2510.02810](https://arxiv.org/abs/2510.02810)); written by `llm-energy-exporter "
        "components`, and not meant to be edited."
    )


def _warnings(dissections: Sequence[Dissection]) -> list[str]:
    methods = dict.fromkeys(one.device.method for one in dissections)
    return [_WARNINGS[method] for method in methods if method in _WARNINGS]


def _machine(dissections: Sequence[Dissection]) -> Iterator[str]:
    first, last = min(one.began for one in dissections), max(one.began + one.seconds for one in dissections)
    spent = sum(one.seconds for one in dissections)
    yield "| | |"
    yield "|---|---|"
    yield f"| Metered | {_all(f'{words.device_words(one.device)}, {words.how(one.device)}' for one in dissections)} |"
    yield f"| Processor | {_all(one.machine or 'not known' for one in dissections)} |"
    yield f"| Software | {_all(_software(one) for one in dissections)} |"
    yield f"| Sensor period | {_all(_period(one) for one in dissections)} |"
    idle = [one.idle_watts.mean for one in dissections]
    yield f"| Idle, model loaded | {words.quantity(min(idle), 'W')} to {words.quantity(max(idle), 'W')} |"
    yield f"| Measured | {_day(first)} to {_day(last)} UTC, {spent / 60.0:.0f} minutes of measuring |"
    yield f"| Cases | {len(dissections)}, of {len({one.model for one in dissections})} models |"


def _all(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _software(one: Dissection) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(one.software.items()))


def _period(one: Dissection) -> str:
    """To one digit: it varies a little from case to case."""
    return "not known" if one.period_seconds is None else words.quantity(float(f"{one.period_seconds:.1g}"), "s")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _verdicts(tallies: Sequence[Tally]) -> Iterator[str]:
    yield "| claim | in these results | holds | does not hold | not known |"
    yield "|---|---|---|---|---|"
    for one in tallies:
        yield f"| {_CLAIMS[one.claim]} | **{one.verdict}** | {one.holds} | {one.fails} | {one.unknown} |"


def _reading() -> str:
    return (
        "A claim is held against each model and case; what does not hold is a finding. The paper does not say what "
        "its capture is a share of: here it is the gross energy of the model run by itself, and of a block run by "
        "itself, and the one farthest from all of it decides. Attention is held against every component whose FLOPs "
        "PyTorch counts."
    )


def _findings(found: Sequence[Finding]) -> Iterator[str]:
    yield "| model | case | largest CV | capture farthest from 1 | attention's J/FLOP over the others' |"
    yield "|---|---|---|---|---|"
    for start in range(0, len(found), 3):
        one = found[start].dissection
        yield f"| {one.model} | {_case(one)} | {' | '.join(map(_cell, found[start : start + 3]))} |"


def _case(one: Dissection) -> str:
    return words.case_words(one.case)


def _cell(finding: Finding) -> str:
    where = finding.where.partition(": ")[2] or finding.where
    return f"{figure_words(finding)} ({where}): {finding.verdict}"


def _shown(pictures: Sequence[Path]) -> Iterator[str]:
    for name, title in _PICTURES.items():
        files = sorted((path for path in pictures if path.stem == name), key=lambda path: path.suffix != ".svg")
        if files:
            others = ", ".join(f"[{path.suffix[1:].upper()}]({path.name})" for path in files[1:])
            yield f"## {title}\n\n![{title}]({files[0].name})" + (f"\n\n{others}" if others else "")


def _fits(found: Sequence[Line]) -> Iterator[str]:
    if not found:
        return
    rows = [
        "| model and case | swept | component | E0 | k, joules per FLOP | R2 | sizes |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in found:
        one = line.series
        r2 = "-" if line.r2 is None else f"{line.r2:.4f}"
        figures = f"{words.quantity(line.at_rest_joules, 'J')} | {words.quantity(line.per_flop_joules, 'J')} | {r2}"
        name = f"{one.component.replace('_', ' ')} `{one.module}`" if one.module else one.component
        rows.append(f"| {one.title} | {one.axis.replace('_', ' ')} | {name} | {figures} | {len(one.values)} |")
    yield "## E = E0 + k x FLOPs\n\n" + "\n".join(rows)


def _components(one: Dissection) -> Iterator[str]:
    weights = "random weights" if one.weights == "random" else f"weights from {Path(one.weights).name}"
    yield f"### {one.model}: {_case(one)}"
    yield ""
    yield (
        f"{one.architecture.replace('_', ' ').capitalize()}, {words.parameters_words(one.parameters)}, {weights}; "
        f"{words.device_words(one.device)}, {words.how(one.device)}."
    )
    yield ""
    yield "| component | module | times | J gross | J net | CV | share | FLOPs | J/FLOP gross | J/FLOP net |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for depth, part in ordered(one):
        name = "&ensp;" * 2 * depth + part.component.replace("_", " ")
        several = len(part.gross_joules.values) > 1
        cells = (
            name,
            f"`{part.path}`" if part.path else "",
            str(part.instances),
            words.quantity(part.gross_joules.mean, "J"),
            words.quantity(part.net_joules.mean, "J"),
            words.percent(part.gross_joules.cv if several else None),
            words.percent(words.share_of_whole(one, part)),
            words.NOTHING if part.flops is None else words.quantity(float(part.flops), ""),
            words.quantity(part.gross_joules_per_flop, "J"),
            words.quantity(part.net_joules_per_flop, "J"),
        )
        yield f"| {' | '.join(cells)} |"
