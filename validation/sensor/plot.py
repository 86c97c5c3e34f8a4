"""How the sensors answered a square wave, and which windows explain that."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporter.components.look import ALARM, INK
from validation.sensor.polling import Floats
from validation.sensor.probing import Phase, Probed
from validation.sensor.sensors import COUNTER
from validation.sensor.steps import changes
from validation.sensor.views import View
from validation.sensor.window import Load

_LOOKS: Mapping[str, tuple[str, str]] = {
    "instant": ("#D55E00", "instant (field 186)"),
    "usage": ("#0072B2", "usage (nvmlDeviceGetPowerUsage)"),
    "average": ("#56B4E9", "average (field 185)"),
    "instant_module": ("#E69F00", "instant, module"),
    "average_module": ("#009E73", "average, module"),
}
"""Okabe and Ito's colours."""
_SHADE = "#eeeeee"


def figures() -> Any:
    """Matplotlib's figures, which at first may take long to import; None without Matplotlib."""
    try:
        import matplotlib.figure  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return matplotlib.figure


def draw(path: Path, probed: Probed, seen: Mapping[str, View], name: str, *, fake: bool) -> None:
    """Draw the longest square wave and every sensor's fit.

    Args:
        path: of the PNG.
        probed: with one square wave at least.
        seen: its sensors.
        name: of board and driver.
        fake: whether the board was one, which the figure then says in red.
    """
    library = figures()
    assert library is not None, "asked before"
    figure = library.Figure(figsize=(11.0, 4.6), layout="constrained")
    wave, errors = figure.subplots(1, 2, width_ratios=(1.7, 1.0))
    period = max(probed.squares)
    _wave(wave, probed.squares[period], seen)
    wave.set_title(f"Square wave of {period:g} s", loc="left", fontsize=10)
    _errors(errors, seen)
    figure.suptitle(f"FAKE, not a measurement: {name}" if fake else name, color=ALARM if fake else INK, fontsize=11)
    figure.savefig(path, dpi=110, facecolor="white")


def _wave(ax: Any, phase: Phase, seen: Mapping[str, View]) -> None:
    start, end = phase.edges[0][0] - 0.5, phase.edges[-1][1] + 1.0
    for number, (on, off) in enumerate(phase.edges):
        ax.axvspan(on - start, off - start, color=_SHADE, label=None if number else "load on")
    _counter(ax, phase, start)
    fine = np.linspace(start, end, 1500)
    for name, (colour, label) in _LOOKS.items():
        if name not in seen or name not in phase.samples:
            continue
        samples = phase.samples[name].between(start, end)
        ax.plot(samples.at - start, samples.value / 1e3, color=colour, linewidth=1.4, label=label)
        found = seen[name].fit
        if found is not None and found.is_good:
            expected = found.expected(fine, Load(phase.edges)) / 1e3
            ax.plot(fine - start, expected, color=colour, linewidth=0.9, linestyle=":")
    ax.set_xlim(0.0, end - start)
    ax.set_xlabel("seconds")
    ax.set_ylabel("W (dotted: the mean that was fitted)")
    ax.legend(fontsize=7.5, loc="upper right")


def _counter(ax: Any, phase: Phase, start: float) -> None:
    """Mean power between two steps of the counter."""
    if COUNTER not in phase.samples:
        return
    steps = changes(phase.samples[COUNTER])
    if steps.at.size > 1:
        watts: Floats = steps.increment[1:] / np.diff(steps.at) / 1e3
        ax.stairs(watts, steps.at - start, color=INK, linewidth=0.8, alpha=0.6, label="counter, step by step")


def _errors(ax: Any, seen: Mapping[str, View]) -> None:
    for name, (colour, _) in _LOOKS.items():
        found = seen[name].fit if name in seen else None
        if found is None:
            continue
        windows, misses = zip(*found.curve, strict=True)
        ax.plot([1e3 * window for window in windows], [100 * miss for miss in misses], color=colour, label=name)
        if found.is_good:
            ax.plot(1e3 * found.window_seconds, 100 * found.error, "o", color=colour)
    ax.set_xscale("log")
    ax.set_xlabel("window (ms)")
    ax.set_ylabel("what the best lag misses (% of the wave)")
    ax.set_title("Which window explains the readings", loc="left", fontsize=10)
    if ax.lines:
        ax.legend(fontsize=7.5)
