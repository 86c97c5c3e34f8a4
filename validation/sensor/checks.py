"""What was expected of this board and of the exporter on it, and what was found. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from validation.results import Check, Figure
from validation.sensor.probing import EXPORTER_INTERVAL_SECONDS, Probed
from validation.sensor.sensors import COUNTER
from validation.sensor.views import View, slowdown

AGREE = 0.05
"""Counter and integral are expected to be no further apart, as a share."""
WINDOW_FACTOR = 1.5
"""By how much the window that the exporter assumes may miss those that were found possible."""
SLOWER = 0.01
"""By how much polling may slow the load, as a share."""
BURST_SPREAD = 0.05
CALL_SHARE = 0.02
"""Of the time, as the exporter's sampler allows itself: slower calls stretch its interval."""
CONTEXT_WATTS = (26.0, 50.0)
"""What an open context adds on boards with HBM, as published (arXiv 2605.23918, abstract)."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the exporter takes for granted about this board. `why`: where it cannot use the board."""

    window_seconds: float | None = None
    has_counter: bool | None = None
    meter: str = ""
    why: str = ""


def checks(probed: Probed, figures: Sequence[Figure], seen: Mapping[str, View], assumed: Assumed) -> Iterator[Check]:
    """All of them, held against the figures."""
    value = {figure.name: figure.value for figure in figures}
    ratio = value.get(f"counter_over_{assumed.meter}")
    yield _between(
        "counter within 5 % of integrated power", f"{1 - AGREE:g} to {1 + AGREE:g}", ratio, (1 - AGREE, 1 + AGREE), ""
    )
    yield _assumed_window(seen, assumed)
    yield Check(
        "the exporter meters by the counter where there is one",
        "a counter" if COUNTER in seen else "no counter",
        assumed.why or ("a counter" if assumed.has_counter else "no counter"),
        None if assumed.has_counter is None else assumed.has_counter == (COUNTER in seen),
    )
    step = value.get("counter_step_seconds")
    yield Check(
        "the exporter looks at the counter at least once a step",
        f"a step of {ms(EXPORTER_INTERVAL_SECONDS)} or more",
        "not known" if step is None else ms(step),
        None if step is None else step >= EXPORTER_INTERVAL_SECONDS,
    )
    most = CALL_SHARE * EXPORTER_INTERVAL_SECONDS
    call = value.get(f"{COUNTER}_call_seconds")
    yield _between(
        "calls are quick enough for the exporter's pace", f"at most {ms(most)}", call, (0.0, most), "s (median)"
    )
    bursts = value.get("equal_bursts_spread")
    yield _between(
        "equal bursts cost equal joules", f"spread of at most {BURST_SPREAD:.0%}", bursts, (0, 100 * BURST_SPREAD), "%"
    )
    yield _slowdown(probed)
    low, high = CONTEXT_WATTS
    yield _between(
        "an open context costs what was published",
        f"{low:g} to {high:g} W",
        value.get("context_watts"),
        (low, high),
        "W",
    )


def _between(name: str, expected: str, found: float | None, bounds: tuple[float, float], unit: str) -> Check:
    if found is None:
        return Check(name, expected, "not known", None)
    return Check(name, expected, f"{found:.4g} {unit}".strip(), bounds[0] <= found <= bounds[1])


def _assumed_window(seen: Mapping[str, View], assumed: Assumed) -> Check:
    name = f"the exporter assumes the window that the {assumed.meter or 'power'} reading has"
    found = seen[assumed.meter].best if assumed.meter in seen else None
    expected = "nothing: " + assumed.why if assumed.window_seconds is None else ms(assumed.window_seconds)
    if assumed.window_seconds is None or found is None:
        return Check(name, expected, "not known", None)
    low, high = found.low_seconds / WINDOW_FACTOR, found.high_seconds * WINDOW_FACTOR
    told = f"{ms(found.window_seconds)} ({ms(found.low_seconds)} to {ms(found.high_seconds)})"
    return Check(name, expected, told, low <= assumed.window_seconds <= high)


def _slowdown(probed: Probed) -> Check:
    """Decided only where twice the standard error does not reach across the limit."""
    name, expected = "polling does not slow the load", f"by less than {SLOWER:.0%}"
    loss, error = slowdown(probed)
    if loss is None or error is None:
        return Check(name, expected, "not known", None)
    held = True if loss + 2 * error < SLOWER else False if loss - 2 * error > SLOWER else None
    return Check(name, expected, f"{loss:.2%} (+-{2 * error:.2%})", held)


def ms(seconds: float) -> str:
    """For people."""
    return f"{1e3 * seconds:.3g} ms"
