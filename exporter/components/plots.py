"""What results look like: PNG for reading, SVG for papers. Nothing is drawn on a screen.

    shares           where a model's energy goes, stacked to the energy of the model run by itself
    joules_per_flop  what an operation costs in each component
    scaling          energy over FLOPs along a sweep, with the line E = E0 + k x FLOPs

Colours are Okabe and Ito's (and Tol's), which colour-blind people tell apart; each component has a marker of its own as
well. What was not measured says so in red in every figure.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.components import words
from exporter.components.fit import Line, fitted, series
from exporter.components.look import ALARM, FAINT, GRID, HOUSE, INK
from exporter.domain.dissection import ComponentEnergy, ComponentName, Dissection
from exporter.domain.errors import ComponentsError

FORMATS = ("png", "svg")

_REST = "#d9d9d9"
_LOOKS: Mapping[ComponentName, tuple[str, str]] = {
    "embedding": ("#882255", "v"),
    "attention": ("#D55E00", "o"),
    "cross_attention": ("#E69F00", "D"),
    "mlp": ("#0072B2", "s"),
    "experts": ("#56B4E9", "P"),
    "router": ("#332288", "X"),
    "norm": ("#CC79A7", "^"),
    "lm_head": ("#009E73", "h"),
    "block": ("#777777", "<"),
    "model": ("#222222", "*"),
}
"""Colour and marker, in the order of a bar."""

_MOST_PANELS = 6
_RC = {
    **HOUSE,
    "axes.titlesize": 10.5,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "components",
}


@dataclass(frozen=True, slots=True)
class _Canvas:
    """A figure that is being drawn. `tall`: its height in inches."""

    figure: Any
    tall: float


def draw(dissections: Sequence[Dissection], folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw all that these results can show.

    Args:
        dissections: in the order of their rows.
        folder: where the figures go, made if need be.
        formats: `png`, `svg`.

    Returns:
        The files, each figure in all formats.

    Raises:
        ComponentsError: matplotlib is missing, or a file cannot be written.
    """
    matplotlib = _matplotlib()
    with matplotlib.rc_context(_RC):
        figures = {
            "shares": _shares(dissections),
            "joules_per_flop": _joules_per_flop(dissections),
            "scaling": _scaling(dissections),
        }
        return [
            _saved(figure, folder / f"{name}.{ending}")
            for name, figure in figures.items()
            if figure is not None
            for ending in formats
        ]


def _matplotlib() -> Any:
    try:
        import matplotlib as library  # noqa: PLC0415 - an optional extra
        import matplotlib.figure  # noqa: PLC0415
    except ImportError as error:
        raise ComponentsError(
            f"cannot import {error.name}: plots need matplotlib; pip install 'llm-energy-exporter[components]'"
        ) from error
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    return library


