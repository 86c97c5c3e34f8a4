"""What was measured on a board, as the result of the stage. Pure."""

from collections.abc import Iterator, Mapping

import numpy as np

from validation.results import Figure, StageResult
from validation.sensor import energy, probing
from validation.sensor.checks import Assumed, checks, ms
from validation.sensor.energy import Agreement
from validation.sensor.probing import EXPORTER_INTERVAL_SECONDS, Probed, percentile
from validation.sensor.sensors import COUNTER, POWERS
from validation.sensor.steps import Stepping
from validation.sensor.tables import tables
from validation.sensor.views import View, agreements, burst_joules, mean_watts, slowdown
from validation.sensor.window import WindowFit


def stage_result(probed: Probed, seen: Mapping[str, View], assumed: Assumed, *, fake: bool) -> StageResult:
    """All of it. `fake`: whether the board was one, which has no contexts. Failed where a part of it was lost."""
    figures = list(_figures(probed, seen, fake=fake))
    return StageResult(
        stage="sensor",
        ending="failed" if probed.lost else "done",
        seconds=0.0,
        why="\n".join(f"{part}: {why}" for part, why in probed.lost.items()),
        figures=tuple(figures),
        checks=tuple(checks(probed, figures, seen, assumed)),
        tables=tables(probed, seen, assumed),
    )


def _figures(probed: Probed, seen: Mapping[str, View], *, fake: bool) -> Iterator[Figure]:
    yield from _idle(probed, fake=fake)
    yield from _counter(seen)
    yield from _powers(seen)
    yield from _agreed({name: energy.total(each.values()) for name, each in agreements(probed, seen).items()})
    yield from _bursts(probed)
    yield from _costs(probed, seen)
    yield from _buffer(probed)


def _idle(probed: Probed, *, fake: bool) -> Iterator[Figure]:
    names = {
        probing.IDLE_WITHOUT: "idle_without_context_watts",
        probing.IDLE_WITH: "idle_with_context_watts",
        probing.IDLE_AFTER: "idle_after_load_watts",
    }
    found = {title: mean_watts(phase) for title, phase in probed.phases.items() if title in names}
    for title, name in names.items():
        yield Figure(name, found.get(title), "W", note=_lost(probed, title))
    without, with_one = found.get(probing.IDLE_WITHOUT), found.get(probing.IDLE_WITH)
    known = without is not None and with_one is not None and not fake
    yield Figure(
        "context_watts",
        with_one - without if known and with_one is not None and without is not None else None,
        "W",
        note="the fake board has no contexts" if fake else "what opening a CUDA context adds",
    )


def _lost(probed: Probed, title: str) -> str:
    return "" if title in probed.phases else "not measured: " + probed.lost.get(title, "not reached")


def _counter(seen: Mapping[str, View]) -> Iterator[Figure]:
    if COUNTER not in seen:
        yield Figure("counter_step_seconds", None, "s", note="this board has no energy counter")
        return
    steps = seen[COUNTER].stepping
    yield _period("counter_step_seconds", steps)
    yield Figure(
        "counter_increment_joules",
        _thousandth(steps.increment),
        "J",
        _thousandth(steps.low_increment),
        _thousandth(steps.high_increment),
        steps.gaps,
        "median; 5th to 95th percentile; in the phase with most steps",
    )
    yield Figure(
        "counter_resolution_joules",
        _thousandth(steps.resolution),
        "J",
        samples=steps.gaps,
        note="greatest common divisor of its increments",
    )


def _period(name: str, steps: Stepping) -> Figure:
    note = steps.why or f"gaps between changes from 5th to 95th percentile; looked at every {ms(steps.look_seconds)}"
    return Figure(name, steps.period_seconds, "s", steps.low_seconds, steps.high_seconds, steps.gaps, note)


def _powers(seen: Mapping[str, View]) -> Iterator[Figure]:
    for name in POWERS:
        if name not in seen:
            continue
        found = seen[name].fit
        yield _period(f"{name}_period_seconds", seen[name].stepping)
        yield _window(f"{name}_window_seconds", found)
        by_counter, best = seen[name].by_counter, seen[name].best
        if by_counter is not None:
            yield _window(f"{name}_window_by_counter_seconds", by_counter)
        yield Figure(
            f"{name}_lag_seconds",
            best.lag_seconds if best is not None else None,
            "s",
            samples=best.readings if best is not None else 0,
            note="from the end of its window to when it was seen",
        )


def _window(name: str, found: WindowFit | None) -> Figure:
    if found is None:
        return Figure(name, None, "s", note="no square wave was measured, or it never changed")
    if not found.is_good:
        return Figure(name, None, "s", samples=found.readings, note=f"no mean of the load: misses by {found.error:.0%}")
    note = f"misses by {found.error:.1%} of their range; windows that miss hardly more, from least to most"
    return Figure(name, found.window_seconds, "s", found.low_seconds, found.high_seconds, found.readings, note)


def _agreed(agreed: Mapping[str, Agreement | None]) -> Iterator[Figure]:
    for name, found in agreed.items():
        note = f"over {found.seconds:.0f} s, all phases together" if found else "no counter beside it"
        yield Figure(f"counter_over_{name}", found.ratio if found else None, "ratio", note=note)


def _bursts(probed: Probed) -> Iterator[Figure]:
    joules = burst_joules(probed)
    cv = energy.spread(joules)
    yield Figure(
        "equal_bursts_spread",
        None if cv is None else 100 * cv,
        "%",
        samples=len(joules),
        note="coefficient of variation of the counter's joules for the same work, rests included"
        if joules
        else _lost(probed, probing.BURSTS) or "no energy counter",
    )


def _costs(probed: Probed, seen: Mapping[str, View]) -> Iterator[Figure]:
    for view in seen.values():
        if view.idle_call.size:
            yield Figure(
                f"{view.name}_call_seconds",
                percentile(view.idle_call, 50),
                "s",
                None,
                percentile(view.idle_call, 99),
                int(view.idle_call.size),
                "median and 99th percentile, at full speed without load",
            )
            yield Figure(f"{view.name}_calls_per_second", view.calls_per_second, "calls/s", note="sustained")
    loss, error = slowdown(probed)
    note = f"{error:.2%} standard error; without: {np.mean(probed.alone):.4g} pieces/s" if error is not None else ""
    yield Figure(
        "polling_slowdown",
        None if loss is None else 100 * loss,
        "%",
        samples=len(probed.polled),
        note=f"of the load's throughput, polled every {ms(EXPORTER_INTERVAL_SECONDS)}; {note}",
    )


def _buffer(probed: Probed) -> Iterator[Figure]:
    found = probed.buffers.get("under load", probed.buffers.get("idle"))
    if found is None:
        return
    yield Figure("buffer_samples_per_second", found.per_second, "samples/s", samples=found.samples, note=found.why)
    span = found.span_seconds if found.samples else None
    yield Figure("buffer_span_seconds", span, "s", samples=found.samples, note=found.why or f"values: {found.type}")


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1e3
