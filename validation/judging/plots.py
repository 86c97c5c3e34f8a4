"""One picture of all runs: what a request costs among others, and how far each proxy is off by load.

Colours are Okabe and Ito's, which colour-blind people tell apart; markers differ as well. What was not measured says so
in red.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.components.look import ALARM, FAINT, GRID, HOUSE, INK
from exporter.domain.settings import ProxyName
from validation.judging.proxies import BINS, LEARNED, Score
from validation.judging.together import Size, fall

NAME = "serving.png"
_PROXIES: Mapping[ProxyName, tuple[str, str]] = {
    "time": ("#D55E00", "^"),
    "affine_time": ("#E69F00", "v"),
    "time_share": ("#0072B2", "o"),
    "tokens": ("#009E73", "D"),
    "step_model": ("#CC79A7", "s"),
    "peak": ("#777777", "x"),
}
_GIVEN = "#D55E00"
_RC = {**HOUSE, "axes.titlesize": 10, "ytick.color": FAINT}


@dataclass(frozen=True, slots=True)
class Shown:
    """What is drawn of a run.

    Attributes:
        device: metered. how: in capitals, where no sensor measured; empty where one did.
        policy: whose shares are drawn.
        given: requests at once and joules per output token, of each request. metered: the same of each batch.
    """

    run: str
    device: str
    how: str
    policy: str
    given: Sequence[tuple[int, float]]
    metered: Sequence[tuple[int, float]]
    sizes: Sequence[Size]
    by_load: Sequence[Score]


def draw(runs: Sequence[Shown], path: Path) -> bool:
    """Draw it; False where there is no matplotlib, or nothing to draw."""
    runs = [one for one in runs if one.sizes or one.by_load]
    try:
        import matplotlib as library  # noqa: PLC0415 - not everywhere
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        return False
    if not runs:
        return False
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    with library.rc_context(_RC):
        figure = Figure(figsize=(10.6, 0.75 + 3.7 * len(runs)), layout="constrained")
        rows = figure.subplots(len(runs), 2, squeeze=False)
        for (left, right), one in zip(rows, runs, strict=True):
            _draw_sizes(left, one)
            _draw_proxies(right, one)
        _head(figure, runs)
        figure.savefig(path, dpi=130, facecolor="white")
    return True


def _head(figure: Any, runs: Sequence[Shown]) -> None:
    alarms = " and ".join(dict.fromkeys(one.how for one in runs if one.how))
    devices = ", ".join(dict.fromkeys(one.device for one in runs))
    tall = figure.get_size_inches()[1]
    figure.get_layout_engine().set(rect=(0.0, 0.0, 1.0, 1.0 - 0.55 / tall), h_pad=0.08, w_pad=0.08)
    figure.text(
        0.012, 1.0 - 0.12 / tall, f"Energy of requests on {devices}", fontsize=12.5, fontweight="bold", va="top"
    )
    if alarms:
        words = f"{alarms}: not measured by a sensor"
        figure.text(0.012, 1.0 - 0.36 / tall, words, fontsize=9.5, color=ALARM, fontweight="bold", va="top")


def _draw_sizes(ax: Any, one: Shown) -> None:
    decoding = [size for size in one.sizes if size.decodes and size.metered > 0.0]
    ax.set_title(f"{one.run}\nJ per output token, identical requests (more output than prompt)")
    ax.set_xlabel("requests at once")
    ax.set_ylabel("J per output token, gross")
    if not decoding:
        ax.text(0.5, 0.5, "nothing lasted long enough to be metered", ha="center", transform=ax.transAxes, color=FAINT)
        return
    ax.plot(
        [n for n, _ in one.metered],
        [joules for _, joules in one.metered],
        "s",
        ms=9.5,
        mfc="none",
        mec=INK,
        mew=1.4,
        label="a batch, metered, divided by n",
    )
    _draw_fall(ax, decoding)
    _draw_given(ax, one)
    _log(ax, [size.n for size in decoding])
    ax.set_yscale("log")
    _plain_numbers(ax.yaxis)
    ax.legend(fontsize=8)


def _draw_given(ax: Any, one: Shown) -> None:
    """Each request by itself, side by side."""
    for n in sorted({n for n, _ in one.given}):
        ys = sorted(joules for size, joules in one.given if size == n)
        wide = [n * 2.0 ** (0.5 * (index + 0.5) / len(ys) - 0.25) for index in range(len(ys))]
        label = f"each request, given by {one.policy}" if n == one.given[0][0] else None
        ax.plot(wide, ys, ".", ms=4, color=_GIVEN, label=label, zorder=3)


def _draw_fall(ax: Any, decoding: Sequence[Size]) -> None:
    fit = fall(decoding)
    if fit is None:
        return
    a, b = fit.values
    most = max(size.n for size in decoding)
    xs = [most ** (step / 60) for step in range(61)]
    ys = [a / x + b for x in xs]
    if min(ys) > 0.0:
        ax.plot(xs, ys, color=FAINT, lw=1.0, zorder=0, label=f"{a:.3g}/n + {b:.2g} J through the metered")


def _draw_proxies(ax: Any, one: Shown) -> None:
    ax.set_title(f"{one.run}\nproxies' error against metered stretches of time, in hindsight")
    ax.set_xlabel("requests at once, on average")
    ax.set_ylabel("mean |error| / metered")
    scores = [score for score in one.by_load if score.ground == LEARNED and score.mape is not None]
    if not scores:
        ax.text(0.5, 0.5, "too few stretches were metered", ha="center", transform=ax.transAxes, color=FAINT)
        return
    names = [bin_.name for bin_ in BINS if any(score.at_once == bin_.name for score in scores)]
    for index, (proxy, (colour, marker)) in enumerate(_PROXIES.items()):
        mine = [score for score in scores if score.proxy == proxy]
        xs = [names.index(score.at_once) + 0.05 * (index - 2.5) for score in mine]
        if not mine:
            continue
        ax.plot(xs, [score.mape for score in mine], marker=marker, ms=6, color=colour, lw=0.8, label=proxy)
    counts = {name: max(score.samples for score in scores if score.at_once == name) for name in names}
    ax.set_xticks(range(len(names)), [f"{name}\nn = {counts[name]}" for name in names])
    ax.set_xlim(-0.4, len(names) - 0.6)
    ax.set_yscale("log")
    ax.grid(axis="y", color=GRID, lw=0.6)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}" if value >= 0.01 else f"{value:.1%}")
    ax.yaxis.set_minor_formatter(lambda *_: "")
    ax.legend(fontsize=8, ncols=2)


def _log(ax: Any, numbers: Sequence[int]) -> None:
    ticks = sorted(set(numbers))
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.grid(color=GRID, lw=0.6)


def _plain_numbers(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    low, high = axis.get_view_interval()
    steps = ("2", "5") if low > 0.0 and high / low < 80.0 else ()
    axis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in steps else "")