def _saved(canvas: _Canvas, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        dated = {"metadata": {"Date": None}} if path.suffix == ".svg" else {}
        canvas.figure.savefig(path, dpi=140, facecolor="white", **dated)
    except OSError as error:
        raise ComponentsError(f"{path} cannot be written: {error.strerror}") from error
    return path


def _figure(wide: float, tall: float) -> _Canvas:
    return _Canvas(_matplotlib().figure.Figure(figsize=(wide, tall), layout="constrained"), tall)


def _head(canvas: _Canvas, title: str, note: str, dissections: Sequence[Dissection]) -> None:
    """Title, what it shows, and in red if nobody measured it."""
    inch = 1.0 / canvas.tall
    alarms = list(dict.fromkeys(words.how(one.device) for one in dissections if one.device.method != "measured"))
    devices = ", ".join(dict.fromkeys(words.device_words(one.device) for one in dissections))
    text = canvas.figure.text
    text(0.012, 1 - 0.12 * inch, title, fontsize=13, fontweight="bold", va="top")
    text(0.012, 1 - 0.40 * inch, f"{note}  Energy of {devices}.", fontsize=8.5, color=FAINT, va="top")
    if alarms:
        text(
            0.012,
            1 - 0.60 * inch,
            f"Energy {'; '.join(alarms)}.",
            fontsize=9,
            color=ALARM,
            fontweight="bold",
            va="top",
        )
    top = 0.88 if alarms else 0.68
    canvas.figure.get_layout_engine().set(rect=(0, 0, 1, 1 - top * inch))


# --- shares ----------------------------------------------------------------------------------------------------------


def _shares(dissections: Sequence[Dissection]) -> _Canvas:
    phases = [phase for phase in ("prefill", "decode") if any(one.case.phase == phase for one in dissections)]
    panels = {phase: [one for one in dissections if one.case.phase == phase] for phase in phases}
    heights = [len(rows) + 0.9 for rows in panels.values()]
    canvas = _figure(9.5, 1.75 + 0.30 * sum(heights))
    axes = canvas.figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    seen: dict[str, Any] = {}
    for (phase, rows), ax in zip(panels.items(), axes, strict=True):
        _stack(ax, rows, seen)
        ax.set_title(phase)
    axes[-1].set_xlabel("share of the gross energy of the model run by itself")
    order = [name.replace("_", " ") for name in _LOOKS] + ["in no part"]
    names = [name for name in order if name in seen]
    canvas.figure.legend(
        [seen[name] for name in names], names, loc="outside lower center", ncols=min(len(names), 7), fontsize=8.5
    )
    note = "Each component times how often the model runs it. The line is at 100 %."
    _head(canvas, "Where a model's energy goes", note, dissections)
    return canvas


def _stack(ax: Any, rows: Sequence[Dissection], seen: dict[str, Any]) -> None:
    for y, one in enumerate(rows):
        left = 0.0
        shares = shares_of_model(one)
        for name, share in shares.items():
            bar = ax.barh(y, share, left=left, height=0.72, color=_LOOKS[name][0], edgecolor="white", linewidth=0.7)
            seen.setdefault(name.replace("_", " "), bar)
            if share > 0.06:
                ink = "white" if name not in {"cross_attention", "experts", "norm"} else INK
                ax.text(left + share / 2, y, f"{share:.0%}", ha="center", va="center", fontsize=7.5, color=ink)
            left += share
        if 0.0 < left < 1.0:
            rest = ax.barh(
                y, 1.0 - left, left=left, height=0.72, color=_REST, edgecolor="white", hatch="////", linewidth=0.0
            )
            seen.setdefault("in no part", rest)
    ax.axvline(1.0, color=INK, linewidth=1.0)
    ax.set_yticks(range(len(rows)), _row_names(rows), fontsize=8.5)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.tick_params(axis="y", length=0)


def shares_of_model(one: Dissection) -> dict[ComponentName, float]:
    """Of the model's gross energy, by component; a block's parts count as often as the model runs the block."""
    whole = next(part.gross_joules.mean for part in one.components if part.part_of is None)
    shares: dict[ComponentName, float] = dict.fromkeys(_LOOKS, 0.0)
    opened = {id(words.whole_of(one, part)) for part in one.components if part.part_of == "block"}
    for part in one.components:
        if part.part_of is not None and id(part) not in opened and whole > 0.0:
            shares[part.component] += part.gross_joules.mean * _times(one, part) / whole
    return {name: share for name, share in shares.items() if share > 0.0}


def _times(one: Dissection, part: ComponentEnergy) -> int:
    around = words.whole_of(one, part) if part.part_of == "block" else None
    return part.instances * (around.instances if around is not None else 1)


def _row_names(rows: Sequence[Dissection]) -> list[str]:
    """Model names; what else tells two rows apart stands behind them."""
    said = {one.model: [other for other in rows if other.model == one.model] for one in rows}
    return [one.model if len(said[one.model]) == 1 else f"{one.model}, {_apart(one, said[one.model])}" for one in rows]


def _apart(one: Dissection, alike: Sequence[Dissection]) -> str:
    facts: dict[str, list[object]] = {
        "": [other.case.phase for other in alike],
        "batch ": [other.case.batch for other in alike],
        "seq ": [other.case.sequence for other in alike],
        " ": [other.case.dtype for other in alike],
        "heads ": [other.shape.get("heads") for other in alike],
        "width ": [other.shape.get("hidden_size") for other in alike],
        "on ": [other.device.model or other.device.name for other in alike],
        "launch ": [other.launch for other in alike],
    }
    here = alike.index(one)
    return ", ".join(f"{mark}{values[here]}".strip() for mark, values in facts.items() if len(set(values)) > 1)


# --- joules per FLOP -------------------------------------------------------------------------------------------------


def _joules_per_flop(dissections: Sequence[Dissection]) -> _Canvas | None:
    rows = [one for one in dissections if _per_flop(one)]
    if not rows:
        return None
    canvas = _figure(9.5, 1.95 + 0.30 * len(rows))
    ax = canvas.figure.subplots()
    seen: dict[str, Any] = {}
    for y, one in enumerate(rows):
        seen = _per_flop_row(ax, y, one) | seen
    ax.set_xscale("log")
    ax.set_yticks(range(len(rows)), _row_names(rows), fontsize=8.5)
    ax.set_ylim(len(rows) - 0.5, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", which="major", color=GRID, linewidth=0.8)
    ax.grid(axis="x", which="minor", color=GRID, linewidth=0.25)
    ax.set_axisbelow(True)
    _in_joules(ax.xaxis)
    ax.set_xlabel("gross joules per FLOP of one run (log scale)")
    names = [name.replace("_", " ") for name in _LOOKS if name.replace("_", " ") in seen]
    canvas.figure.legend(
        [seen[name] for name in names], names, loc="outside lower center", ncols=min(len(names), 7), fontsize=8.5
    )
    note = "FLOPs as PyTorch counts them; bars are one standard deviation of the trials."
    _head(canvas, "What a floating-point operation costs", note, rows)
    return canvas


def _per_flop_row(ax: Any, y: int, one: Dissection) -> dict[str, Any]:
    """Draw the components of one dissection; their dots by name, for the legend."""
    dots: dict[str, Any] = {}
    spread = [each for _, each, _ in _per_flop(one)]
    ax.plot([min(spread), max(spread)], [y, y], color=GRID, linewidth=2.5, zorder=1, solid_capstyle="round")
    for name, each, error in _per_flop(one):
        colour, marker = _LOOKS[name]
        ax.errorbar(each, y, xerr=error, color=colour, linewidth=1.0, zorder=2)
        dots[name.replace("_", " ")] = ax.scatter(
            each, y, color=colour, marker=marker, s=_size(marker, 46), edgecolor="white", linewidth=0.6, zorder=3
        )
    return dots


def _per_flop(one: Dissection) -> list[tuple[ComponentName, float, float]]:
    """Component, joules per FLOP and their standard deviation."""
    return [
        (part.component, part.gross_joules.mean / part.flops, part.gross_joules.stddev / part.flops)
        for part in one.components
        if part.flops and part.component != "block" and part.gross_joules.mean > 0.0
    ]


# --- scaling ---------------------------------------------------------------------------------------------------------


def _scaling(dissections: Sequence[Dissection]) -> _Canvas | None:
    lines = [fitted(one) for one in series(dissections)]
    groups = list(dict.fromkeys((line.series.title, line.series.axis) for line in lines))[:_MOST_PANELS]
    if not groups:
        return None
    across = min(2, len(groups))
    down = -(-len(groups) // across)
    canvas = _figure(5.2 * across + (0.6 if across == 1 else 0.0), 1.1 + 4.1 * down)
    axes = canvas.figure.subplots(down, across, squeeze=False).flat
    for ax, (title, axis) in zip(axes, groups, strict=False):
        _panel(ax, [line for line in lines if (line.series.title, line.series.axis) == (title, axis)])
        ax.set_title(f"{title}\n{axis.replace('_', ' ')} swept", fontsize=9)
    for ax in list(axes)[len(groups) :]:
        ax.set_visible(False)
    _head(canvas, "Energy over FLOPs", "Points: mean of the trials. Lines: E = E0 + k x FLOPs.", dissections)
    return canvas


def _panel(ax: Any, lines: Iterable[Line]) -> None:
    for line in lines:
        one = line.series
        colour, marker = _LOOKS[one.component]
        r2 = "" if line.r2 is None else f", R2 {line.r2:.3f}"
        label = f"{one.component.replace('_', ' ')}: k {words.quantity(line.per_flop_joules, 'J')}/FLOP{r2}"
        ax.scatter(
            one.flops,
            one.gross_joules,
            color=colour,
            marker=marker,
            s=_size(marker, 34),
            edgecolor="white",
            linewidth=0.5,
            zorder=3,
        )
        xs = [one.flops[0] * (one.flops[-1] / one.flops[0]) ** (step / 60) for step in range(61)]
        ys = [line.at_rest_joules + line.per_flop_joules * x for x in xs]
        above = [(x, y) for x, y in zip(xs, ys, strict=True) if y > 0.0]
        ax.plot(*zip(*above, strict=True), color=colour, linewidth=1.3, label=label, zorder=2)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.grid(which="major", color=GRID, linewidth=0.6)
    _in_joules(ax.yaxis)
    ax.set_xlabel("FLOPs of one run (log scale)")
    ax.set_ylabel("gross energy of one run (log scale)")
    ax.legend(fontsize=7.2, loc="upper left", handlelength=1.4, borderaxespad=0.2)


def _size(marker: str, usual: int) -> int:
    """A star is thin where others are full."""
    return usual * 3 if marker == "*" else usual


def _in_joules(axis: Any) -> None:
    """Over a decade or two the steps between are named, too."""
    low, high = axis.get_view_interval()
    steps = (2.0, 5.0) if low > 0.0 and high / low < 60.0 else ()
    axis.set_major_formatter(lambda value, _: words.quantity(value, "J"))
    axis.set_minor_formatter(lambda value, _: words.quantity(value, "J") if _leading(value) in steps else "")
    axis.set_tick_params(which="minor", labelsize=7.5)


def _leading(value: float) -> float:
    """The first digit, as a number from 1 to below 10."""
    return float(f"{value:.0e}"[0])
