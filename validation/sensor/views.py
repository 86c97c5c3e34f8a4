"""All that was found out about each sensor, out of everything that it said. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from validation.sensor import energy, probing
from validation.sensor.energy import Agreement
from validation.sensor.polling import Floats, Samples
from validation.sensor.probing import Phase, Probed
from validation.sensor.sensors import COUNTER, POWERS
from validation.sensor.steps import Stepping, changes, renewals, stepping
from validation.sensor.window import Cause, Counted, Load, WindowFit, fit

_MOST_READINGS = 4000
"""For one fit; of more, evenly spaced ones are taken."""
_STEPS_IN_WINDOW = 3.0
"""A window that holds fewer steps of the counter cannot be told by it."""
_LONGEST_TOLD_SECONDS = 1.6
"""By the counter: readings that are younger than the counter's record by less are left out."""


@dataclass(frozen=True, slots=True)
class View:
    """All that was found out about one sensor.

    Attributes:
        stepping: in the phase that saw most of it.
        fit: its window, by the square waves' edges; by_counter: by what the counter says, where that can tell.
        idle_call, load_call: seconds of each call.
    """

    name: str
    what: str
    stepping: Stepping
    fit: WindowFit | None
    by_counter: WindowFit | None
    idle_call: Floats
    calls_per_second: float | None
    load_call: Floats
    failures: int

    @property
    def delay_seconds(self) -> float:
        """By how much it comes late, half its window included; 0 where that is not known."""
        found = self.best
        return found.lag_seconds + found.window_seconds / 2 if found is not None else 0.0

    @property
    def best(self) -> WindowFit | None:
        """The better one of those fits that explain anything."""
        good = [found for found in (self.fit, self.by_counter) if found is not None and found.is_good]
        return min(good, key=lambda found: found.error, default=None)


def views(probed: Probed) -> dict[str, View]:
    """Of every sensor that answered."""
    return {name: _view(probed, name) for name in probed.sensors.answered if series(probed, name)}


def agreements(probed: Probed, seen: Mapping[str, View]) -> dict[str, dict[str, Agreement]]:
    """Counter and integral of each power, by phase."""
    return {
        name: {
            title: found
            for title, phase in phases(probed).items()
            if COUNTER in phase.samples and name in phase.samples
            if (found := energy.agreement(phase.samples[COUNTER], phase.samples[name], seen[name].delay_seconds))
        }
        for name in POWERS
        if name in seen
    }


def mean_watts(phase: Phase) -> float | None:
    """Of a while without load: by the counter's steps where it stepped, else the mean of power."""
    counter = phase.samples.get(COUNTER)
    steps = changes(counter) if counter is not None else None
    if steps is not None and steps.at.size > 1:
        return float((steps.value[-1] - steps.value[0]) / (steps.at[-1] - steps.at[0])) / 1e3
    power = phase.samples.get("instant", phase.samples.get("usage"))
    return float(power.value.mean()) / 1e3 if power is not None and power.at.size else None


def burst_joules(probed: Probed) -> list[float]:
    """Of each burst, by the counter; empty where it cannot be told."""
    phase = probed.phases.get(probing.BURSTS)
    counter = phase.samples.get(COUNTER) if phase is not None else None
    if phase is None or counter is None or len(phase.edges) < 2 or changes(counter).at.size < 2:
        return []
    rest = min(after[0] - before[1] for before, after in zip(phase.edges, phase.edges[1:], strict=False))
    return energy.burst_joules(counter, phase.edges, rest)


def slowdown(probed: Probed) -> tuple[float | None, float | None]:
    """By how much polling slows the load, and the standard error of that, as shares of its speed."""
    if len(probed.alone) < 2 or len(probed.polled) < 2:
        return None, None
    alone, polled = np.array(probed.alone), np.array(probed.polled)
    variance = alone.var(ddof=1) / alone.size + polled.var(ddof=1) / polled.size
    return float(1.0 - polled.mean() / alone.mean()), float(np.sqrt(variance) / alone.mean())


def phases(probed: Probed) -> dict[str, Phase]:
    """All of them, square waves as well, by title."""
    squares = {f"square wave of {period:g} s": phase for period, phase in probed.squares.items()}
    return {**probed.phases, **squares}


def series(probed: Probed, name: str) -> list[Samples]:
    """What it said, phase by phase, where it said anything."""
    all_of_it = (phase.samples.get(name) for phase in phases(probed).values())
    return [samples for samples in all_of_it if samples is not None and samples.at.size]


def _view(probed: Probed, name: str) -> View:
    best = max((stepping(samples) for samples in series(probed, name)), key=lambda found: found.gaps)
    calls = probed.calls.get(name)
    loaded = [phase.samples[name].call for phase in probed.squares.values() if name in phase.samples]
    return View(
        name=name,
        what=probed.sensors.answered[name].what,
        stepping=best,
        fit=_fit(probed, name, best.period_seconds) if name != COUNTER else None,
        by_counter=_fit_by_counter(probed, name, best.period_seconds) if name != COUNTER else None,
        idle_call=calls.took if calls is not None else np.empty(0),
        calls_per_second=calls.took.size / calls.seconds if calls is not None and calls.took.size else None,
        load_call=np.concatenate(loaded) if loaded else np.empty(0),
        failures=sum(samples.failures for samples in series(probed, name)),
    )


def _fit(probed: Probed, name: str, period_seconds: float | None) -> WindowFit | None:
    """Over all square waves together."""
    waves = [phase for phase in probed.squares.values() if phase.edges and name in phase.samples]
    if not waves:
        return None
    at, value = (
        np.concatenate(each) for each in zip(*(_renewed(phase, name, period_seconds) for phase in waves), strict=True)
    )
    return _thinned(at, value, Load([edge for phase in waves for edge in phase.edges]))


def _fit_by_counter(probed: Probed, name: str, period_seconds: float | None) -> WindowFit | None:
    """Over the longest square wave; None where the window is too short for the counter to tell."""
    phase = probed.squares.get(max(probed.squares, default=0.0))
    if phase is None or COUNTER not in phase.samples or name not in phase.samples:
        return None
    steps = changes(phase.samples[COUNTER])
    at, value = _renewed(phase, name, period_seconds)
    if steps.at.size < 2:
        return None
    inside = (at >= steps.at[0] + _LONGEST_TOLD_SECONDS) & (at <= steps.at[-1])
    found = _thinned(at[inside], value[inside], Counted(phase.samples[COUNTER]))
    step = float(np.median(np.diff(steps.at)))
    return (
        found if found is not None and _STEPS_IN_WINDOW * step <= found.window_seconds < _LONGEST_TOLD_SECONDS else None
    )


def _renewed(phase: Phase, name: str, period_seconds: float | None) -> tuple[Floats, Floats]:
    return renewals(phase.samples[name], period_seconds)


def _thinned(at: Floats, value: Floats, cause: Cause) -> WindowFit | None:
    every = max(1, -(-at.size // _MOST_READINGS))
    return fit(at[::every], value[::every], cause)
