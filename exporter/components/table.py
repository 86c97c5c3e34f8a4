"""A dissection as a table for a terminal: at most 110 columns, no colours."""

from collections.abc import Iterable, Iterator, Sequence

from exporter.components import words
from exporter.components.fit import Line
from exporter.domain.dissection import Capture, ComponentEnergy, Dissection

_HEADS = ("times", "J gross", "J net", "CV", "share", "time", "FLOPs", "J/FLOP")
_WIDTHS = (6, 10, 10, 8, 8, 9, 10, 10)
_NAME_WIDTH = 34
READING = (
    "J: energy of one run, gross (all that the device drew) and net (less idle power). CV: of the trials,",
    "standard deviation over mean. share: of the block or model, all instances (times) together. J/FLOP: gross.",
)
"""What the columns mean."""


def table(one: Dissection) -> list[str]:
    """One model under one case."""
    return [*_about(one), *_rows(one), *(f"  {_captured(capture)}" for capture in one.captures)]


def _about(one: Dissection) -> Iterator[str]:
    shape = ", ".join(f"{name} {one.shape[name]}" for name in ("layers", "hidden_size", "heads") if name in one.shape)
    weights = "random weights" if one.weights == "random" else f"weights from {one.weights}"
    yield f"{one.model} ({one.architecture.replace('_', ' ')}, {words.parameters_words(one.parameters)}, {weights})"
    yield f"  {words.case_words(one.case)}{f'; {shape}' if shape else ''}"
    yield f"  energy of {words.device_words(one.device)}: {words.how(one.device)}"
    period = "not known" if one.period_seconds is None else words.quantity(one.period_seconds, "s")
    trials = max(len(part.gross_joules.values) for part in one.components)
    idle = words.quantity(one.idle_watts.mean, "W")
    yield f"  sensor period {period}; idle {idle}; {trials} trial{'s' if trials != 1 else ''}; {one.launch} launch"
    yield f"  {'':<{_NAME_WIDTH}}" + _columns(_HEADS)


def _rows(one: Dissection) -> Iterator[str]:
    for depth, part in ordered(one):
        name = part.component.replace("_", " ") + (f" {_tail(part.path)}" if part.path else "")
        label = f"{'  ' * depth}{name}"
        yield f"  {label[:_NAME_WIDTH]:<{_NAME_WIDTH}}" + _columns(_cells(one, part))


def ordered(one: Dissection) -> list[tuple[int, ComponentEnergy]]:
    """Components as a tree: the model, below it its parts, below each block its own; with their depth."""
    tops = [(0, part) for part in one.components if part.part_of is None]
    for part in (part for part in one.components if part.part_of == "model"):
        tops.append((1, part))
        tops += [
            (2, inner) for inner in one.components if inner.part_of == "block" and words.whole_of(one, inner) is part
        ]
    return tops


def _cells(one: Dissection, part: ComponentEnergy) -> Sequence[str]:
    cv = part.gross_joules.cv if len(part.gross_joules.values) > 1 else None
    return (
        str(part.instances),
        words.quantity(part.gross_joules.mean, "J"),
        words.quantity(part.net_joules.mean, "J"),
        words.percent(cv),
        words.percent(words.share_of_whole(one, part)),
        words.quantity(part.seconds.mean, "s"),
        words.NOTHING if part.flops is None else words.quantity(float(part.flops), ""),
        words.quantity(part.gross_joules_per_flop, "J"),
    )


def _columns(cells: Iterable[str]) -> str:
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))


def _tail(path: str) -> str:
    """The end of a module's name: its beginning is the same for all."""
    room = 22
    return path if len(path) <= room else f"..{path[-room + 2 :]}"


def _captured(capture: Capture) -> str:
    whole = f"block {capture.path}".strip() if capture.whole == "block" else "model"
    parts = ", ".join(dict.fromkeys(name.replace("_", " ") for name in capture.parts))
    net = words.percent(capture.net_ratio)
    return f"capture: {parts} are {words.percent(capture.gross_ratio)} of the {whole} run by itself (net {net})"


def fits(lines: Sequence[Line]) -> list[str]:
    """E = E0 + k x FLOPs, where something was swept."""
    if not lines:
        return []
    told = ["E = E0 + k x FLOPs, gross, over what was swept"]
    for title in dict.fromkeys((one.series.title, one.series.axis) for one in lines):
        told.append(f"  {title[0]}, {title[1].replace('_', ' ')} swept")
        told += [_fit(one) for one in lines if (one.series.title, one.series.axis) == title]
    return told


def _fit(line: Line) -> str:
    name = f"{line.series.component.replace('_', ' ')} {_tail(line.series.module)}".strip()
    r2 = words.NOTHING if line.r2 is None else f"{line.r2:.4f}"
    rest, each = words.quantity(line.at_rest_joules, "J"), words.quantity(line.per_flop_joules, "J")
    return f"    {name:<32} E0 {rest:>9}   k {each:>9}/FLOP   R2 {r2} ({len(line.series.values)} sizes)"
